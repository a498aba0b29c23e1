package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// orderBody is what the server takes; see /openapi.json.
type orderBody struct {
	Target string `json:"target,omitempty"`
	By     string `json:"by"`
	Why    string `json:"why"`
}

// reviewOrder builds the command that asks for an action from a review.
func (p *program) reviewOrder(v review.Verb, short string) *cobra.Command {
	var body orderBody
	var by string
	c := verbCommand(p, verb{
		use: string(v), argument: "ID", short: short,
		long: short + `.

It goes the way of every action: within budgets, one retrain of a model at a
time. Asking again while it is under way gives the same action. Cooldowns,
freezes and storms hold policies, not you.`,
		example: fmt.Sprintf(`  modelwarden review %[1]s 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --why "the feed is repaired"
  modelwarden review %[1]s 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --target churn-pipeline --why "the feed is repaired"`, v),
		completes: p.completeReview(),
		check: func() (err error) {
			if body.By, err = p.person(by); err != nil {
				return err
			}
			if strings.TrimSpace(body.Why) == "" {
				return Usagef("say why: --why TEXT")
			}
			return nil
		},
		do: func(ctx context.Context, c *client, id string) (string, error) {
			var a policy.Action
			if err := c.post(ctx, "reviews/"+url.PathEscape(id)+"/"+string(v), body, &a); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s: %s at %s is %s, action %s", id, a.Type, a.Target, a.State, a.ID), nil
		},
	})
	c.Flags().StringVar(&body.Target, "target", "", "`NAME` of the target (default: where the review's own policies send it)")
	c.Flags().StringVar(&by, "by", "", "`NAME` of who asks for it (default $USER)")
	c.Flags().StringVar(&body.Why, "why", "", "`TEXT` for the review's history and the action")
	c.Flags().SortFlags = false
	return c
}

// reviewSilence builds the command that silences one review's cause.
func (p *program) reviewSilence() *cobra.Command {
	var body silenceBody
	var by, lasting, until string
	c := verbCommand(p, verb{
		use: string(review.SilenceIt), argument: "ID", short: "Let nobody be called for a review's cause for a while",
		long: `Let nobody be called for a review's cause for a while, this review and those
after it. "modelwarden silence add" silences more than one cause.`,
		example:   `  modelwarden review silence 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --for 4h --why "upstream fix is rolling out"`,
		completes: p.completeReview(),
		check: func() (err error) {
			if err := p.signed(&body, by); err != nil {
				return err
			}
			body.Until, err = p.endOf("silence", p.Now(), lasting, until)
			return err
		},
		do: func(ctx context.Context, c *client, id string) (string, error) {
			return makeSilence(ctx, c, "reviews/"+url.PathEscape(id)+"/silence", body)
		},
	})
	silenceFlags(c, &body, &by, &lasting, &until)
	c.Flags().SortFlags = false
	return c
}

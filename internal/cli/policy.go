package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func (p *program) policyCommand() *cobra.Command {
	return group("policy", "Work on policies", "", p.policyResume())
}

// resumeBody is what the server takes; see /openapi.json.
type resumeBody struct {
	Asset string `json:"asset"`
	By    string `json:"by"`
	Why   string `json:"why,omitempty"`
}

func (p *program) policyResume() *cobra.Command {
	var body resumeBody
	var by string
	c := verbCommand(p, verb{
		use: "resume", argument: "NAME", short: "Let a policy that suspended itself ask for retrains again",
		long: `Let a policy that suspended itself ask for retrains of an asset again. A policy
suspends itself after retrains that did not help, for the monitor concerned; the
review that says so is closed.`,
		example: `  modelwarden policy resume churn-drift --asset monitor/contoso-ml/churn_monitor --why "the feature pipeline is mended"`,
		check: func() (err error) {
			if body.Asset == "" {
				return Usagef("say for which monitor: --asset monitor/WORKSPACE/NAME")
			}
			body.By, err = p.person(by)
			return err
		},
		do: func(ctx context.Context, c *client, name string) (string, error) {
			var done struct{ Policy, Asset string }
			if err := c.post(ctx, "policies/"+url.PathEscape(name)+"/resume", body, &done); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s may ask for retrains of %s again", cmp.Or(done.Policy, name), cmp.Or(done.Asset, body.Asset)), nil
		},
	})
	c.Flags().StringVar(&body.Asset, "asset", "", "the `ASSET` it suspended itself for: the monitor")
	c.Flags().StringVar(&by, "by", "", "`NAME` of who does this (default $USER)")
	c.Flags().StringVar(&body.Why, "why", "", "`TEXT` for the review's history")
	c.Flags().SortFlags = false
	return c
}

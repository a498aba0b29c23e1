package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func (p *program) reviewCommand() *cobra.Command {
	states := []string{"unresolved", "open", "acknowledged", "snoozed", "resolved", "all"}
	filters := append([]filter{
		{
			flag: "state", param: "state", values: states, preset: "unresolved",
			usage:  "only in this `STATE`: open, acknowledged, snoozed, resolved, unresolved or all",
			normal: func(_ *program, s string) (string, error) { return strings.TrimPrefix(s, "all"), nil },
		},
		{
			flag: "severity", param: "severity", usage: "only of this `SEVERITY`: info, warning, error or critical",
			values: []string{"info", "warning", "error", "critical"},
		},
		filterAsset(), filterPolicy(),
	}, filterWindow()...)
	list := listCommand(p, listing[review.Review]{
		use: "list", short: "List reviews that wait for somebody, the last opened first",
		example: `  modelwarden review list
  modelwarden review list --state open --severity critical
  modelwarden review list --state all --asset model/contoso-ml/churn/12 -o json`,
		path: "reviews", filters: filters, columns: reviewColumns,
	})
	return group("review", "Work on reviews: acknowledge, snooze, resolve, comment, retrain, roll back", "", list, p.reviewShow(),
		p.reviewVerb(review.Ack, "Take a review on, so that it does not escalate", "  modelwarden review ack 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --why \"looking into it\""),
		p.reviewVerb(review.Snooze, "Put a review off; it opens again by itself", "  modelwarden review snooze 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --for 4h --why \"upstream fix is rolling out\"\n  modelwarden review snooze 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --until 2026-03-02"),
		p.reviewVerb(review.Resolve, "Close a review for good; its cause's next signal opens another", "  modelwarden review resolve 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --why \"retrained on repaired data\""),
		p.reviewVerb(review.Remark, "Add a remark", "  modelwarden review comment 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --why \"the feed of 2 March was empty\""),
		p.reviewVerb(review.Reopen, "Take a resolution back; the review is open again", "  modelwarden review reopen 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --why \"it is back\""),
		p.reviewOrder(review.RetrainNow, "Retrain the model of a review now"),
		p.reviewOrder(review.RollBackNow, "Roll the model of a review back"),
		p.reviewSilence(),
	)
}

func (p *program) completeReview() completion { return p.completeReviewIn("unresolved") }

func (p *program) completeReviewIn(state string) completion {
	return p.completeFrom(suggestion{path: "reviews", query: url.Values{"state": {state}}, field: "id", describe: "title"})
}

func reviewColumns(o *output) []column[review.Review] {
	type item = review.Review
	return []column[item]{
		{"id", func(r item) cell { return text(r.ID) }},
		{"severity", func(r item) cell { return text(string(r.Severity)) }},
		{"state", reviewState},
		{"signals", func(r item) cell { return number(r.Count) }},
		{"opened", func(r item) cell { return o.when(r.Opened) }},
		{"model", func(r item) cell { return text(r.Model) }},
		{"title", func(r item) cell { return prose(r.Title) }},
	}
}

// reviewState tells people that nobody took it on in time.
func reviewState(r review.Review) cell {
	c := text(string(r.State))
	if r.State == review.Open && !r.Escalated.IsZero() {
		c.human += ", escalated"
	}
	return c
}

func reviewFacts(o *output, r review.Review) []fact {
	return []fact{
		{"id", text(r.ID)},
		{"state", text(string(r.State))},
		{"severity", text(string(r.Severity))},
		{"title", text(r.Title)},
		{"reason", text(r.Reason)},
		{"cause", text(r.Cause)},
		{"model", text(r.Model)},
		{"assets", text(strings.Join(r.Assets, ","))},
		{"policies", text(strings.Join(r.Policies, ","))},
		{"opened", o.when(r.Opened)},
		{"updated", o.when(r.Updated)},
		{"ackBy", o.when(r.AckBy)},
		{"escalated", o.when(r.Escalated)},
		{"ackedBy", text(r.AckedBy)},
		{"snoozedUntil", o.when(r.SnoozedUntil)},
		{"resolvedAt", o.when(r.ResolvedAt)},
		{"signals", number(r.Count)},
		{"previous", text(r.Previous)},
	}
}

// reviewCommandBody is what a verb sends.
type reviewCommandBody struct {
	By    string `json:"by"`
	Why   string `json:"why,omitempty"`
	Until string `json:"until,omitempty"`
}

// reviewVerb builds the command of one verb.
func (p *program) reviewVerb(v review.Verb, short, example string) *cobra.Command {
	var (
		body               reviewCommandBody
		by, lasting, until string
	)
	completes := p.completeReview()
	if v == review.Reopen {
		completes = p.completeReviewIn(string(review.Resolved))
	}
	c := verbCommand(p, verb{
		use: string(v), argument: "ID", short: short, example: example, completes: completes,
		check: func() error {
			var err error
			if body.By, err = p.person(by); err != nil {
				return err
			}
			if v == review.Remark && strings.TrimSpace(body.Why) == "" {
				return Usagef("a comment needs a text: --why TEXT")
			}
			if v == review.Snooze {
				body.Until, err = p.endOf("snooze", p.Now(), lasting, until)
			}
			return err
		},
		do: func(ctx context.Context, c *client, id string) (string, error) { return doReview(ctx, c, id, v, body) },
	})
	c.Flags().StringVar(&by, "by", "", "`NAME` of who does this (default $USER)")
	c.Flags().StringVar(&body.Why, "why", "", whyUsage[v])
	if v == review.Snooze {
		c.Flags().StringVar(&lasting, "for", "", "how long: `DURATION` such as 30m, 4h or 2d")
		c.Flags().StringVar(&until, "until", "", "until when: `TIME` such as 2026-03-02T09:00:00Z or 2026-03-02")
	}
	c.Flags().SortFlags = false
	return c
}

var whyUsage = map[review.Verb]string{
	review.Ack:     "`TEXT` for the review's history",
	review.Snooze:  "`TEXT` for the review's history",
	review.Resolve: "`TEXT`: what the cause was and what was done",
	review.Remark:  "the comment's `TEXT`",
	review.Reopen:  "`TEXT` for the review's history",
}

// person names who acts.
func (p *program) person(by string) (string, error) {
	by = strings.TrimSpace(cmp.Or(by, p.Getenv("USER"), p.Getenv("USERNAME")))
	if by == "" {
		return "", Usagef("say who does this: --by NAME ($USER is not set)")
	}
	return by, nil
}

// endOf reads --for, counted from a beginning, or --until.
func (p *program) endOf(what string, from time.Time, lasting, until string) (string, error) {
	now := p.Now()
	var end time.Time
	switch {
	case lasting == "" == (until == ""):
		return "", Usagef("a %s needs an end: either --for 4h or --until 2026-03-02T09:00:00Z", what)
	case lasting != "":
		d, err := policy.ParseDuration(lasting)
		if err != nil {
			return "", Usagef("--for: %w", err)
		}
		end = from.Add(time.Duration(d))
	default:
		var err error
		if end, err = parseFuture(until, now); err != nil {
			return "", Usagef("--until: %w", err)
		}
	}
	if !end.After(now) {
		return "", Usagef("the %s would end at %s, which is not in the future", what, shownTime(end))
	}
	return end.UTC().Format(time.RFC3339), nil
}

func doReview(ctx context.Context, c *client, id string, v review.Verb, body reviewCommandBody) (string, error) {
	var r review.Review
	if err := c.post(ctx, "reviews/"+url.PathEscape(id)+"/"+string(v), body, &r); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s is %s", cmp.Or(r.ID, id), r.State)
	switch {
	case v == review.Remark:
		line = fmt.Sprintf("%s: comment added", cmp.Or(r.ID, id))
	case !r.SnoozedUntil.IsZero():
		line += " until " + shownTime(r.SnoozedUntil)
	}
	return line, nil
}

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/policy"
)

var (
	actionTypes  = []string{"retrain", "review", "rollback", "notify", "resolve"}
	actionStates = []string{"pending", "claimed", "running", "succeeded", "failed", "suppressed"}
)

func (p *program) actionCommand() *cobra.Command {
	filters := append([]filter{
		filterAsset(), filterPolicy(),
		{flag: "type", param: "type", usage: "only this `TYPE`: retrain, review, rollback, notify or resolve", values: actionTypes},
		{flag: "state", param: "state", usage: "only in this `STATE`: pending, claimed, running, succeeded, failed or suppressed", values: actionStates},
		{flag: "target", param: "target", usage: "only those for this `TARGET`"},
	}, filterWindow()...)
	list := listCommand(p, listing[policy.Action]{
		use: "list", short: "List actions and what became of them, the newest first",
		example: `  modelwarden action list --state failed
  modelwarden action list --type retrain --since 7d
  modelwarden action list --asset model/contoso-ml/churn/12 -o tsv`,
		path: "actions", filters: filters, columns: actionColumns,
	})
	show := showCommand(p, showing[policy.Action]{
		use: "show ID", argument: "ID", short: "Show one action: why it was decided and what became of it",
		example: "  modelwarden action show 5m7v3qk2c6w4x2y5z7a2b3c4d5@monitor/contoso-ml/churn-monitor",
		path:    idPath("actions/"), page: actionPage,
		completes: p.completeFrom(suggestion{path: "actions", field: "id", describe: "title"}),
	})
	retry := verbCommand(p, verb{
		use: "retry", argument: "ID", short: "Try failed or suppressed actions again",
		long: `Try failed or suppressed actions again. The target sees the same idempotency
key as before, so what it did already is not done twice.`,
		example: `  modelwarden action retry 5m7v3qk2c6w4x2y5z7a2b3c4d5@monitor/contoso-ml/churn-monitor
  modelwarden action list --state failed --no-headers -o tsv | cut -f1 | xargs modelwarden action retry`,
		completes: p.completeFrom(suggestion{path: "actions", query: url.Values{"state": {"failed"}}, field: "id", describe: "title"}),
		do:        retryAction,
	})
	return group("action", "List actions, show one, retry one", "", list, show, retry)
}

func actionColumns(o *output) []column[policy.Action] {
	type item = policy.Action
	return []column[item]{
		{"id", func(a item) cell { return text(a.ID) }},
		{"type", func(a item) cell { return text(string(a.Type)) }},
		{"target", func(a item) cell { return text(a.Target) }},
		{"state", func(a item) cell { return text(string(a.State)) }},
		{"attempts", func(a item) cell { return number(a.Attempts) }},
		{"policy", func(a item) cell { return text(a.Policy) }},
		{"created", func(a item) cell { return o.when(a.Created) }},
		{"outcome", func(a item) cell { return prose(actionOutcome(a)) }},
	}
}

// actionOutcome says what came of the action so far.
func actionOutcome(a policy.Action) string {
	switch {
	case a.State == policy.Suppressed && a.SuppressedBy != "":
		return "held by " + a.SuppressedBy
	case a.State == policy.Pending && a.Waiting != "":
		return a.Waiting
	case a.State == policy.Failed || a.Outcome == nil:
		return a.LastError
	case a.Loop != nil && a.Loop.Verdict != "":
		return string(a.Loop.Verdict) + ": " + a.Loop.Why
	default:
		return a.Outcome.Summary
	}
}

func actionPage(o *output, a policy.Action) error {
	facts := []fact{
		{"action", text(a.ID)},
		{"type", text(string(a.Type))},
		{"target", text(a.Target)},
		{"state", text(string(a.State))},
		{"title", text(a.Title)},
		{"reason", text(a.Reason)},
		{"severity", text(a.Severity)},
		{"policy", text(a.Policy)},
		{"event", text(a.Event)},
		{"asset", text(a.Asset)},
		{"model", text(a.Model)},
		{"created", o.when(a.Created)},
		{"updated", o.when(a.Updated)},
		{"attempts", number(a.Attempts)},
		{"next attempt", o.when(a.NextAttempt)},
		{"waiting", text(a.Waiting)},
		{"held by", text(a.SuppressedBy)},
		{"last error", text(a.LastError)},
	}
	if a.Outcome != nil {
		facts = append(facts, []fact{
			{"outcome", text(a.Outcome.Summary)},
			{"run", text(a.Outcome.Run)},
			{"made", text(a.Outcome.Ref)},
			{"link", text(a.Outcome.URL)},
		}...)
	}
	facts = append(facts, loopFacts(o, a.Loop)...)
	if len(a.Inputs) > 0 {
		if inputs, err := json.Marshal(a.Inputs); err == nil {
			facts = append(facts, fact{"inputs", text(string(inputs))})
		}
	}
	return o.facts(facts)
}

// loopFacts tell what became of a retrain.
func loopFacts(o *output, l *policy.Loop) []fact {
	if l == nil {
		return nil
	}
	facts := []fact{
		{"verdict", text(string(l.Verdict))},
		{"why", text(l.Why)},
		{"started", o.when(l.Started)},
		{"run ended", o.when(l.Ended)},
		{"version", text(l.Version)},
		{"registered", o.when(l.Registered)},
		{"compared", text(l.Comparison.Text())},
		{"deployment", text(l.Deployment)},
		{"deployed", o.when(l.Deployed)},
	}
	if l.Window != nil {
		facts = append(facts, fact{"window", text(l.Window.ID)}, fact{"measured", o.when(l.Window.At)})
	}
	return facts
}

func retryAction(ctx context.Context, c *client, id string) (string, error) {
	var a policy.Action
	if err := c.post(ctx, "actions/"+url.PathEscape(id)+"/retry", nil, &a); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s at %s is %s", id, cmp.Or(string(a.Type), "action"), cmp.Or(a.Target, "its target"), cmp.Or(string(a.State), "pending")), nil
}

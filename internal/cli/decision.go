package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/policy"
)

func (p *program) decisionCommand() *cobra.Command {
	filters := append([]filter{
		filterAsset(),
		{
			flag: "model", param: "model", usage: "only about this `MODEL` and its versions",
			normal:   func(_ *program, s string) (string, error) { return assetID(s) },
			complete: func(p *program) completion { return p.completeModel },
		},
		filterPolicy(),
		{flag: "verdict", param: "verdict", usage: "only this `VERDICT`: act, hold or observe", values: []string{"act", "hold", "observe"}},
		{flag: "reason", param: "reason", usage: "only this `REASON`, of the decision or of one of its actions", values: reasons},
	}, filterWindow()...)
	list := listCommand(p, listing[policy.Decision]{
		use: "list", short: "List what policies decided and why, the newest first",
		long: `List what policies decided and why, the newest first. Decisions to do nothing
are there too: the columns verdict, reason and detail say why not.`,
		example: `  modelwarden decision list --model model/contoso-ml/churn
  modelwarden decision list --verdict hold --reason cooldown --since 7d
  modelwarden decision list --policy churn-drift -o json`,
		path: "decisions", filters: filters, columns: decisionColumns,
	})
	return group("decision", "List what policies decided, and why", "", list)
}

var reasons = []string{
	policy.ReasonActed, policy.ReasonConditionFalse, policy.ReasonConditionError, policy.ReasonNotSustained,
	policy.ReasonSameWindow, policy.ReasonCooldown, policy.ReasonCap, policy.ReasonFreeze, policy.ReasonInFlight,
	policy.ReasonBudget, policy.ReasonObserve, policy.ReasonFenced, policy.ReasonAllHeld,
}

func decisionColumns(o *output) []column[policy.Decision] {
	type item = policy.Decision
	return []column[item]{
		{"at", func(d item) cell { return o.when(d.At) }},
		{"policy", func(d item) cell { return text(d.Policy) }},
		{"verdict", func(d item) cell { return text(string(d.Verdict)) }},
		{"reason", func(d item) cell { return text(d.Reason) }},
		{"asset", func(d item) cell { return text(d.Asset) }},
		{"signal", func(d item) cell { return text(d.Signal) }},
		{"actions", func(d item) cell { return text(planned(d.Actions)) }},
		{"event", func(d item) cell { return text(d.Event) }},
		{"detail", func(d item) cell { return prose(d.Detail) }},
	}
}

// planned writes actions as "retrain:act,review:cooldown": what was held
// shows its reason.
func planned(actions []policy.PlannedAction) string {
	out := make([]string, len(actions))
	for i, a := range actions {
		word := string(a.Verdict)
		if a.Verdict != policy.Act && a.Reason != "" {
			word = a.Reason
		}
		out[i] = string(a.Type) + ":" + word
	}
	return strings.Join(out, ",")
}

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

func (p *program) eventCommand() *cobra.Command {
	filters := append([]filter{
		filterAsset(),
		{flag: "kind", param: "kind", usage: "only of this `KIND`, such as monitor.breached", values: eventKinds()},
		{flag: "workspace", param: "workspace", usage: "only of this `WORKSPACE`"},
		{flag: "id", param: "id", usage: "only with this `ID`, which the sender gave, or this key"},
	}, filterWindow()...)
	list := listCommand(p, listing[lineage.EventLine]{
		use: "list", short: "List events, the newest first",
		example: `  modelwarden event list
  modelwarden event list --kind monitor.breached --since 2d
  modelwarden event list --asset model/contoso-ml/churn/12 --limit 0 -o tsv`,
		path: "events", filters: filters, columns: eventColumns,
	})
	show := showCommand(p, showing[eventDoc]{
		use: "show ID", argument: "ID",
		short: "Tell the story of one event: received, committed, decided, done",
		long: `Tell the story of one event: when it was received, queued and committed, what
every policy decided about it and why, and what became of the actions.

ID is the event's key as "event list" shows it, or the id that its sender gave
it.`,
		example: "  modelwarden event show 5m7v3qk2c6w4x2y5z7a2b3c4d5@monitor/contoso-ml/churn-monitor\n" +
			"  modelwarden event show 56afc886-767b-d359-d59e-0da7877166b2 -o json",
		path: idPath("events/"), page: eventPage,
		completes: p.completeFrom(suggestion{path: "events", field: "key", describe: "kind"}),
	})
	return group("event", "Send events, list them, and see what they caused", "", p.sendCommand(), list, show)
}

func eventKinds() []string {
	var out []string
	for _, k := range event.Kinds() {
		out = append(out, string(k))
	}
	return out
}

func eventColumns(o *output) []column[lineage.EventLine] {
	type line = lineage.EventLine
	return []column[line]{
		{"time", func(e line) cell { return o.when(e.Time) }},
		{"kind", func(e line) cell { return text(string(e.Kind)) }},
		{"asset", func(e line) cell { return text(string(e.Asset)) }},
		{"breaches", func(e line) cell { return number(e.Breaches) }},
		{"decisions", func(e line) cell { return number(e.Decisions) }},
		{"actions", func(e line) cell { return number(e.Actions) }},
		{"key", func(e line) cell { return text(e.Key) }},
		{"id", func(e line) cell { return cell{clip(printable(e.ID), 40), e.ID} }},
	}
}

// eventDoc is what is printed of one event.
type eventDoc struct {
	Key           string            `json:"key"`
	ID            string            `json:"id"`
	Kind          string            `json:"kind"`
	Type          string            `json:"type"`
	Source        string            `json:"source"`
	Subject       string            `json:"subject"`
	Asset         string            `json:"asset"`
	Time          time.Time         `json:"time"`
	Received      time.Time         `json:"received"`
	Queued        time.Time         `json:"queued"`
	Committed     time.Time         `json:"committed"`
	Via           string            `json:"via"`
	Subscription  string            `json:"subscription"`
	DeliveryCount string            `json:"deliveryCount"`
	Fenced        bool              `json:"fenced"`
	Loss          *event.Loss       `json:"loss"`
	Notes         []string          `json:"notes"`
	Breaches      []event.Breach    `json:"breaches"`
	Decisions     []policy.Decision `json:"decisions"`
	Actions       []policy.Action   `json:"actions"`
}

// eventPage tells the story in the order in which it happened.
func eventPage(o *output, e eventDoc) error {
	facts := []fact{
		{"event", text(e.Key)},
		{"id", text(e.ID)},
		{"kind", text(e.Kind)},
		{"type", text(e.Type)},
		{"source", text(e.Source)},
		{"subject", text(e.Subject)},
		{"asset", text(e.Asset)},
		{"happened", o.when(e.Time)},
	}
	facts = append(facts, arrival(o, e)...)
	for _, b := range e.Breaches {
		facts = append(facts, fact{"breach", text(breachText(b))})
	}
	if e.Loss != nil {
		facts = append(facts, fact{"lost", text(fmt.Sprintf("the event was %s: %d breaches could be read, there may have been more", e.Loss.Reason, e.Loss.Kept))})
	}
	for _, n := range e.Notes {
		facts = append(facts, fact{"note", text(n)})
	}
	for _, d := range e.Decisions {
		facts = append(facts, decisionFacts(d)...)
	}
	for _, a := range e.Actions {
		facts = append(facts, fact{"action", text(actionText(a))})
	}
	return o.facts(append(facts, fact{"outcome", text(outcome(e))}))
}

// arrival tells how the event got from its sender into the log.
func arrival(o *output, e eventDoc) []fact {
	received := o.when(e.Received)
	var how []string
	if e.Via != "" {
		how = append(how, "by "+e.Via)
	}
	if e.Subscription != "" {
		how = append(how, "subscription "+e.Subscription)
	}
	if e.DeliveryCount != "" && e.DeliveryCount != "0" {
		how = append(how, "delivery attempts before: "+e.DeliveryCount)
	}
	if len(how) > 0 && received.exact != "" {
		received.human += ", " + strings.Join(how, ", ")
	}
	facts := []fact{{"received", received}, {"queued", after(o, e.Queued, e.Received)}, {"committed", after(o, e.Committed, e.Queued, e.Received)}}
	if e.Fenced {
		facts = append(facts, fact{"fenced", text("this was a replay that may not act")})
	}
	return facts
}

// after shows a time by how long it came after the first of the others that
// is known.
func after(o *output, t time.Time, others ...time.Time) cell {
	c := o.when(t)
	for _, before := range others {
		if !t.IsZero() && !before.IsZero() {
			c.human = delay(t.Sub(before)) + " later"
			break
		}
	}
	return c
}

// decisionFacts are a verdict and what was planned or held.
func decisionFacts(d policy.Decision) []fact {
	facts := []fact{{"decision", text(verdictText(d.Policy, d.Verdict, d.Reason, d.Detail))}}
	for _, a := range d.Actions {
		what := string(a.Type)
		if a.Target != "" {
			what += " at " + a.Target
		}
		facts = append(facts, fact{"planned", text(verdictText(what, a.Verdict, a.Reason, a.Detail))})
	}
	return facts
}

func verdictText(what string, v policy.Verdict, reason, detail string) string {
	s := what + ": " + string(v)
	if reason != "" && reason != policy.ReasonActed {
		s += " (" + reason + ")"
	}
	if detail != "" {
		s += ", " + detail
	}
	return s
}

func actionText(a policy.Action) string {
	s := string(a.Type)
	if a.Target != "" {
		s += " at " + a.Target
	}
	s += ": " + string(a.State)
	switch {
	case a.Outcome != nil && a.Outcome.Summary != "":
		s += ", " + a.Outcome.Summary
	case a.LastError != "":
		s += ", " + a.LastError
	case a.SuppressedBy != "":
		s += " by " + a.SuppressedBy
	}
	return s + "  [" + a.ID + "]"
}

// outcome is the sentence that ends the story.
func outcome(e eventDoc) string {
	states := map[policy.State]int{}
	for _, a := range e.Actions {
		states[a.State]++
	}
	switch {
	case len(e.Actions) == 0 && len(e.Decisions) == 0:
		return "no policy is about this event; the lineage knows it"
	case len(e.Actions) == 0:
		return "decided, nothing to do: the decisions say why"
	case states[policy.Failed] > 0:
		return fmt.Sprintf("%d of %d actions failed: modelwarden action retry ACTION", states[policy.Failed], len(e.Actions))
	case states[policy.Succeeded]+states[policy.Suppressed] == len(e.Actions):
		return "all actions are at their end"
	}
	return "actions are under way"
}

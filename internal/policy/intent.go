package policy

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds on what a decision and an action carry along.
const (
	maxBreaches       = 50
	maxActionBreaches = 20
	maxInputKeys      = 50
	maxInputText      = 1024
)

// grounds are what all actions of one decision share.
type grounds struct {
	rule          *rule
	window        string
	decision      *Decision
	title, reason string
}

// intent is the action that a step asks for, ready to be stored.
func (d *decider) intent(g *grounds, s *step, key string) Action {
	a := Action{
		ID: ActionID(key, d.asset), Key: key, Type: s.Type, Target: s.Target,
		Policy: g.rule.policy.Name, PolicyHash: g.rule.hash,
		Event: d.log, Asset: d.asset, Model: d.model, Window: g.window,
		Cause: d.cause(g.rule.policy.Name),
		Title: g.title, Reason: g.reason, Inputs: d.facts(g),
		Occurred: d.event.Time.UTC(),
		State:    Pending, Created: d.now, Updated: d.now,
	}
	if s.Type == Review {
		a.Severity, a.AckWithin = graded(s, g.decision.Breaches), s.AckWithin
		a.Escalate, a.Repeat, a.Runbook = s.Escalate, s.Repeat, s.Runbook
	}
	return a
}

// graded is the step's severity, raised by how far the worst breach lies
// beyond its threshold.
func graded(s *step, breaches []event.Breach) string {
	out := slices.Index(severities, s.Severity)
	for _, b := range breaches {
		for name, ratio := range s.SeverityAt {
			if b.Exceeded != nil && *b.Exceeded >= ratio {
				out = max(out, slices.Index(severities, name))
			}
		}
	}
	return severities[out]
}

// CauseOf names what is wrong behind an event, whatever the policy: reviews
// of one cause are one review, and the event that ends a cause names it too. A
// monitor's breach and its passing have the monitor as cause, an alert's
// firing and resolution its rule. It is "" for other events, whose cause is
// what a policy finds wrong with them.
func CauseOf(ev *event.Event) string {
	switch {
	case ev.Monitor != nil:
		return "monitor:" + lineage.Home(ev)
	case ev.Alert != nil:
		return "alert:" + string(lineage.NewID(lineage.Monitor, ev.Workspace.Alias, ev.Alert.Rule))
	case ev.Kind == event.SubscriptionDeleted:
		return "subscription:" + lineage.Home(ev)
	}
	return ""
}

// cause is the event's cause, else the policy with the experiment or asset it
// is about: run after run of one experiment feeds one review.
func (d *decider) cause(policy string) string {
	if c := CauseOf(d.event); c != "" {
		return c
	}
	if r := d.event.Run; r != nil && r.ExperimentName != "" {
		return "policy:" + policy + ":" + d.event.Workspace.Alias + "/" + r.ExperimentName
	}
	return "policy:" + policy + ":" + d.asset
}

// facts are an action's inputs: what its target may want to know.
func (d *decider) facts(g *grounds) map[string]any {
	ev := d.event
	out := map[string]any{"workspace": ev.Workspace.Alias, "event": d.log}
	for k, v := range map[string]string{"model": d.model, "signal": g.decision.Signal} {
		if v != "" {
			out[k] = clip(v, maxInputText)
		}
	}
	if ev.Monitor != nil {
		out["monitor"], out["window"] = ev.Monitor.Name, g.window
	}
	if ev.Run != nil {
		out["run"] = ev.Run.ID
	}
	breaches := g.decision.Breaches
	if len(breaches) > 0 {
		out["breaches"] = breaches[:min(len(breaches), maxActionBreaches)]
	}
	if more := len(breaches) + g.decision.MoreBreaches - maxActionBreaches; more > 0 {
		out["moreBreaches"] = more
	}
	if len(d.view.Metrics) > 0 {
		out["metrics"] = plain(d.view.Metrics)
	}
	if a := ev.Alert; a != nil {
		out["alert"] = map[string]any{"id": a.ID, "rule": a.Rule, "severity": a.Severity, "description": clip(a.Description, maxInputText)}
	}
	return out
}

// inputsOf are the values that a condition reads, as it read them; null marks
// one that was not there.
func inputsOf(c *condition, s *scope) map[string]any {
	out := make(map[string]any, min(len(c.reads), maxInputKeys))
	for _, r := range c.reads {
		if len(out) == maxInputKeys {
			break
		}
		if v, ok := r.value(s); ok {
			out[r.String()] = plain(v)
		} else {
			out[r.String()] = nil
		}
	}
	return out
}

// plain makes a value fit for storage: a copy, bounded, and without the
// numbers that JSON does not know.
func plain(v any) any {
	switch x := v.(type) {
	case float64:
		return number(x)
	case string:
		return clip(x, maxInputText)
	case map[string]string:
		return plainMap(x)
	case map[string]float64:
		return plainMap(x)
	case map[string]any:
		return plainMap(x)
	}
	if name := objectName(v); name != "" {
		return "(" + name + ")"
	}
	return v
}

func plainMap[V any](m map[string]V) map[string]any {
	out := make(map[string]any, min(len(m), maxInputKeys))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(out) == maxInputKeys {
			break
		}
		out[clip(k, 128)] = plain(any(m[k]))
	}
	return out
}

func number(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return strings.TrimPrefix(formatFloat(x), "+")
	}
	return x
}

// copyBreaches copies deeply, so that a decision shares nothing with its
// event, and leaves out numbers that JSON does not know.
func copyBreaches(in []*event.Breach) []event.Breach {
	if len(in) == 0 {
		return nil
	}
	out := make([]event.Breach, len(in))
	for i, b := range in {
		out[i] = *b
		for _, p := range []**float64{&out[i].Value, &out[i].Threshold, &out[i].Exceeded} {
			*p = finite(*p)
		}
	}
	return out
}

func finite(p *float64) *float64 {
	if p == nil || math.IsNaN(*p) || math.IsInf(*p, 0) {
		return nil
	}
	v := *p
	return &v
}

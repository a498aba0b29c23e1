package oncall

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// grounds tells why the review's policies fired on the newest signals, what was
// done, and what was held back.
func (b *builder) grounds(ctx context.Context) {
	var actions []string
	for _, key := range newestEvents(b.r) {
		actions = append(actions, b.event(ctx, key)...)
	}
	for _, d := range b.decisions {
		b.because(&d)
		for _, a := range d.Actions {
			if a.Verdict != policy.Act {
				b.hold(review.Deed{At: d.At, Type: string(a.Type), Target: a.Target, Policy: d.Policy, State: a.Reason, Text: a.Detail})
			}
		}
	}
	slices.SortStableFunc(b.card.Why, func(x, y review.Ground) int { return cmp.Compare(b.rank(x), b.rank(y)) })
	b.actions(ctx, actions)
}

// because adds a decision, once for each reason: the newest.
func (b *builder) because(d *policy.Decision) {
	if d.Reason == policy.ReasonConditionFalse || len(b.card.Why) >= review.MaxCard {
		return
	}
	g := b.ground(d)
	same := func(o review.Ground) bool {
		return o.Policy == g.Policy && o.Verdict == g.Verdict && o.Reason == g.Reason
	}
	if !slices.ContainsFunc(b.card.Why, same) {
		b.card.Why = append(b.card.Why, g)
	}
}

// rank puts the review's own policies first.
func (b *builder) rank(g review.Ground) int {
	if slices.Contains(b.r.Policies, g.Policy) {
		return 0
	}
	return 1
}

// newestEvents are the log keys of the newest signals.
func newestEvents(r *review.Review) []string {
	var out []string
	for _, n := range r.Signals {
		if n.Event != "" && !slices.Contains(out, n.Event) && len(out) < maxEvents {
			out = append(out, n.Event)
		}
	}
	return out
}

// event reads the decisions on an event and the ids of the actions that it
// caused. An event that is no more adds nothing.
func (b *builder) event(ctx context.Context, logKey string) (actions []string) {
	key, partition, ok := lineage.SplitLogKey(logKey)
	if !ok {
		return nil
	}
	got, err := b.Store.Get(ctx, partition, lineage.EventRecord(key), lineage.DecisionRecord(key))
	if !b.ok(err, "event "+logKey) || got[0].Version == "" {
		return nil
	}
	var entry lineage.Entry
	var decisions []policy.Decision
	err = json.Unmarshal(got[0].Body, &entry)
	if err == nil && got[1].Version != "" {
		err = json.Unmarshal(got[1].Body, &decisions)
	}
	if err != nil {
		b.gap("what is kept of event %s can't be read", logKey)
	}
	b.decisions = append(b.decisions, decisions...)
	if entry.Enrichment != nil {
		entry.Actions = append(entry.Actions, entry.Enrichment.Actions...)
	}
	return entry.Actions
}

// ground words a decision.
func (b *builder) ground(d *policy.Decision) review.Ground {
	reason := cmp.Or(d.Detail, strings.ReplaceAll(d.Reason, "_", " "))
	if d.Verdict == policy.Act && d.Condition != "" {
		reason += "; because " + d.Condition
	}
	return review.Ground{
		Policy: d.Policy, Event: d.Event, At: d.At, Verdict: string(d.Verdict), Reason: reason + b.outdated(d),
		Window: d.Window, Values: values(d.Inputs),
	}
}

// outdated says that the policy in force is not the one that decided.
func (b *builder) outdated(d *policy.Decision) string {
	if b.Set == nil || b.Set() == nil || d.PolicyHash == "" {
		return ""
	}
	for _, p := range b.Set().Policies() {
		if p.Name == d.Policy && p.Hash == d.PolicyHash {
			return ""
		}
		if p.Name == d.Policy {
			return " (the policy has changed since)"
		}
	}
	return " (there is no such policy any more)"
}

// maxValue bounds one value's text.
const maxValue = 80

// values lists what a condition read.
func values(inputs map[string]any) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if len(out) < review.MaxCard {
			out = append(out, name+" = "+short(value(inputs[name]), maxValue))
		}
	}
	return out
}

func value(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// actions reads the actions as they stand now.
func (b *builder) actions(ctx context.Context, ids []string) {
	if len(ids) > maxActions {
		b.gap("only %d of the %d actions of the newest signals were looked at", maxActions, len(ids))
		ids = ids[:maxActions]
	}
	for _, id := range ids {
		a, _, err := policy.GetAction(ctx, b.Store, id)
		if b.ok(err, "action "+id) {
			b.deed(&a)
		}
	}
	byTime := func(x, y review.Deed) int { return y.At.Compare(x.At) }
	slices.SortStableFunc(b.card.Done, byTime)
	slices.SortStableFunc(b.card.Held, byTime)
}

// deed files an action under what was done, or what a limit held. Telling
// people of the review is no answer to what is wrong, and is left out; that they
// could not be told is not.
func (b *builder) deed(a *policy.Action) {
	d := review.Deed{At: a.Created, ID: a.ID, Type: string(a.Type), Target: a.Target, Policy: a.Policy, State: string(a.State), Text: outcome(a)}
	if a.Outcome != nil {
		d.URL = a.Outcome.URL
	}
	switch {
	case a.LastError == "" && slices.Contains([]policy.ActionType{policy.Review, policy.Resolve, policy.Publish, policy.Deliver}, a.Type):
	case a.State == policy.Suppressed:
		d.State = cmp.Or(a.SuppressedBy, d.State)
		b.hold(d)
	default:
		b.card.Done = append(b.card.Done, d)
	}
}

// outcome is what came of an action, in one line.
func outcome(a *policy.Action) string {
	var parts []string
	if a.Outcome != nil {
		parts = append(parts, a.Outcome.Summary)
	}
	if a.Loop != nil && a.Loop.Why != "" {
		parts = append(parts, a.Loop.Why)
	}
	if a.State == policy.Failed || a.State == policy.Pending {
		parts = append(parts, cmp.Or(a.LastError, a.Waiting))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// hold adds what was held back, once for each limit that held it: the newest.
func (b *builder) hold(d review.Deed) {
	same := func(o review.Deed) bool {
		return o.Policy == d.Policy && o.Type == d.Type && o.Target == d.Target && o.State == d.State
	}
	if !slices.ContainsFunc(b.card.Held, same) && len(b.card.Held) < review.MaxCard {
		b.card.Held = append(b.card.Held, d)
	}
}

package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Explanation tells, policy by policy and step by step, what Decide makes of
// an event and why it makes nothing of it elsewhere. It marshals to JSON as it
// stands; Text writes it for people.
type Explanation struct {
	// Event, Kind, Asset and Model are what is decided on; Hash is the set's.
	Event string     `json:"event"`
	Kind  event.Kind `json:"kind"`
	Asset string     `json:"asset"`
	Model string     `json:"model,omitempty"`
	Hash  string     `json:"policies"`
	// Policies has every policy of the set, in order.
	Policies []PolicyExplanation `json:"results"`
	// Actions are what would be carried out.
	Actions []Action `json:"actions,omitempty"`
}

// PolicyExplanation is one policy's way through an event.
type PolicyExplanation struct {
	Policy string `json:"policy"`
	Hash   string `json:"hash"`
	Mode   Mode   `json:"mode"`
	// Steps are the checks in the order they are made, up to the first that
	// stops the policy.
	Steps []Check `json:"steps"`
	// Decisions are what Decide returns for the policy.
	Decisions []Decision `json:"decisions,omitempty"`
}

// Check is one step: what was looked at, whether it let the policy go on, and
// why.
type Check struct {
	// Step is one of on, match, signal, condition, term, sustained, action,
	// dispatch.
	Step   string `json:"step"`
	Name   string `json:"name,omitempty"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail"`
}

// Explain decides as Decide does and tells how: it is for `policy test`, not
// for the stream of events. It is pure as well.
func (s *Set) Explain(ev *event.Event, view View, now time.Time) Explanation {
	d := newDecider(s, ev, &view, now)
	f := &facets{event: ev, view: &view}
	out := Explanation{Event: d.log, Kind: ev.Kind, Asset: d.asset, Model: d.model, Hash: s.hash}
	for _, r := range s.rules {
		out.Policies = append(out.Policies, d.explain(r, f))
	}
	out.Actions = d.finish().Actions
	return out
}

func (d *decider) explain(r *rule, f *facets) PolicyExplanation {
	out := PolicyExplanation{Policy: r.policy.Name, Hash: r.hash, Mode: r.mode()}
	on := slices.Contains(r.policy.On, d.event.Kind)
	remembers := d.event.Kind == event.MonitorPassed && r.remembersPasses()
	out.add("on", "", on || remembers, onDetail(r, d.event.Kind, on, remembers))
	if !on && !remembers {
		return out
	}
	if !out.match(r, f) {
		return out
	}
	before := len(d.result.Decisions)
	d.rule(r)
	out.Decisions = slices.Clone(d.result.Decisions[before:])
	if !on {
		return out
	}
	occasions := r.occasions(d.event)
	for i := range out.Decisions {
		d.explainDecision(&out, r, &occasions[i], &out.Decisions[i])
	}
	return out
}

func (p *PolicyExplanation) add(step, name string, passed bool, detail string) {
	p.Steps = append(p.Steps, Check{Step: step, Name: name, Passed: passed, Detail: detail})
}

func onDetail(r *rule, kind event.Kind, on, remembers bool) string {
	switch {
	case on:
		return fmt.Sprintf("the policy is on %s", kind)
	case remembers:
		return "a pass is remembered (it counts as a window, and ends a suspension), nothing is decided"
	}
	return fmt.Sprintf("the event is %s, the policy is on %v", kind, r.policy.On)
}

// match explains every key, not only the first that fails.
func (p *PolicyExplanation) match(r *rule, f *facets) bool {
	all := true
	for i := range r.matcher.keys {
		k := &r.matcher.keys[i]
		if f.event.Kind == event.MonitorPassed && k.key.selectsBreaches() {
			continue
		}
		ok := k.match(f)
		all = all && ok
		p.add("match", k.key.name, ok, matchDetail(f.values(k.key), k.raw, ok))
	}
	tags := tagsOf(f.event)
	for _, t := range r.matcher.tags {
		v, has := tags[t.tag]
		ok := has && anyGlob(t.globs, v)
		all = all && ok
		var vals []string
		if has {
			vals = []string{v}
		}
		p.add("match", "tags."+t.tag, ok, matchDetail(vals, r.policy.Match.Tags[t.tag], ok))
	}
	if len(r.matcher.keys)+len(r.matcher.tags) == 0 {
		p.add("match", "", true, "the policy matches every event")
	}
	return all
}

func matchDetail(values []string, patterns Patterns, ok bool) string {
	if len(values) == 0 {
		return fmt.Sprintf("the event has none; wanted %s", list(patterns))
	}
	verb := "is none of"
	if ok {
		verb = "matches"
	}
	return fmt.Sprintf("%s %s %s", list(values), verb, list(patterns))
}

// list writes a few values; it is cut at five.
func list[T ~[]string](in T) string {
	out := ""
	for i, v := range in {
		switch {
		case i == 5:
			return out + fmt.Sprintf(" and %d more", len(in)-i)
		case i > 0:
			out += ", "
		}
		out += fmt.Sprintf("%q", clip(v, 80))
	}
	return out
}

// explainDecision unfolds one decision: condition, windows, actions.
func (d *decider) explainDecision(out *PolicyExplanation, r *rule, o *occasion, dec *Decision) {
	if measures(d.event.Kind) {
		out.add("signal", o.signal, true, fmt.Sprintf("%d breaches in window %s", len(o.breaches), clip(o.window, 80)))
	}
	held := dec.Reason != ReasonConditionFalse && dec.Reason != ReasonConditionError
	switch {
	case r.when == nil:
		out.add("condition", "", true, "there is none, so it holds")
	case held:
		out.add("condition", r.when.text, true, "holds"+values(r.when, dec.Inputs))
	default:
		out.add("condition", r.when.text, false, dec.Detail+values(r.when, dec.Inputs))
	}
	d.explainTerms(out, r, o)
	if !held {
		return
	}
	if s := r.policy.Sustained; s != nil {
		ok := dec.Reason != ReasonNotSustained
		out.add("sustained", fmt.Sprintf("%d of %d", s.Count, s.Of), ok, d.windows(r, o, dec, ok))
		if !ok {
			return
		}
	}
	for _, a := range dec.Actions {
		detail := a.Detail
		if detail == "" {
			detail = "nothing withholds it"
		}
		out.add("action", string(a.Type)+" → "+a.Target, a.Verdict != Hold, string(a.Verdict)+" ("+a.Reason+"): "+detail)
		if a.Type == Retrain && a.Verdict != Hold {
			out.add("dispatch", "", true, d.set.dispatchDetail(r, a.Target))
		}
	}
}

// dispatchDetail tells what a planned retrain still meets when it is carried
// out, which goes across assets and can't be decided from one of them.
func (s *Set) dispatchDetail(r *rule, target string) string {
	busy := WhenBusyDrop
	if s.Queues(r.policy.Name, target) {
		busy = WhenBusyQueue
	}
	out := fmt.Sprintf("before it starts: one retrain of a model at a time (whenBusy: %s), budgets", busy)
	if models, within, _ := s.Storm(); models > 0 {
		out += fmt.Sprintf(", no storm (%d models of one data asset within %s)", models, Duration(within))
	}
	return out
}

// windows tells how many windows breached. Where the decision's own detail
// speaks of something else, it is counted again.
func (d *decider) windows(r *rule, o *occasion, dec *Decision, ok bool) string {
	if !ok || dec.Verdict == Act {
		return dec.Detail
	}
	return r.sustain(d.recall(r), o).detail
}

// maxExplained bounds for how many breaches the terms of a condition are
// listed one by one.
const maxExplained = 10

// explainTerms lists what the parts of a condition joined by && and || came
// to, for each breach where the condition reads the breach.
func (d *decider) explainTerms(out *PolicyExplanation, r *rule, o *occasion) {
	if r.when == nil {
		return
	}
	terms := r.when.terms()
	if len(terms) < 2 && len(o.breaches) < 2 {
		return
	}
	tries := o.breaches
	if !r.when.breach || len(tries) == 0 {
		tries = []*event.Breach{nil}
		if len(o.breaches) > 0 {
			tries[0] = o.breaches[0]
		}
	}
	for i, b := range tries {
		if i == maxExplained {
			out.add("term", "", true, fmt.Sprintf("%d more breaches are not listed", len(tries)-i))
			return
		}
		d.scope.breach = b
		for _, t := range terms {
			ok, err := t.eval(d.scope)
			detail := fmt.Sprintf("%t%s", ok, values(t, inputsOf(t, d.scope)))
			if err != nil {
				detail, _ = t.explainError(err)
			}
			if r.when.breach && b != nil && len(tries) > 1 {
				detail = "for " + clip(b.Feature, 80) + ": " + detail
			}
			out.add("term", t.text, ok, detail)
		}
	}
}

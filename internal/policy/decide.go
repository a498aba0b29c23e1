package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Decide says what the policies make of an event. It is a pure function: the
// same arguments give the same result, nothing is changed, nothing but the
// arguments is looked at. now is when the decision is made; it stamps actions
// and measures cooldowns, caps, freezes and time-outs.
//
// Only policies that are on the event's kind and match it decide: once per
// event, or once per signal where the event reports breaches. A
// monitor.passed event is in addition remembered by policies that count
// windows, and ends the suspension of those that retrain, without a decision.
//
// Of a policy in observe mode the result holds decisions and memory as if it
// enforced, but no actions; what it remembers is marked, so that it withholds
// nothing once the policy enforces.
//
// Windows are ordered by the time they were measured. One that arrives late
// takes its place among those remembered, and can make a newer one sustained,
// which is then what is acted on; it is withheld (late_window) when a newer
// one was acted on already, or when it is too old to be remembered.
func (s *Set) Decide(ev *event.Event, view View, now time.Time) Result {
	ix := s.index[ev.Kind]
	if ix == nil {
		return Result{}
	}
	f := facets{event: ev, view: &view}
	var stack [16]int
	candidates := ix.candidates(&f, stack[:0])
	if len(candidates) == 0 {
		return Result{}
	}
	d := newDecider(s, ev, &view, now)
	for _, i := range candidates {
		r := s.rules[i]
		if _, ok := r.matcher.match(&f); ok && d.due(r) {
			d.rule(r)
		}
	}
	return d.finish()
}

// decider is one call of Decide.
type decider struct {
	set    *Set
	event  *event.Event
	view   *View
	now    time.Time
	scope  *scope
	asset  string
	model  string
	log    string
	memory map[string]*recall
	result Result
	// retrain and rehearsed are the keys of a retrain that was planned, or
	// would have been, earlier in this call.
	retrain, rehearsed string
}

func newDecider(s *Set, ev *event.Event, view *View, now time.Time) *decider {
	return &decider{
		set: s, event: ev, view: view, now: now, scope: newScope(ev, view, now),
		asset: subject(ev, view), model: string(modelOf(ev, view)),
		log:    lineage.LogKey(ev.Key(), lineage.Home(ev)),
		memory: map[string]*recall{},
	}
}

// finish collects the memories that changed.
func (d *decider) finish() Result {
	for name, m := range d.memory {
		if !m.changed {
			continue
		}
		if d.result.Memory == nil {
			d.result.Memory = make(map[string]Memory, len(d.memory))
		}
		d.result.Memory[name] = m.Memory
	}
	return d.result
}

func (d *decider) recall(r *rule) *recall {
	m := d.memory[r.policy.Name]
	if m == nil {
		m = &recall{Memory: d.view.Memory[r.policy.Name]}
		d.memory[r.policy.Name] = m
	}
	return m
}

// rule lets one policy that matches decide.
func (d *decider) rule(r *rule) {
	if d.event.Kind == event.MonitorPassed {
		d.passed(r)
		if !slices.Contains(r.policy.On, event.MonitorPassed) {
			return
		}
	}
	occasions := r.occasions(d.event)
	for i := range occasions {
		d.result.Decisions = append(d.result.Decisions, d.noted(r, d.decide(r, &occasions[i])))
	}
}

// passed remembers a window in which no signal of a monitor breached, and ends
// the policy's suspension.
func (d *decider) passed(r *rule) {
	if r.policy.Sustained != nil {
		d.recall(r).record(Window{ID: windowOf(d.event), Time: d.event.Time}, r.keep())
	}
	d.lift(r)
}

// keep is how many windows a policy has to remember.
func (r *rule) keep() int {
	if s := r.policy.Sustained; s != nil {
		return max(s.Of, minWindows)
	}
	return minWindows
}

// decide is one policy's decision on one occasion.
func (d *decider) decide(r *rule, o *occasion) Decision {
	j := r.judge(d.scope, o)
	out := d.decision(r, o, j)
	m := d.recall(r)
	m.pardon(d.view.LastPassed)
	if r.policy.Sustained != nil && j.reason != ReasonConditionError {
		m.record(Window{Signal: o.signal, ID: o.window, Time: o.at, Breached: j.holds}, r.keep())
	}
	if !j.holds {
		out.Reason, out.Detail = j.reason, j.detail
		if out.Detail == "" {
			out.Detail = "the condition is false"
		}
		return out
	}
	w := r.sustain(m, o)
	if w.reason != "" {
		out.Reason, out.Detail = w.reason, w.detail
		return out
	}
	d.act(r, o, w, m, &out)
	return out
}

// decision is a decision before anything was decided.
func (d *decider) decision(r *rule, o *occasion, j judgement) Decision {
	out := Decision{
		Policy: r.policy.Name, PolicyHash: r.hash,
		Event: d.log, Asset: d.asset, Model: d.model,
		Window: o.window, At: d.now, Verdict: Hold,
		Breaches: copyBreaches(j.breaches[:min(len(j.breaches), maxBreaches)]),
	}
	out.MoreBreaches = len(j.breaches) - len(out.Breaches)
	if measures(d.event.Kind) {
		out.Signal = o.signal
	}
	if r.when != nil {
		d.scope.breach = j.decisive
		out.Condition, out.Inputs = r.when.text, inputsOf(r.when, d.scope)
	}
	return out
}

// act judges every step of a policy whose condition held long enough, and
// plans those that nothing withholds.
func (d *decider) act(r *rule, o *occasion, w sustained, m *recall, out *Decision) {
	out.Actions = make([]PlannedAction, 0, len(r.steps))
	for i := range r.steps {
		s := &r.steps[i]
		p := PlannedAction{Type: s.Type, Target: s.Target, Verdict: Hold}
		p.Key = event.Digest(r.policy.Name, d.asset, w.window+"/"+o.signal, string(s.Type), s.Target)
		if p.Reason, p.Detail = d.withheld(r, s, w, m); p.Reason == "" {
			p.Verdict, p.Reason = Act, ReasonActed
			if r.observe {
				p.Verdict, p.Reason, p.Detail = Observe, ReasonObserve, "would act, but the policy only observes"
			}
		}
		out.Actions = append(out.Actions, p)
	}
	detail := w.detail
	if detail == "" {
		detail = "the condition holds"
	}
	conclude(out, detail)
	d.plan(r, o, w, m, out)
}

// plan carries out what the steps came to: intents, firings, and the window
// marked as decided.
func (d *decider) plan(r *rule, o *occasion, w sustained, m *recall, out *Decision) {
	g := grounds{rule: r, window: w.window, decision: out}
	if out.Verdict == Act {
		g.title, g.reason = d.title(r, out), d.reason(r, w, out)
	}
	for i, p := range out.Actions {
		if !r.observe {
			d.tell(g, &r.steps[i], p.Reason, m)
		}
		if p.Verdict == Hold {
			continue
		}
		m.fire(Firing{Type: p.Type, Target: p.Target, Key: p.Key, At: d.now, Ended: r.observe, Simulated: r.observe}, r, d.now)
		if p.Type == Retrain && r.observe {
			d.rehearsed = p.Key
		} else if p.Type == Retrain {
			d.retrain = p.Key
			m.try(Trial{Key: p.Key, Target: p.Target, At: d.now, Hash: r.hash})
		}
		if !r.observe {
			d.result.Actions = append(d.result.Actions, d.intent(&g, &r.steps[i], p.Key))
		}
	}
	if out.Verdict != Hold {
		m.record(Window{Signal: o.signal, ID: w.window, Time: w.at, Breached: true, Decided: !r.observe, Observed: r.observe}, r.keep())
	}
}

// tell plans the reviews that say why a retrain is held, where people have to
// do something about it.
func (d *decider) tell(g grounds, s *step, reason string, m *recall) {
	switch reason {
	case ReasonDataQuality:
		d.dataReview(g)
	case ReasonSuspended:
		d.suspensionReview(g, s, m)
	}
}

// conclude sums the steps up.
func conclude(out *Decision, detail string) {
	reasons := map[string]bool{}
	for _, p := range out.Actions {
		reasons[p.Reason] = true
	}
	switch first := out.Actions[0]; {
	case reasons[ReasonActed]:
		out.Verdict, out.Reason, out.Detail = Act, ReasonActed, detail
	case reasons[ReasonObserve]:
		out.Verdict, out.Reason, out.Detail = Observe, ReasonObserve, "would act, but the policy only observes"
	case len(reasons) == 1:
		out.Reason, out.Detail = first.Reason, first.Detail
	default:
		parts := make([]string, len(out.Actions))
		for i, p := range out.Actions {
			parts[i] = string(p.Type) + ": " + p.Detail
		}
		out.Reason, out.Detail = ReasonAllHeld, strings.Join(parts, "; ")
	}
}

// Selects reports whether any policy may concern the event, before anything
// is read from a store for it: false means that Decide would return nothing,
// whatever the view. It looks at the event's kind and at the index only.
func (s *Set) Selects(ev *event.Event) bool {
	return s.selects(ev, func(*rule) bool { return true })
}

// MayRetrain reports whether a policy that Selects the event asks for a
// retrain, so that View.InFlight matters.
func (s *Set) MayRetrain(ev *event.Event) bool {
	return s.selects(ev, func(r *rule) bool {
		return slices.ContainsFunc(r.steps, func(st step) bool { return st.Type == Retrain })
	})
}

func (s *Set) selects(ev *event.Event, which func(*rule) bool) bool {
	ix := s.index[ev.Kind]
	if ix == nil {
		return false
	}
	f := facets{event: ev, view: &View{}}
	var stack [16]int
	for _, i := range ix.candidates(&f, stack[:0]) {
		if _, ok := s.rules[i].matcher.match(&f); ok && which(s.rules[i]) {
			return true
		}
	}
	return false
}

package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Bounds of what is remembered of retrains.
const (
	maxTrials       = 32
	maxSuspendAfter = 10
	// defaultSuspendAfter is how many ineffective retrains in a row suspend a
	// policy that does not say.
	defaultSuspendAfter = 2
)

// Trial is one retrain that a policy asked for, and whether it helped. A
// policy whose retrains did not help suspends itself for the asset; see
// [Set.Suspended].
type Trial struct {
	Key    string    `json:"key"`
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	// Hash is the policy's when it asked.
	Hash string `json:"hash"`
	// Verdict is the action's, "" while open; Judged the time of the window
	// that decided it.
	Verdict Efficacy  `json:"verdict,omitempty"`
	Judged  time.Time `json:"judged,omitzero"`
	// Forgiven is set when it no longer counts: the monitor passed since, or a
	// person resumed the policy.
	Forgiven bool `json:"forgiven,omitempty"`
	// Told is set when the review was raised that tells of the suspension which
	// this retrain completed.
	Told bool `json:"told,omitempty"`
}

// Judge notes what became of a retrain, and whether that is news. m itself is
// not changed.
func (m Memory) Judge(key string, verdict Efficacy, judged time.Time) (Memory, bool) {
	i := slices.IndexFunc(m.Trials, func(t Trial) bool { return t.Key == key })
	if i < 0 || m.Trials[i].Verdict == verdict && m.Trials[i].Judged.Equal(judged) {
		return m, false
	}
	m.Trials = slices.Clone(m.Trials)
	m.Trials[i].Verdict, m.Trials[i].Judged = verdict, judged
	return m, true
}

// Tell notes that the review of a suspension was raised, by the key of the
// retrain that completed it. m itself is not changed.
func (m Memory) Tell(key string) Memory {
	m.Trials = slices.Clone(m.Trials)
	for i := range m.Trials {
		m.Trials[i].Told = m.Trials[i].Told || m.Trials[i].Key == key
	}
	return m
}

// Forgive stops counting the retrains that were found ineffective by windows
// up to a time, and reports whether there are any. m itself is not changed.
func (m Memory) Forgive(until time.Time) (Memory, bool) {
	return m.forgive(func(t Trial) bool { return !t.Judged.After(until) })
}

// ForgiveAll stops counting every retrain that was found ineffective so far.
func (m Memory) ForgiveAll() (Memory, bool) {
	return m.forgive(func(Trial) bool { return true })
}

func (m Memory) forgive(which func(Trial) bool) (Memory, bool) {
	forgives := func(t Trial) bool { return !t.Forgiven && t.Verdict == Ineffective && which(t) }
	if !slices.ContainsFunc(m.Trials, forgives) {
		return m, false
	}
	m.Trials = slices.Clone(m.Trials)
	for i, t := range m.Trials {
		m.Trials[i].Forgiven = t.Forgiven || forgives(t)
	}
	return m, true
}

// Unsettled lists the keys of the latest retrains about which a window that
// was measured at a time may be news.
func (m Memory) Unsettled(at time.Time) []string {
	var keys []string
	for i := len(m.Trials) - 1; i >= 0 && i >= len(m.Trials)-maxUnsettled; i-- {
		t := m.Trials[i]
		if t.Verdict != Effective && t.Verdict != Ineffective || !at.After(t.Judged) {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

// maxUnsettled bounds how many retrains one window can tell about.
const maxUnsettled = 4

// streak counts the latest retrains to a target that did not help, one after
// the other; last is the newest of them. One of which nothing is known neither
// counts nor ends the row; a pass, a forgiven one and another text of the
// policy end it.
func (m Memory) streak(target, hash string, passed time.Time) (n int, last Trial) {
	for i := len(m.Trials) - 1; i >= 0; i-- {
		t := m.Trials[i]
		switch {
		case t.Target != target || t.Verdict == "" || t.Verdict == UnknownEfficacy:
			continue
		case t.Verdict == Effective || t.Forgiven || t.Hash != hash || !t.Judged.After(passed):
			return n, last
		}
		if n++; n == 1 {
			last = t
		}
	}
	return n, last
}

// try remembers a retrain that was planned.
func (m *recall) try(t Trial) {
	trials := append(slices.Clone(m.Trials), t)
	m.Trials, m.changed = trials[max(0, len(trials)-maxTrials):], true
}

// Suspension tells that a policy asks for no more retrains of an asset.
type Suspension struct {
	Policy, Target string
	// Retrains is how many in a row did not help, After how many are enough.
	Retrains, After int
	// Last is the newest of them.
	Last Trial
}

// Suspended reports whether a policy has suspended itself, given what it
// remembers of the asset and when the monitor last passed (zero is never).
func (s *Set) Suspended(policy string, m Memory, passed time.Time) (Suspension, bool) {
	r := s.byName[policy]
	if r == nil {
		return Suspension{}, false
	}
	for i := range r.steps {
		if out, ok := r.suspended(&r.steps[i], m, passed); ok {
			return out, true
		}
	}
	return Suspension{}, false
}

func (r *rule) suspended(s *step, m Memory, passed time.Time) (Suspension, bool) {
	if s.Type != Retrain || s.SuspendAfter == 0 {
		return Suspension{}, false
	}
	n, last := m.streak(s.Target, r.hash, passed)
	return Suspension{Policy: r.policy.Name, Target: s.Target, Retrains: n, After: s.SuspendAfter, Last: last}, n >= s.SuspendAfter
}

// SuspensionCause is the cause of the review that tells of a suspension.
func SuspensionCause(policy, asset string) string { return "suspended:" + policy + "@" + asset }

// Key is the idempotency key of the review that tells of the suspension.
func (s Suspension) Key(asset string) string {
	return event.Digest("suspended", s.Policy, asset, s.Last.Key)
}

// Title says in a few words what is wrong.
func (s Suspension) Title(name string) string {
	return fmt.Sprintf("%s: retraining does not help, policy %s is suspended", name, s.Policy)
}

// Text says why the policy is suspended and what to do.
func (s Suspension) Text() string {
	return fmt.Sprintf("%d retrains in a row by policy %s did not help: it asks for no more. Find out why training again does not clear the breach (the data, the features, the threshold). Retraining resumes when the monitor passes, when the policy's text changes, or with `modelwarden policy resume %s --asset ASSET`.",
		s.Retrains, s.Policy, s.Policy)
}

// resting withholds the retrains of a policy that suspended itself.
func (d *decider) resting(r *rule, s *step, m *recall) (string, string) {
	out, suspended := r.suspended(s, m.Memory, d.view.LastPassed)
	if !suspended {
		return "", ""
	}
	return ReasonSuspended, fmt.Sprintf("the last %d retrains by this policy did not help (suspendAfter %d)", out.Retrains, out.After)
}

// suspensionReview plans the review that tells of a suspension, once.
func (d *decider) suspensionReview(g grounds, s *step, m *recall) {
	out, _ := g.rule.suspended(s, m.Memory, d.view.LastPassed)
	if out.Last.Told {
		return
	}
	g.title, g.reason = out.Title(d.name()), out.Text()
	a := d.intent(&g, &step{Type: Review, Target: Desk, Severity: "error"}, out.Key(d.asset))
	a.Cause = SuspensionCause(out.Policy, d.asset)
	d.result.Actions = append(d.result.Actions, a)
	m.Memory, m.changed = m.Tell(out.Last.Key), true
}

// lift ends a suspension because the monitor passed: the retrains before are
// forgiven, and the review that told of it is closed.
func (d *decider) lift(r *rule) {
	if r.observe || d.view.Fenced || d.view.LastPassed.Before(d.event.Time) {
		return
	}
	m := d.recall(r)
	for i := range r.steps {
		if _, was := r.suspended(&r.steps[i], m.Memory, time.Time{}); !was {
			continue
		}
		m.pardon(d.view.LastPassed)
		if _, still := r.suspended(&r.steps[i], m.Memory, time.Time{}); !still {
			d.result.Actions = append(d.result.Actions, d.lifted(r))
		}
		return
	}
}

// pardon forgives in the memory at hand.
func (m *recall) pardon(until time.Time) {
	if forgiven, changed := m.Forgive(until); changed {
		m.Memory, m.changed = forgiven, true
	}
}

func (d *decider) lifted(r *rule) Action {
	cause := SuspensionCause(r.policy.Name, d.asset)
	key := event.Digest("resolve", cause, string(d.event.Key()))
	return Action{
		ID: ActionID(key, d.asset), Key: key, Type: Resolve, Target: Desk, Policy: r.policy.Name, PolicyHash: r.hash,
		Event: d.log, Asset: d.asset, Model: d.model, Window: windowOf(d.event), Cause: cause,
		Title: "Resumed", Reason: "the monitor passed, so policy " + r.policy.Name + " may ask for retrains again",
		Occurred: d.event.Time.UTC(), State: Pending, Created: d.now, Updated: d.now,
	}
}

package review

import (
	"fmt"
	"slices"
	"time"
)

// Rules are how reviews treat what comes and goes.
type Rules struct {
	// ReopenWithin: a cause that comes back so soon after it passed by itself
	// reopens its review. Zero is never.
	ReopenWithin time.Duration
	// HoldDown: so long a cause that came back before has to stay away until its
	// review resolves by itself. Zero is not at all.
	HoldDown time.Duration
	// UpdateEvery: so often at most a review's tickets are brought up to date
	// for nothing but more signals. Defaults to 5 minutes.
	UpdateEvery time.Duration
}

// Passing says that a cause passed.
type Passing struct {
	// At is when, by the event's own clock; required.
	At time.Time `json:"at,omitzero"`
	// Window, where there is one, is what measured. A window with a violation
	// in it did not pass, whatever else it says: no signal of the same window
	// is resolved by this.
	Window string `json:"window,omitempty"`
	// Key names the action and is kept in the resolution; Text is for people.
	Key  string `json:"key,omitempty"`
	Text string `json:"text,omitempty"`
}

// pass resolves the review because its cause passed at a time after its last
// signal, in another window; or, where the cause came back before, makes it
// wait and see. It reports whether it changed anything.
func (r *Review) pass(p Passing, rules Rules, now time.Time) bool {
	if r.State == Resolved || p.At.IsZero() || !r.LastSignal.Before(p.At) || r.signalled(p.Window) {
		return false
	}
	if r.Reopened == 0 || rules.HoldDown <= 0 {
		r.resolvePassed(p, now)
		return true
	}
	if r.Pending != nil {
		return false
	}
	r.Pending, r.ResolveAt = &p, now.Add(rules.HoldDown)
	r.record(Transition{At: now, By: System, From: r.State, To: r.State,
		Why: fmt.Sprintf("the cause passed; it came back before, so this resolves only if it stays away until %s", clock(r.ResolveAt))})
	return true
}

// resolvePassed resolves the review as a cause that passed does.
func (r *Review) resolvePassed(p Passing, at time.Time) {
	r.enter(Resolved, Transition{At: at, By: System, Why: p.Text})
	r.ResolvedAt, r.Resolution = at, &Resolution{By: System, Cause: p.Text, Auto: true, Key: p.Key, Passed: p.At}
}

// covers says whether a signal is of a time before the passing, and so past.
func (p *Passing) covers(s Signal) bool {
	return s.At.Before(p.At) && (p.Window == "" || s.Window != p.Window)
}

// signalled says whether one of the newest signals came from the window.
func (r *Review) signalled(window string) bool {
	return window != "" && slices.ContainsFunc(r.Signals, func(n Note) bool { return n.Window == window })
}

// comesBack says whether a signal reopens the review rather than opening
// another one.
func (r *Review) comesBack(s Signal, rules Rules, now time.Time) bool {
	return rules.ReopenWithin > 0 && r.State == Resolved && r.Resolution != nil && r.Resolution.Auto && r.Joined == "" &&
		s.At.After(r.Resolution.Passed) && now.Sub(r.ResolvedAt) <= rules.ReopenWithin
}

// reopen makes a resolved review open again for a signal that is about to be
// merged.
func (r *Review) reopen(now time.Time) {
	r.enter(Open, Transition{At: now, By: System, Why: "the cause is back"})
}

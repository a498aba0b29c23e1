package policy

import (
	"slices"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Turn divides the policies that an event concerns by what they read. An
// event is decided upon when it is committed; what Azure Machine Learning
// knows of it (a run's metrics, the breaches that a cut tag lost) comes later
// or, while that service fails, not at all. Only those who read it wait.
type Turn int

// Turns. AtOnce and Afterwards together are Whole: no policy decides twice.
const (
	// Whole lets all policies decide.
	Whole Turn = iota
	// AtOnce leaves those out that wait.
	AtOnce
	// Afterwards leaves those out that View.Decided names. That is not only
	// those that waited: what was found out may make an event match a policy
	// that it did not match before.
	Afterwards
)

// Awaits reports whether a policy that Selects the event reads what only
// Azure Machine Learning can tell.
func (s *Set) Awaits(ev *event.Event) bool {
	return s.selects(ev, func(r *rule) bool { return r.awaits(ev) })
}

// awaits says whether the condition reads metrics, of this run or of the
// version in service, or breaches of which the event lost some.
func (r *rule) awaits(ev *event.Event) bool {
	return r.when != nil && slices.ContainsFunc(r.when.reads, func(x read) bool {
		return x.root == "metrics" || x.root == "champion" || (x.root == "breach" && ev.Loss != nil)
	})
}

// due says whether it is the policy's turn.
func (d *decider) due(r *rule) bool {
	switch d.view.Turn {
	case AtOnce:
		return !r.awaits(d.event)
	case Afterwards:
		// A pass that a policy only remembers was remembered at once.
		return !slices.Contains(d.view.Decided, r.policy.Name) &&
			(d.event.Kind != event.MonitorPassed || slices.Contains(r.policy.On, event.MonitorPassed))
	}
	return true
}

// noted says in a decision what it had to do without.
func (d *decider) noted(r *rule, out Decision) Decision {
	if d.view.Missing != "" && r.awaits(d.event) {
		out.Detail += "; " + d.view.Missing
	}
	return out
}

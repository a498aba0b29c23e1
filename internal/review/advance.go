package review

import (
	"fmt"
	"slices"
	"time"
)

// Advance makes the changes that time alone brings, as of their own due times:
// a silence or a snooze ends, a cause has stayed away for long enough, a
// deadline passes without an acknowledgement. Calling it earlier, later or
// twice ends in the same review, so readers may call it on their copy and
// nothing is lost when it runs late. It reports whether anything changed.
func (r *Review) Advance(now time.Time) (changed bool) {
	for {
		due := r.Due()
		if due.IsZero() || now.Before(due) {
			return changed
		}
		r.fall(due)
		changed = true
	}
}

// Due is when time alone next changes the review; zero is never.
func (r *Review) Due() time.Time {
	var due time.Time
	for _, t := range []time.Time{r.silenceEnds(), r.snoozeEnds(), r.ResolveAt, r.deadline()} {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	return due
}

func (r *Review) silenceEnds() time.Time {
	if r.Silence == nil {
		return time.Time{}
	}
	return r.Silence.Until
}

func (r *Review) snoozeEnds() time.Time {
	if r.State != Snoozed {
		return time.Time{}
	}
	return r.SnoozedUntil
}

// deadline is when the review escalates next. A review whose cause has passed
// and that only waits to resolve calls nobody; if the cause comes back, its
// deadline is where it was.
func (r *Review) deadline() time.Time {
	if r.State != Open || r.Silence != nil || !r.ResolveAt.IsZero() {
		return time.Time{}
	}
	return r.AckBy
}

// fall makes the one change that is due at a time.
func (r *Review) fall(due time.Time) {
	switch due {
	case r.silenceEnds():
		r.lift(due, "the silence ended")
	case r.snoozeEnds():
		r.enter(Open, Transition{At: due, By: System, Why: "the snooze ended"})
	case r.ResolveAt:
		r.resolvePassed(*r.Pending, due)
	default:
		r.escalate(due)
	}
}

// escalate goes one step up the chain, or begins it again, or, at its end,
// leaves it at that.
func (r *Review) escalate(at time.Time) {
	r.Escalated, r.AckBy = at, time.Time{}
	why := "escalated: nobody acknowledged it in time"
	switch {
	case r.Level < len(r.Chain):
		rung := r.Chain[r.Level]
		r.Level++
		r.reach(rung.Target)
		why = fmt.Sprintf("escalated to %s: nobody acknowledged it in time", rung.Target)
		r.AckBy = after(at, rung.Within, r.AckWithin)
	case r.Round < r.Repeat:
		r.Round, r.Level = r.Round+1, 0
		why = fmt.Sprintf("escalated from the start again, %d of %d times: nobody acknowledged it", r.Round, r.Repeat)
		r.AckBy = after(at, r.AckWithin)
	case len(r.Chain) > 0:
		why = "the escalation is at its end, and nobody acknowledged it"
	}
	r.record(Transition{At: at, By: System, From: Open, To: Open, Why: why})
}

// hasNext says whether there is a step above the one that was reached.
func (r *Review) hasNext() bool { return r.Level < len(r.Chain) || r.Round < r.Repeat }

// after adds the first interval that is set; none makes no time at all.
func after(at time.Time, choices ...Interval) time.Time {
	for _, i := range choices {
		if i > 0 {
			return at.Add(time.Duration(i))
		}
	}
	return time.Time{}
}

// reach notes that a target of the chain is told.
func (r *Review) reach(target string) {
	if !slices.Contains(r.Reached, target) && len(r.Reached) < MaxTargets {
		r.Reached = append(r.Reached, target)
	}
}

// Audience are the targets that the review has been brought to: its own, and
// those that it escalated to, in that order.
func (r *Review) Audience() []string {
	out := r.Called()
	for _, t := range r.Reached {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// Called are those of the audience that are called now: all up to the step that
// the escalation has reached since it last began.
func (r *Review) Called() []string {
	out := slices.Clone(r.Targets)
	reached := r.Level
	if r.Round > 0 {
		reached = len(r.Chain)
	}
	for _, rung := range r.Chain[:min(reached, len(r.Chain))] {
		if !slices.Contains(out, rung.Target) {
			out = append(out, rung.Target)
		}
	}
	return out
}

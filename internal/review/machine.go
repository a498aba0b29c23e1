package review

import (
	"fmt"
	"slices"
	"time"
)

// moves is the state machine of the verbs: where each leads. A verb that is
// absent is refused; one that leads where the review already stands changes
// nothing, except for a new end of a snooze and a comment's text.
var moves = map[State]map[Verb]State{
	Open:         {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Open, Reopen: Open},
	Acknowledged: {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Acknowledged, Reopen: Open},
	Snoozed:      {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Snoozed, Reopen: Open},
	Resolved:     {Resolve: Resolved, Remark: Resolved, Reopen: Open},
}

// Apply carries a command out. It first lets Advance bring the review up to
// now. changed is false when all stays as it was, as for a second
// acknowledgement. The error is a *CommandError or a *TransitionError, and
// the review then unchanged by the command.
func (r *Review) Apply(c Command, now time.Time) (changed bool, err error) {
	if err := c.check(now); err != nil {
		return false, err
	}
	changed = r.Advance(now)
	to, legal := moves[r.State][c.Verb]
	if !legal {
		return changed, &TransitionError{ID: r.ID, From: r.State, Verb: c.Verb}
	}
	switch {
	case c.Verb == Remark && c.Key != "" && r.commented(c.Key):
		return changed, nil
	case c.Verb == Remark:
		r.comment(Comment{Key: c.Key, At: now, By: c.By, Text: c.Why})
	case to == r.State && (to != Snoozed || c.Until.Equal(r.SnoozedUntil)):
		return changed, nil
	default:
		r.enter(to, Transition{At: now, By: c.By, Why: c.Why})
		r.particulars(c, now)
	}
	return true, nil
}

// particulars fills in what the state just entered by a command knows besides
// its name.
func (r *Review) particulars(c Command, now time.Time) {
	switch r.State {
	case Acknowledged:
		r.AckedAt, r.AckedBy = now, c.By
	case Snoozed:
		r.SnoozedUntil = c.Until
	case Resolved:
		r.ResolvedAt, r.Resolution = now, &Resolution{By: c.By, Cause: c.Why}
	}
}

// enter moves the review into a state. Deadlines belong to the state that set
// them, so none survives, and an escalation begins at its first step again.
func (r *Review) enter(to State, t Transition) {
	t.From, t.To = r.State, to
	r.record(t)
	if r.State == Resolved && to != Resolved {
		r.Unresolved, r.ResolvedAt, r.Resolution, r.Joined, r.CallsFrom = t.At, time.Time{}, nil, "", time.Time{}
		r.Reopened++
	}
	r.State, r.AckBy, r.SnoozedUntil = to, time.Time{}, time.Time{}
	if to == Resolved {
		r.Pending, r.ResolveAt, r.Silence = nil, time.Time{}, nil
	}
	if to != Open {
		return
	}
	r.OpenSince, r.Escalated, r.AckedAt, r.AckedBy = t.At, time.Time{}, time.Time{}, ""
	r.Level, r.Round = 0, 0
	r.demandAck(t.At, time.Duration(r.AckWithin))
}

// demandAck sets the deadline of an open review, or brings it forward. While a
// silence holds the review it has none.
func (r *Review) demandAck(from time.Time, within time.Duration) {
	if within <= 0 || r.Silence != nil {
		return
	}
	if by := from.Add(within); r.AckBy.IsZero() || by.Before(r.AckBy) {
		r.AckBy = by
	}
}

// record appends to the bounded history.
func (r *Review) record(t Transition) {
	t.Why = clip(t.Why, maxText)
	r.History = append(r.History, t)
	if over := len(r.History) - MaxHistory; over > 0 {
		r.History = append([]Transition(nil), r.History[over:]...)
		r.HistoryDropped += over
	}
	r.touch(t.At)
}

func (r *Review) comment(c Comment) {
	r.Comments = append(r.Comments, c)
	if over := len(r.Comments) - MaxComments; over > 0 {
		r.Comments = append([]Comment(nil), r.Comments[over:]...)
		r.CommentsDropped += over
	}
	r.touch(c.At)
}

// commented says whether the comment that this brought is there already.
func (r *Review) commented(key string) bool {
	return slices.ContainsFunc(r.Comments, func(c Comment) bool { return c.Key == key })
}

func (r *Review) touch(at time.Time) {
	if at.After(r.Updated) {
		r.Updated = at
	}
}

// raiseSeverity makes the review as severe as its worst signal. Whoever had
// set it aside had set aside something milder, so it opens again.
func (r *Review) raiseSeverity(to Severity, now time.Time) {
	why := fmt.Sprintf("severity raised from %s to %s", r.Severity, to)
	r.Severity = to
	t := Transition{At: now, By: System, From: r.State, To: r.State, Why: why}
	if r.State == Open {
		r.record(t)
		return
	}
	r.enter(Open, t)
}

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
	Open:         {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Open},
	Acknowledged: {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Acknowledged},
	Snoozed:      {Ack: Acknowledged, Snooze: Snoozed, Resolve: Resolved, Remark: Snoozed},
	Resolved:     {Resolve: Resolved, Remark: Resolved},
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
	case c.Verb == Remark:
		r.comment(Comment{At: now, By: c.By, Text: c.Why})
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

// Advance makes the changes that time alone brings, as of their own due
// times: a snooze that ended opens the review, a missed deadline escalates
// it. Calling it earlier, later or twice ends in the same review, so readers
// may call it on their copy and nothing needs to run on time. It reports
// whether anything changed.
func (r *Review) Advance(now time.Time) (changed bool) {
	if r.State == Snoozed && !now.Before(r.SnoozedUntil) {
		r.enter(Open, Transition{At: r.SnoozedUntil, By: System, Why: "the snooze ended"})
		changed = true
	}
	if r.State == Open && !r.AckBy.IsZero() && r.Escalated.IsZero() && !now.Before(r.AckBy) {
		r.Escalated = r.AckBy
		r.record(Transition{At: r.AckBy, By: System, From: Open, To: Open, Why: "escalated: nobody acknowledged it in time"})
		changed = true
	}
	return changed
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
// signal, in another window. It reports whether it did.
func (r *Review) pass(p Passing, now time.Time) bool {
	if r.State == Resolved || !r.LastSignal.Before(p.At) || r.signalled(p.Window) {
		return false
	}
	r.enter(Resolved, Transition{At: now, By: System, Why: p.Text})
	r.ResolvedAt, r.Resolution = now, &Resolution{By: System, Cause: p.Text, Auto: true, Key: p.Key}
	return true
}

// signalled says whether one of the newest signals came from the window.
func (r *Review) signalled(window string) bool {
	return window != "" && slices.ContainsFunc(r.Signals, func(n Note) bool { return n.Window == window })
}

// enter moves the review into a state. Deadlines belong to the state that set
// them, so none survives.
func (r *Review) enter(to State, t Transition) {
	t.From, t.To = r.State, to
	r.record(t)
	r.State, r.AckBy, r.SnoozedUntil = to, time.Time{}, time.Time{}
	if to != Open {
		return
	}
	r.OpenSince, r.Escalated, r.AckedAt, r.AckedBy = t.At, time.Time{}, time.Time{}, ""
	r.demandAck(t.At, time.Duration(r.AckWithin))
}

// demandAck sets the deadline of an open review, or brings it forward.
func (r *Review) demandAck(from time.Time, within time.Duration) {
	if within <= 0 {
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

package review

import (
	"fmt"
	"time"
)

// hush keeps the review from calling anybody while a silence lasts. What was
// set in motion before, a deadline, stops; a silence that is over is replaced
// by one that is not.
func (r *Review) hush(s Silence, now time.Time) {
	if r.State == Resolved || r.Silence != nil && now.Before(r.Silence.Until) {
		return
	}
	r.Silence, r.AckBy = &Silenced{ID: s.ID, By: s.By, Why: s.Why, Until: s.Until}, time.Time{}
	r.record(Transition{At: now, By: s.By, From: r.State, To: r.State, Why: fmt.Sprintf("silenced until %s: %s", clock(s.Until), s.Why)})
}

// lift ends a silence. A review that is still open then calls as if it had just
// become so.
func (r *Review) lift(at time.Time, why string) {
	r.Silence = nil
	r.record(Transition{At: at, By: System, From: r.State, To: r.State, Why: why})
	if r.State != Open {
		return
	}
	r.OpenSince, r.Escalated, r.Level, r.Round = at, time.Time{}, 0, 0
	r.demandAck(at, time.Duration(r.AckWithin))
}

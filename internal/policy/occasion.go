package policy

import (
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Bounds on how many breaches of one signal a condition is tried on: at most
// maxJudged, fewer where one try may be expensive, but always ten.
const (
	maxJudged   = 1000
	minJudged   = 10
	judgingCost = 1_000_000
)

// tries is how many breaches the condition may be tried on.
func (c *condition) tries() int {
	return max(minJudged, min(maxJudged, judgingCost/max(1, int(c.cost))))
}

// occasion is what a policy decides on: an event, or one signal of it.
type occasion struct {
	signal string
	window string
	at     time.Time
	// ordered is true where windows follow one another, so that an old one
	// says nothing new once a newer one was acted on. Alerts, deployments
	// and jobs each stand for themselves.
	ordered  bool
	breaches []*event.Breach
}

// occasions splits an event the way a policy looks at it: by signal where the
// event reports breaches, else not at all.
func (r *rule) occasions(ev *event.Event) []occasion {
	base := occasion{window: windowOf(ev), at: ev.Time, ordered: ev.Monitor != nil}
	if ev.Alert != nil {
		base.signal = ev.Alert.Rule
		base.at = firedAt(ev)
	}
	if !measures(ev.Kind) || len(ev.Breaches) == 0 && ev.Loss == nil {
		return []occasion{base}
	}
	var out []occasion
	place := make(map[string]int, 4)
	under := func(signal string) *occasion {
		i, known := place[signal]
		if !known {
			i = len(out)
			place[signal] = i
			base.signal = signal
			out = append(out, base)
		}
		return &out[i]
	}
	for i := range ev.Breaches {
		if b := &ev.Breaches[i]; r.matcher.breach(b) {
			o := under(b.Signal)
			o.breaches = append(o.breaches, b)
		}
	}
	for _, signal := range r.cut(ev) {
		under(signal)
	}
	return out
}

// cut are the signals of which an event's list was cut: they breached even
// where no whole breach is left of them.
func (r *rule) cut(ev *event.Event) []string {
	if ev.Loss == nil || r.matcher.signalType != nil {
		return nil
	}
	var out []string
	for _, signal := range ev.Loss.Signals {
		if r.matcher.signal == nil || anyGlob(r.matcher.signal, signal) {
			out = append(out, signal)
		}
	}
	return out
}

// windowOf identifies what an event speaks of, so that all events about the
// same make one decision: the monitoring run, the job's run, the alert's
// instance, the model version. A deployment happens anew each time, also of a
// version that was deployed before; it and the rest go by the event itself.
func windowOf(ev *event.Event) string {
	switch {
	case ev.Monitor != nil:
		return ev.Monitor.Window
	case ev.Alert != nil && ev.Kind == event.AlertResolved:
		return "resolved:" + ev.Alert.ID + "@" + firedAt(ev).UTC().Format(time.RFC3339)
	case ev.Alert != nil:
		return ev.Alert.ID + "@" + firedAt(ev).UTC().Format(time.RFC3339)
	case ev.Model != nil:
		return ev.Model.Version
	case ev.Deployment != nil:
		return string(ev.Key())
	case ev.Run != nil:
		return ev.Run.ID
	}
	return string(ev.Key())
}

func firedAt(ev *event.Event) time.Time {
	if ev.Alert.Fired.IsZero() {
		return ev.Time
	}
	return ev.Alert.Fired
}

// judgement is what a condition made of an occasion.
type judgement struct {
	holds  bool
	reason string // condition_false or condition_error when it does not hold
	detail string
	// breaches are those that it held for; decisive the first of them, or
	// the first that was tried.
	breaches []*event.Breach
	decisive *event.Breach
}

// judge tries the condition on an occasion: on each breach where it reads the
// breach, else once. It holds when it holds for any.
func (r *rule) judge(s *scope, o *occasion) judgement {
	tries := o.breaches
	var j judgement
	if len(tries) > 0 {
		j.decisive = tries[0]
	}
	if r.when == nil {
		j.holds, j.breaches = true, tries
		return j
	}
	if !r.when.breach || len(tries) == 0 {
		s.breach = j.decisive
		j.one(r.when, s, tries)
		return j
	}
	limit := min(len(tries), r.when.tries())
	for _, b := range tries[:limit] {
		s.breach = b
		j.one(r.when, s, []*event.Breach{b})
	}
	switch {
	case j.holds:
		j.reason, j.detail, j.decisive = "", "", j.breaches[0]
	case limit < len(tries) && j.detail == "":
		j.detail = fmt.Sprintf("the condition is false for the first %d of %d breaches; more are not tried", limit, len(tries))
	}
	return j
}

// one tries the condition in the scope; of is what it then holds for.
func (j *judgement) one(c *condition, s *scope, of []*event.Breach) {
	ok, err := c.eval(s)
	switch {
	case err == nil && ok:
		j.holds = true
		j.breaches = append(j.breaches, of...)
	case err != nil && j.reason != ReasonConditionError:
		detail, absent := c.explainError(err)
		if absent {
			j.reason, j.detail = ReasonConditionFalse, detail
			return
		}
		j.reason, j.detail, j.decisive = ReasonConditionError, detail, s.breach
	case j.reason == "":
		j.reason = ReasonConditionFalse
	}
}

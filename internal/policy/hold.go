package policy

import (
	"fmt"
	"time"
)

// sustained is the window that a decision is about, or why there is none yet.
type sustained struct {
	window string
	at     time.Time
	detail string
	reason string
	// decided and late say why a window is not acted on (again).
	decided, late bool
}

// sustain looks for the window to act on: this one, or a newer one that this
// late one completes.
func (r *rule) sustain(m *recall, o *occasion) sustained {
	past := m.history(o.signal, r.observe)
	here := -1
	for i := range past {
		if past[i].id == o.window {
			here = i
		}
	}
	out := sustained{window: o.window, at: o.at}
	rule := r.policy.Sustained
	if rule == nil {
		if here >= 0 {
			out.decided, out.at = past[here].decided, past[here].time
		}
		out.late = isLate(past, out, o.ordered, r.keep())
		return out
	}
	if here < 0 {
		// Recorded a moment ago and gone: older than all that is remembered.
		out.late = true
		return out
	}
	return count(past, here, rule, out)
}

// count finds the newest window, not more than Of after the one at hand, that
// has Count breached among the latest Of.
func count(past []measured, here int, rule *Sustained, out sustained) sustained {
	for i := min(here+rule.Of, len(past)) - 1; i >= here; i-- {
		n := 0
		latest := past[max(0, i-rule.Of+1) : i+1]
		for _, w := range latest {
			if w.breached {
				n++
			}
		}
		out.detail = fmt.Sprintf("%d of the latest %d windows breached", n, len(latest))
		if !past[i].breached || n < rule.Count {
			continue
		}
		out.window, out.at, out.decided = past[i].id, past[i].time, past[i].decided
		out.late = isLate(past, out, true, len(past)+1)
		if i > here {
			out.detail += "; a window that came late completed them"
		}
		return out
	}
	out.reason = ReasonNotSustained
	out.detail += fmt.Sprintf(", %d of %d are needed", rule.Count, rule.Of)
	return out
}

// isLate reports whether a newer window was acted on, where windows follow
// one another, or so many newer ones are remembered that this one would be
// forgotten at once.
func isLate(past []measured, w sustained, ordered bool, keep int) bool {
	newer := 0
	for _, p := range past {
		if c := p.time.Compare(w.at); c > 0 || c == 0 && p.id > w.window {
			newer++
			if ordered && p.decided {
				return true
			}
		}
	}
	return newer >= keep
}

// withheld says why a step is not taken now, "" when it is.
func (d *decider) withheld(r *rule, s *step, w sustained, m *recall) (reason, detail string) {
	switch {
	case w.decided:
		return ReasonSameWindow, "window " + clip(w.window, 80) + " was acted on already"
	case w.late:
		return ReasonLate, "window " + clip(w.window, 80) + " is older than what was acted on already"
	case d.view.Fenced:
		return ReasonFenced, "this is a replay that may not act"
	}
	for _, check := range []func(*rule, *step, *recall) (string, string){d.broken, d.resting, d.frozen, d.cooling, d.capped, d.inFlight} {
		if reason, detail = check(r, s, m); reason != "" {
			return reason, detail
		}
	}
	return "", ""
}

func (d *decider) frozen(_ *rule, s *step, _ *recall) (string, string) {
	for i := range d.set.freezes {
		f := &d.set.freezes[i]
		if d.now.Before(f.from) || !d.now.Before(f.to) || !f.holds(s.Type) {
			continue
		}
		if _, ok := f.matcher.match(&facets{event: d.event, view: d.view}); ok {
			return ReasonFreeze, fmt.Sprintf("freeze %s until %s", f.Name, moment(f.to))
		}
	}
	return "", ""
}

// counts reports whether a firing is one of the step's: what observe mode
// only rehearsed counts for observe mode alone.
func (f Firing) counts(r *rule, s *step) bool {
	return f.Type == s.Type && f.Target == s.Target && (r.observe || !f.Simulated)
}

func (d *decider) cooling(r *rule, s *step, m *recall) (string, string) {
	if s.Cooldown <= 0 {
		return "", ""
	}
	var last time.Time
	for _, f := range m.Fired {
		if f.counts(r, s) && f.At.After(last) {
			last = f.At
		}
	}
	if left := last.Add(s.Cooldown).Sub(d.now); !last.IsZero() && left > 0 {
		return ReasonCooldown, fmt.Sprintf("cooldown of %s since %s, %s left", Duration(s.Cooldown), moment(last), rough(left))
	}
	return "", ""
}

func (d *decider) capped(r *rule, s *step, m *recall) (string, string) {
	if s.MaxPerDay <= 0 {
		return "", ""
	}
	n, oldest := 0, d.now
	for _, f := range m.Fired {
		if f.counts(r, s) && d.now.Sub(f.At) < day {
			n++
			if f.At.Before(oldest) {
				oldest = f.At
			}
		}
	}
	if n < s.MaxPerDay {
		return "", ""
	}
	return ReasonCap, fmt.Sprintf("%d in the last 24 hours, at most %d; the next after %s", n, s.MaxPerDay, moment(oldest.Add(day)))
}

// inFlight keeps retrains of one model to one at a time. One that may queue is
// planned all the same, and waits when it is dispatched.
func (d *decider) inFlight(r *rule, s *step, _ *recall) (string, string) {
	if s.Type != Retrain {
		return "", ""
	}
	if d.view.InFlight != "" && !s.Queue {
		return ReasonInFlight, "retrain " + clip(d.view.InFlight, 80) + " of this model has not ended"
	}
	if d.retrain != "" {
		return ReasonInFlight, "the same event already made retrain " + d.retrain
	}
	if r.observe && d.rehearsed != "" {
		return ReasonInFlight, "the same event would already have made retrain " + d.rehearsed
	}
	if f, running := d.running(); running && !s.Queue {
		return ReasonInFlight, fmt.Sprintf("retrain %s since %s has not ended", f.Key, moment(f.At))
	}
	return "", ""
}

// running finds the latest retrain that any policy remembers as not ended.
func (d *decider) running() (latest Firing, found bool) {
	for name, m := range d.view.Memory {
		for _, f := range m.Fired {
			if f.Type != Retrain || f.Ended || d.now.Sub(f.At) >= d.set.timeout(name, f.Target) {
				continue
			}
			if !found || f.At.After(latest.At) || f.At.Equal(latest.At) && f.Key > latest.Key {
				latest, found = f, true
			}
		}
	}
	return latest, found
}

// timeout is when a policy's retrain to a target is given up for lost.
func (s *Set) timeout(policy, target string) time.Duration {
	if r := s.byName[policy]; r != nil {
		for _, st := range r.steps {
			if st.Type == Retrain && st.Target == target {
				return st.Timeout
			}
		}
	}
	return defaultTimeout
}

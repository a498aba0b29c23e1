package lineage

import (
	"encoding/json"
	"slices"
	"time"
)

// Window is one measured window of a monitor, put together from all that was
// said of it.
type Window struct {
	ID string
	// At is when it was first heard of.
	At time.Time
	// Breached are the signals that breached in it, Step the run that said so.
	Breached []string
	Step     string
	// Ended is when the monitor's whole run ended, Root that run; zero while
	// only steps of it are known.
	Ended time.Time
	Root  string
}

// sameRun is how long before its pipeline's end a step is taken to belong to
// that pipeline run, when nothing in its event says to which it does.
const sameRun = 2 * time.Hour

// WindowsOf reads what is kept of a monitor's windows, in the order in which
// they were first heard of.
func WindowsOf(monitor *Asset) []Window {
	var out []Window
	place := map[string]int{}
	for _, member := range monitor.Sets["measured"] {
		var m Measured
		if json.Unmarshal(member.V, &m) != nil {
			continue
		}
		i, known := place[m.Window]
		if !known {
			i = len(out)
			place[m.Window] = i
			out = append(out, Window{ID: m.Window, At: member.S.At})
		}
		if m.Breached {
			out[i].Breached, out[i].Step = append(out[i].Breached, m.Signal), m.Run
		} else {
			out[i].Ended, out[i].Root = member.S.At, m.Run
		}
	}
	return out
}

// Breach says whether the signal breached in the window; "" is any signal.
func (w *Window) Breach(signal string) bool {
	return len(w.Breached) > 0 && (signal == "" || slices.Contains(w.Breached, signal))
}

// Around says whether the window is the end of a monitor's run around a step
// that breached: Azure marks the step that found it, and completes the
// pipeline run around it without a mark. A step that does not name its run is
// taken to belong to the first that ended after it, if that was soon.
func (w *Window) Around(all []Window, signal string) bool {
	return slices.ContainsFunc(all, func(o Window) bool {
		if !o.Breach(signal) {
			return false
		}
		unlinked := o.ID == o.Step && o.Step != w.Root
		age := w.Ended.Sub(o.At)
		return o.ID == w.ID || unlinked && age >= 0 && age < sameRun && !w.endedBetween(all, o.At)
	})
}

// endedBetween says whether another run of the monitor ended after a time and
// before this one did.
func (w *Window) endedBetween(all []Window, after time.Time) bool {
	return slices.ContainsFunc(all, func(o Window) bool {
		return o.ID != w.ID && !o.Ended.Before(after) && o.Ended.Before(w.Ended)
	})
}

// Passed says whether the window passed. That is known when the monitor's
// whole run has ended.
func (w *Window) Passed(all []Window, signal string) bool {
	return !w.Ended.IsZero() && !w.Around(all, signal)
}

// LastPassed is when the signal last passed before a time, zero for never that
// is known; "" is all signals together, and the zero time no bound.
func LastPassed(all []Window, signal string, before time.Time) (last time.Time) {
	for i := range all {
		w := &all[i]
		early := before.IsZero() || w.Ended.Before(before)
		if early && w.Ended.After(last) && w.Passed(all, signal) {
			last = w.Ended
		}
	}
	return last
}

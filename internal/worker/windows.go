package worker

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// window is one measured window of a monitor, put together from all that was
// said of it.
type window struct {
	id string
	// at is when it was first heard of.
	at time.Time
	// breached are the signals that breached in it, step the run that said so.
	breached []string
	step     string
	// ended is when the monitor's whole run ended, root that run; zero while
	// only steps of it are known.
	ended time.Time
	root  string
}

// sameRun is how long before its pipeline's end a step is taken to belong to
// that pipeline run, when nothing in its event says to which it does.
const sameRun = 2 * time.Hour

// windowsOf reads what the lineage keeps of a monitor's windows, in the order
// in which they were first heard of.
func windowsOf(monitor *lineage.Asset) []window {
	var out []window
	place := map[string]int{}
	for _, member := range monitor.Sets["measured"] {
		var m lineage.Measured
		if json.Unmarshal(member.V, &m) != nil {
			continue
		}
		i, known := place[m.Window]
		if !known {
			i = len(out)
			place[m.Window] = i
			out = append(out, window{id: m.Window, at: member.S.At})
		}
		if m.Breached {
			out[i].breached, out[i].step = append(out[i].breached, m.Signal), m.Run
		} else {
			out[i].ended, out[i].root = member.S.At, m.Run
		}
	}
	return out
}

// breach says whether the signal breached in the window; "" is any signal.
func (w *window) breach(signal string) bool {
	return len(w.breached) > 0 && (signal == "" || slices.Contains(w.breached, signal))
}

// around says whether the window is the end of a monitor's run around a step
// that breached: Azure marks the step that found it, and completes the
// pipeline run around it without a mark. A step that does not name its run is
// taken to belong to the first that ended after it, if that was soon.
func (w *window) around(all []window, signal string) bool {
	return slices.ContainsFunc(all, func(o window) bool {
		if !o.breach(signal) {
			return false
		}
		unlinked := o.id == o.step && o.step != w.root
		age := w.ended.Sub(o.at)
		return o.id == w.id || unlinked && age >= 0 && age < sameRun && !w.endedBetween(all, o.at)
	})
}

// endedBetween says whether another run of the monitor ended after a time and
// before this one did.
func (w *window) endedBetween(all []window, after time.Time) bool {
	return slices.ContainsFunc(all, func(o window) bool {
		return o.id != w.id && !o.ended.Before(after) && o.ended.Before(w.ended)
	})
}

// passed says whether the window passed. That is known when the monitor's
// whole run has ended.
func (w *window) passed(all []window, signal string) bool {
	return !w.ended.IsZero() && !w.around(all, signal)
}

// lastPassed is when the monitor last passed, zero for never that is known.
func lastPassed(monitor *lineage.Asset) (last time.Time) {
	all := windowsOf(monitor)
	for i := range all {
		if all[i].passed(all, "") && all[i].ended.After(last) {
			last = all[i].ended
		}
	}
	return last
}

// measuredOf are the windows of a monitor as the retrain that a signal asked
// for sees them: those in which the signal breached, and those that passed.
func measuredOf(monitor *lineage.Asset, signal, except string) []policy.LoopWindow {
	all := windowsOf(monitor)
	var out []policy.LoopWindow
	for i := range all {
		w := &all[i]
		switch {
		case w.id == except:
		case w.breach(signal):
			out = append(out, policy.LoopWindow{ID: w.id, At: w.at, Breached: true})
		case w.passed(all, signal):
			out = append(out, policy.LoopWindow{ID: w.id, At: w.ended})
		}
	}
	return out
}

package worker

import (
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// lastPassed is when the monitor last passed, zero for never that is known.
func lastPassed(monitor *lineage.Asset) time.Time {
	return lineage.LastPassed(lineage.WindowsOf(monitor), "", time.Time{})
}

// measuredOf are the windows of a monitor as the retrain that a signal asked
// for sees them: those in which the signal breached, and those that passed.
func measuredOf(monitor *lineage.Asset, signal, except string) []policy.LoopWindow {
	all := lineage.WindowsOf(monitor)
	var out []policy.LoopWindow
	for i := range all {
		w := &all[i]
		switch {
		case w.ID == except:
		case w.Breach(signal):
			out = append(out, policy.LoopWindow{ID: w.ID, At: w.At, Breached: true})
		case w.Passed(all, signal):
			out = append(out, policy.LoopWindow{ID: w.ID, At: w.Ended})
		}
	}
	return out
}

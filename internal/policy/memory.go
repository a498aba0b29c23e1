package policy

import (
	"slices"
	"strings"
	"time"
)

// Bounds on what a memory keeps.
const (
	minWindows  = 16   // distinct windows kept at least
	maxRecorded = 1000 // windows of all signals together
	maxFirings  = 4 * maxPerDay
	day         = 24 * time.Hour
	week        = 7 * day
)

// Ended says that the action with the key came to its end and is no longer in
// flight. One that was suppressed never happened: neither a cooldown nor a cap
// counts it, and nobody waits for what comes of it. m itself is not changed.
func (m Memory) Ended(key string, suppressed bool) Memory {
	if suppressed {
		m.Trials = slices.DeleteFunc(slices.Clone(m.Trials), func(t Trial) bool { return t.Key == key })
	}
	fired := make([]Firing, 0, len(m.Fired))
	for _, f := range m.Fired {
		if f.Key == key && suppressed {
			continue
		}
		f.Ended = f.Ended || f.Key == key
		fired = append(fired, f)
	}
	m.Fired = fired
	return m
}

// recall is a policy's memory while a decision is made: a copy on write of
// what the view holds.
type recall struct {
	Memory
	changed bool
}

// compare orders windows by the time measured, not by arrival.
func (w Window) compare(o Window) int {
	if c := w.Time.Compare(o.Time); c != 0 {
		return c
	}
	if c := strings.Compare(w.ID, o.ID); c != 0 {
		return c
	}
	return strings.Compare(w.Signal, o.Signal)
}

// find is a window's place, -1 for none.
func (m *recall) find(signal, id string) int {
	return slices.IndexFunc(m.Windows, func(w Window) bool { return w.Signal == signal && w.ID == id })
}

// record joins what is known of a window: the oldest event's time, and
// breached or decided when any event made it so. So neither the order nor the
// number of events about a window matters. At most keep distinct windows
// stay, the newest.
func (m *recall) record(w Window, keep int) {
	windows := m.Windows
	if i := m.find(w.Signal, w.ID); i >= 0 {
		old := windows[i]
		if old.Time.Before(w.Time) {
			w.Time = old.Time
		}
		w.Breached = w.Breached || old.Breached
		w.Decided = w.Decided || old.Decided
		w.Observed = w.Observed || old.Observed
		if w.Time.Equal(old.Time) && w.Breached == old.Breached && w.Decided == old.Decided && w.Observed == old.Observed {
			return
		}
		windows = slices.Delete(slices.Clone(windows), i, i+1)
	}
	i, _ := slices.BinarySearchFunc(windows, w, Window.compare)
	windows = slices.Insert(slices.Clone(windows), i, w)
	m.Windows, m.changed = forget(windows, keep), true
}

// forget drops the windows older than the newest keep distinct ones.
func forget(windows []Window, keep int) []Window {
	seen := make(map[string]bool, keep)
	from := len(windows)
	for from > 0 && len(windows)-from < maxRecorded {
		id := windows[from-1].ID
		if !seen[id] && len(seen) == keep {
			break
		}
		seen[id] = true
		from--
	}
	return windows[from:]
}

// measured is one window as one signal sees it.
type measured struct {
	id       string
	time     time.Time
	breached bool
	decided  bool
}

// history lists the distinct windows in the order they were measured. A
// window in which the signal is not recorded as breached was not breached:
// the monitor ran, and another signal or its passing told of it.
func (m *recall) history(signal string, observe bool) []measured {
	out := make([]measured, 0, len(m.Windows))
	place := make(map[string]int, len(m.Windows))
	for _, w := range m.Windows {
		i, known := place[w.ID]
		if !known {
			i = len(out)
			place[w.ID] = i
			out = append(out, measured{id: w.ID, time: w.Time})
		}
		if w.Signal == signal {
			out[i].breached = w.Breached
			out[i].decided = w.Decided || observe && w.Observed
		}
	}
	return out
}

// fire remembers that an action was planned, and drops what no rule needs.
func (m *recall) fire(f Firing, r *rule, now time.Time) {
	kept := make([]Firing, 0, len(m.Fired)+1)
	for _, old := range m.Fired {
		if r.needs(old, now) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, f)
	m.Fired, m.changed = kept[max(0, len(kept)-maxFirings):], true
}

// needs reports whether a cooldown, a cap, the in-flight check or a count in
// `history` can still depend on a firing.
func (r *rule) needs(f Firing, now time.Time) bool {
	age := now.Sub(f.At)
	if f.Type == Retrain && !f.Simulated && age < week {
		return true
	}
	for _, s := range r.steps {
		if s.Type == f.Type && s.Target == f.Target {
			return age < s.Cooldown || s.MaxPerDay > 0 && age < day || s.Type == Retrain && !f.Ended && age < s.Timeout
		}
	}
	return false
}

package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

func sustainedSet(t testing.TB, count, of int) *policy.Set {
	return compile(t, fmt.Sprintf(`policies: [{name: p, on: [monitor.breached], when: breach.value > 0.25, sustained: {count: %d, of: %d}, then: [{review: {}}]}]`, count, of))
}

// hour is the monitor's event about window n, measured n hours after start:
// B breached beyond the condition, b breached but not enough, p passed,
// o another signal breached.
func hour(n int, what byte) *event.Event {
	window, at := fmt.Sprintf("w%02d", n), start.Add(time.Duration(n)*time.Hour)
	switch what {
	case 'B':
		return monitorEvent(event.MonitorBreached, window, at, drift("age", 0.35))
	case 'b':
		return monitorEvent(event.MonitorBreached, window, at, drift("age", 0.21))
	case 'o':
		other := drift("age", 0.21)
		other.Signal = "churn_monitor_prediction_drift"
		return monitorEvent(event.MonitorBreached, window, at, other)
	}
	return monitorEvent(event.MonitorPassed, window, at)
}

func TestSustained(t *testing.T) {
	for _, c := range []struct {
		count, of int
		// windows in the order of their events, "2B" is window 2, breached.
		events []string
		// acts lists the windows acted on.
		acts string
	}{
		{1, 1, []string{"1B", "2B"}, "w01 w02 "},
		{2, 3, []string{"1B"}, ""},
		{2, 3, []string{"1B", "2B"}, "w02 "},
		{2, 3, []string{"1B", "2p", "3B"}, "w03 "},
		{2, 3, []string{"1B", "2p", "3p", "4B"}, ""},
		{2, 3, []string{"1B", "2b", "3b", "4B"}, ""},
		{2, 3, []string{"1B", "2o", "3o", "4B"}, ""},
		{2, 2, []string{"1B", "2p", "3B"}, ""},
		{2, 2, []string{"2p", "1B", "3B"}, ""},
		{2, 3, []string{"1B", "1B", "1B"}, ""},
		{2, 3, []string{"1B", "2B", "2B", "1B"}, "w02 "},
		{2, 3, []string{"1B", "2B", "3B"}, "w02 w03 "},
		// Late windows.
		{2, 3, []string{"2B", "1B"}, "w02 "},
		{2, 3, []string{"3B", "2p", "1B"}, "w03 "},
		{2, 3, []string{"4B", "3p", "2p", "1B"}, ""},
		{2, 2, []string{"3B", "1B", "2p"}, "w03 "},
		{3, 3, []string{"3B", "1B", "2B"}, "w03 "},
		{2, 3, []string{"2B", "3B", "1B"}, "w03 "},
	} {
		t.Run(fmt.Sprint(c.count, " of ", c.of, " ", c.events), func(t *testing.T) {
			w := newWorld(sustainedSet(t, c.count, c.of))
			acts := ""
			for _, e := range c.events {
				var n int
				var what byte
				if _, err := fmt.Sscanf(e, "%d%c", &n, &what); err != nil {
					t.Fatal(err)
				}
				for _, a := range w.sees(hour(n, what)).Actions {
					acts += a.Window + " "
				}
			}
			if acts != c.acts {
				t.Errorf("acts on %q, want %q", acts, c.acts)
			}
		})
	}
}

func TestPassedIsRememberedWithoutADecision(t *testing.T) {
	set := sustainedSet(t, 2, 3)
	r := set.Decide(hour(1, 'p'), policy.View{}, start)
	if len(r.Decisions) != 0 || len(r.Actions) != 0 || len(r.Memory["p"].Windows) != 1 {
		t.Errorf("got %+v", r)
	}
	if !set.Selects(hour(1, 'p')) {
		t.Error("Selects does not offer the passed window")
	}
	plain := compile(t, `policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]`)
	if r := plain.Decide(hour(1, 'p'), policy.View{}, start); len(r.Memory) != 0 {
		t.Errorf("a policy that does not count remembers %+v", r)
	}
}

func TestLateWindowOfAnActedMonitorIsWithheld(t *testing.T) {
	w := newWorld(compile(t, `policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]`))
	expect(t, w.sees(hour(2, 'B')), "act/acted[review:acted]")
	expect(t, w.sees(hour(1, 'B')), "hold/late_window[review:late_window]")
	expect(t, w.sees(hour(3, 'B')), "act/acted[review:acted]")
}

func TestMemoryIsBounded(t *testing.T) {
	set := sustainedSet(t, 2, 20)
	w := newWorld(set)
	for n := range 500 {
		w.now = start.Add(time.Duration(n) * time.Hour)
		w.sees(hour(n, "Bbpo"[n%4]))
	}
	m := w.memory["monitor/contoso-ml/churn_monitor"]["p"]
	ids := map[string]bool{}
	for _, win := range m.Windows {
		ids[win.ID] = true
	}
	if len(ids) != 20 {
		t.Errorf("remembers %d windows, want 20", len(ids))
	}
	if len(m.Fired) > 1 {
		t.Errorf("remembers %d firings although no rule needs more than the last", len(m.Fired))
	}
	// What is older than all it remembers is not acted on.
	if r := w.sees(hour(1, 'B')); len(r.Actions) != 0 {
		t.Errorf("acts on a forgotten window: %s", summary(r))
	}
}

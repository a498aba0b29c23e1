package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

func TestLimitsWithhold(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	expect(t, w.breach("w1", 0.35), "act/acted[retrain:acted review:acted]")
	w.now = start.Add(3*time.Hour + 50*time.Minute)
	r := w.breach("w2", 0.35)
	expect(t, r, "act/acted[retrain:cooldown review:acted]")
	if got, want := r.Decisions[0].Actions[0].Detail, "cooldown of 6h since 2026-11-02T09:14Z, 2h10m left"; got != want {
		t.Errorf("detail %q, want %q", got, want)
	}
	w.now = start.Add(7 * time.Hour)
	r = w.breach("w3", 0.35)
	expect(t, r, "act/acted[retrain:in_flight review:acted]")
	w.ends("retrain")
	w.now = start.Add(8 * time.Hour)
	expect(t, w.breach("w4", 0.35), "act/acted[retrain:acted review:acted]")
	w.ends("retrain")
	w.now = start.Add(16 * time.Hour)
	r = w.breach("w5", 0.35)
	expect(t, r, "act/acted[retrain:cap review:acted]")
	if got, want := r.Decisions[0].Actions[0].Detail, "2 in the last 24 hours, at most 2; the next after 2026-11-03T09:14Z"; got != want {
		t.Errorf("detail %q, want %q", got, want)
	}
	w.now = start.Add(25 * time.Hour)
	expect(t, w.breach("w6", 0.35), "act/acted[retrain:acted review:acted]")
}

// ends ends every action of the type, as the worker does when it hears so.
func (w *world) ends(t policy.ActionType) {
	for _, memories := range w.memory {
		for name, m := range memories {
			for _, f := range m.Fired {
				if f.Type == t {
					m = m.Ended(f.Key, false)
				}
			}
			memories[name] = m
		}
	}
}

func TestSuppressedActionCountsForNothing(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	r := w.breach("w1", 0.35)
	home := r.Actions[0].Asset
	w.memory[home]["churn-drift"] = w.memory[home]["churn-drift"].Ended(r.Actions[0].Key, true)
	w.now = w.now.Add(time.Minute)
	expect(t, w.breach("w2", 0.35), "act/acted[retrain:acted review:acted]")
}

func TestRetrainIsGivenUpAfterItsTimeout(t *testing.T) {
	w := newWorld(compile(t, `
policies: [{name: p, on: [monitor.breached], then: [{retrain: {target: t, timeout: 2h}}]}]
targets: {t: {log: {}}}`))
	expect(t, w.breach("w1", 0.35), "act/acted[retrain:acted]")
	w.now = start.Add(119 * time.Minute)
	expect(t, w.breach("w2", 0.35), "hold/in_flight[retrain:in_flight]")
	w.now = start.Add(2 * time.Hour)
	expect(t, w.breach("w3", 0.35), "act/acted[retrain:acted]")
}

func TestOneRetrainOfAModelWhoeverAsks(t *testing.T) {
	set := compile(t, `
policies:
  - {name: a, on: [monitor.breached], then: [{retrain: {target: t}}]}
  - {name: b, on: [monitor.breached], then: [{retrain: {target: t}}, {review: {}}]}
targets: {t: {log: {}}}`)
	w := newWorld(set)
	expect(t, w.breach("w1", 0.35), "act/acted[retrain:acted] act/acted[retrain:in_flight review:acted]")
	w.now = w.now.Add(time.Hour)
	expect(t, w.breach("w2", 0.35), "hold/in_flight[retrain:in_flight] act/acted[retrain:in_flight review:acted]")
	other := newWorld(set)
	other.view.InFlight = "abc"
	expect(t, other.breach("w1", 0.35), "hold/in_flight[retrain:in_flight] act/acted[retrain:in_flight review:acted]")
}

func TestFreeze(t *testing.T) {
	set := compile(t, `
policies: [{name: p, on: [monitor.breached], then: [{retrain: {target: t}}, {review: {}}]}]
targets: {t: {log: {}}}
freezes:
  - {name: year-end, from: 2026-12-20, to: 2027-01-04}
  - {name: berlin, from: 2026-11-10, to: 2026-11-10, timezone: Europe/Berlin, match: {model: churn}}
  - {name: other, from: 2026-11-01, to: 2026-11-30, match: {model: fraud}}`)
	for at, want := range map[string]string{
		"2026-12-19T23:59:59Z": "act/acted[retrain:acted review:acted]",
		"2026-12-20T00:00:00Z": "act/acted[retrain:freeze review:acted]",
		"2027-01-04T23:59:59Z": "act/acted[retrain:freeze review:acted]",
		"2027-01-05T00:00:00Z": "act/acted[retrain:acted review:acted]",
		"2026-11-09T22:59:59Z": "act/acted[retrain:acted review:acted]",
		"2026-11-09T23:00:00Z": "act/acted[retrain:freeze review:acted]",
		"2026-11-10T23:00:00Z": "act/acted[retrain:acted review:acted]",
	} {
		w := newWorld(set)
		w.now, _ = time.Parse(time.RFC3339, at)
		r := w.breach("w1", 0.35)
		if got := summary(r); got != want {
			t.Errorf("at %s: got %s, want %s", at, got, want)
		}
	}
}

func TestFencedReplayActsOnNothing(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	w.view.Fenced = true
	r := w.breach("w1", 0.35)
	expect(t, r, "hold/fenced[retrain:fenced review:fenced]")
	if len(r.Actions) != 0 {
		t.Error("a replay acted")
	}
}

func TestObserveShowsWhatEnforceWouldDo(t *testing.T) {
	observe, enforce := newWorld(compile(t, "mode: observe\n"+driftPolicy)), newWorld(compile(t, driftPolicy))
	for i, step := range []struct {
		after  time.Duration
		window string
	}{{0, "w1"}, {time.Hour, "w1"}, {2 * time.Hour, "w2"}, {7 * time.Hour, "w3"}, {15 * time.Hour, "w4"}} {
		observe.now, enforce.now = start.Add(step.after), start.Add(step.after)
		o, e := observe.breach(step.window, 0.35), enforce.breach(step.window, 0.35)
		enforce.ends(policy.Retrain)
		if len(o.Actions) != 0 {
			t.Fatalf("step %d: observe mode acts", i)
		}
		want := strings.NewReplacer("act/acted", "observe/observe_mode", ":acted", ":observe_mode").Replace(summary(e))
		expect(t, o, want)
	}
	// What was only rehearsed withholds nothing from who enforces.
	enforce = newWorld(compile(t, driftPolicy))
	enforce.memory, enforce.now = observe.memory, observe.now
	expect(t, enforce.breach("w4", 0.35), "act/acted[retrain:acted review:acted]")
}

func TestObserveInOnePolicyOnly(t *testing.T) {
	w := newWorld(compile(t, `
policies:
  - {name: a, mode: observe, on: [monitor.breached], then: [{retrain: {target: t}}]}
  - {name: b, on: [monitor.breached], then: [{retrain: {target: t}}]}
targets: {t: {log: {}}}`))
	expect(t, w.breach("w1", 0.35), "observe/observe_mode[retrain:observe_mode] act/acted[retrain:acted]")
}

func TestBudgets(t *testing.T) {
	set := compile(t, `
budgets:
  - {name: all, retrainsPerDay: 10}
  - {name: churn, match: {model: "churn*"}, retrainsPerDay: 0, rollbacksPerDay: 1}
  - {match: {workspace: OTHER}, retrainsPerDay: 5}`)
	names := func(bs []policy.Budget) string {
		var out []string
		for _, b := range bs {
			out = append(out, b.Name)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		workspace, model string
		t                policy.ActionType
		want             string
	}{
		{"contoso-ml", "churn-eu", policy.Retrain, "all churn"},
		{"contoso-ml", "", policy.Retrain, "all"},
		{"contoso-ml", "churn", policy.Rollback, "churn"},
		{"contoso-ml", "churn", policy.Review, ""},
	} {
		if got := names(set.BudgetsFor(c.workspace, c.model, c.t)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if got := set.BudgetsFor("other", "fraud", policy.Retrain); len(got) != 2 || !strings.HasPrefix(got[1].Name, "budget-") {
		t.Errorf("other: %+v", got)
	}
	if n, ok := set.BudgetsFor("x", "churn", policy.Retrain)[1].PerDay(policy.Retrain); n != 0 || !ok {
		t.Errorf("a budget of none is %d, %t", n, ok)
	}
}

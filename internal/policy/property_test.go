package policy_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const propertyPolicies = `
policies:
  - name: counted
    on: [monitor.breached]
    when: breach.value > 0.25
    sustained: {count: 2, of: 3}
    then:
      - retrain: {target: trainer, cooldown: 3h, maxPerDay: 3, timeout: 10h}
      - review: {}
  - name: plain
    on: [monitor.breached, monitor.passed]
    then:
      - retrain: {target: trainer, cooldown: 5h, timeout: 10h}
      - notify: {target: trainer, maxPerDay: 2}
targets: {trainer: {log: {}}}
`

// history is what is drawn for one run: events in any order, any number of
// times, while time goes on and retrains end or not.
func drawEvents(t *rapid.T) []*event.Event {
	n := rapid.IntRange(1, 25).Draw(t, "events")
	out := make([]*event.Event, n)
	for i := range out {
		window := rapid.IntRange(0, 8).Draw(t, "window")
		out[i] = hour(window, rapid.SampledFrom([]byte("BBBbpo")).Draw(t, "what"))
	}
	return out
}

func TestLimitsHoldForEveryHistory(t *testing.T) {
	set := compile(t, propertyPolicies)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(set)
		keys := map[string]bool{}
		var planned []policy.Action
		running := map[string]time.Time{}
		for _, ev := range drawEvents(t) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 240).Draw(t, "minutes")) * time.Minute)
			if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
				w.ends(policy.Retrain)
				clear(running)
			}
			for _, a := range w.sees(ev).Actions {
				if keys[a.Key] {
					t.Fatalf("key %s planned twice", a.Key)
				}
				keys[a.Key] = true
				if a.Type == policy.Retrain {
					for key, since := range running {
						if w.now.Sub(since) < 10*time.Hour {
							t.Fatalf("retrain %s beside %s", a.Key, key)
						}
					}
					running[a.Key] = w.now
				}
				planned = append(planned, a)
			}
		}
		checkLimit(t, planned, "counted", policy.Retrain, 3*time.Hour, 3)
		checkLimit(t, planned, "plain", policy.Retrain, 5*time.Hour, 0)
		checkLimit(t, planned, "plain", policy.Notify, 0, 2)
	})
}

// checkLimit fails when two actions are closer than the cooldown, or any 24
// hours hold more than the cap.
func checkLimit(t *rapid.T, planned []policy.Action, name string, typ policy.ActionType, cooldown time.Duration, limit int) {
	var at []time.Time
	for _, a := range planned {
		if a.Policy == name && a.Type == typ {
			at = append(at, a.Created)
		}
	}
	for i := 1; i < len(at); i++ {
		if at[i].Sub(at[i-1]) < cooldown {
			t.Fatalf("%s %s at %v and %v: cooldown is %v", name, typ, at[i-1], at[i], cooldown)
		}
		if j := i - limit; limit > 0 && j >= 0 && at[i].Sub(at[j]) < 24*time.Hour {
			t.Fatalf("%s %s: more than %d within a day of %v", name, typ, limit, at[j])
		}
	}
}

// What one window leads to does not depend on the order or the number of the
// events about it.
func TestEventsOfOneWindowCommute(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], when: breach.value > 0.25, then: [{review: {}}, {notify: {target: t}}]}]
targets: {t: {log: {}}}`)
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.SampledFrom([]*event.Event{
			hour(1, 'B'), hour(1, 'b'), hour(1, 'p'),
			monitorEvent(event.MonitorBreached, "w01", start.Add(61*time.Minute), drift("plan", 0.9)),
		}), 1, 8).Draw(t, "events")
		play := func(order []*event.Event) map[string]int {
			w, keys := newWorld(set), map[string]int{}
			for _, ev := range order {
				for _, a := range w.sees(ev).Actions {
					keys[a.Key]++
				}
			}
			return keys
		}
		one, other := play(events), play(rapid.Permutation(events).Draw(t, "order"))
		if !reflect.DeepEqual(one, other) {
			t.Fatalf("%v in one order, %v in another", one, other)
		}
		for key, n := range one {
			if n != 1 {
				t.Fatalf("key %s planned %d times", key, n)
			}
		}
	})
}

func TestDecideIsPure(t *testing.T) {
	set := compile(t, propertyPolicies)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(set)
		for _, ev := range drawEvents(t) {
			w.now = w.now.Add(time.Hour)
			before := deepCopy(t, w.memory)
			evBefore := deepCopy(t, ev)
			view := policy.View{Asset: "monitor/contoso-ml/churn_monitor", Memory: w.memory["monitor/contoso-ml/churn_monitor"]}
			one, two := set.Decide(ev, view, w.now), set.Decide(ev, view, w.now)
			set.Explain(ev, view, w.now)
			if !reflect.DeepEqual(one, two) {
				t.Fatal("the same arguments gave two results")
			}
			if !reflect.DeepEqual(before, deepCopy(t, w.memory)) || !reflect.DeepEqual(evBefore, deepCopy(t, ev)) {
				t.Fatal("Decide changed its arguments")
			}
			w.sees(ev)
		}
	})
}

// deepCopy goes through JSON, which shows every change that is stored.
func deepCopy(t *rapid.T, v any) string {
	b, err := jsonOf(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Explain and Decide agree on everything that is decided.
func TestExplainAgreesWithDecide(t *testing.T) {
	set := compile(t, propertyPolicies)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(set)
		for _, ev := range drawEvents(t) {
			w.now = w.now.Add(time.Hour)
			view := policy.View{Asset: "monitor/contoso-ml/churn_monitor", Memory: w.memory["monitor/contoso-ml/churn_monitor"]}
			e := set.Explain(ev, view, w.now)
			var explained []policy.Decision
			for _, p := range e.Policies {
				explained = append(explained, p.Decisions...)
			}
			r := w.sees(ev)
			if !reflect.DeepEqual(r.Decisions, explained) || !reflect.DeepEqual(r.Actions, e.Actions) {
				t.Fatalf("decided  %+v\nexplained %+v", r.Decisions, explained)
			}
		}
	})
}

// What is remembered of windows is a join: order and repetition of events
// make no difference.
func TestRememberedWindowsCommute(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], when: breach.value > 0.25, sustained: {count: 50, of: 50}, then: [{review: {}}]}]`)
	rapid.Check(t, func(t *rapid.T) {
		var events []*event.Event
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			ev := hour(rapid.IntRange(0, 6).Draw(t, "window"), rapid.SampledFrom([]byte("Bbpo")).Draw(t, "what"))
			ev.Time = ev.Time.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			events = append(events, ev)
		}
		play := func(order []*event.Event) []policy.Window {
			w := newWorld(set)
			for _, ev := range order {
				w.sees(ev)
			}
			return w.memory["monitor/contoso-ml/churn_monitor"]["p"].Windows
		}
		one, other := play(events), play(rapid.Permutation(append(events, events...)).Draw(t, "order"))
		if !reflect.DeepEqual(one, other) {
			t.Fatalf("%+v\nin another order %+v", one, other)
		}
	})
}

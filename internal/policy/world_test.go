package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// start is when the stories of these tests begin.
var start = time.Date(2026, 11, 2, 9, 14, 0, 0, time.UTC)

// ptr is a number as a breach holds it.
func ptr(x float64) *float64 { return &x }

// monitorEvent is a churn monitor's event about a window, measured at a time.
func monitorEvent(kind event.Kind, window string, at time.Time, breaches ...event.Breach) *event.Event {
	return &event.Event{
		Envelope:  event.Envelope{ID: window + at.String(), Source: "/workspaces/contoso-ml", Type: "Microsoft.MachineLearningServices.RunCompleted", Subject: "runs/" + window, Time: at},
		Kind:      kind,
		Workspace: event.Workspace{Alias: "contoso-ml"},
		Run:       &event.Run{ID: window, ExperimentName: "churn_monitor", Status: "Completed"},
		Monitor:   &event.Monitor{Name: "churn_monitor", Model: "churn", Window: window},
		Breaches:  breaches,
	}
}

// drift is a breach of the churn monitor's data drift.
func drift(feature string, value float64) event.Breach {
	return event.Breach{
		Monitor: "churn_monitor", Signal: "churn_monitor_data_drift", SignalType: "data_drift",
		Feature: feature, Metric: "PopulationStabilityIndex",
		Value: ptr(value), Threshold: ptr(0.2), Exceeded: ptr(value/0.2 - 1), Direction: event.HigherIsBad,
	}
}

func jobEvent(kind event.Kind, run, status string, at time.Time) *event.Event {
	return &event.Event{
		Envelope:  event.Envelope{ID: run + status, Source: "/workspaces/contoso-ml", Type: "Microsoft.MachineLearningServices.RunStatusChanged", Subject: "runs/" + run, Time: at},
		Kind:      kind,
		Workspace: event.Workspace{Alias: "contoso-ml"},
		Run:       &event.Run{ID: run, ExperimentName: "churn-train", Status: status, Tags: map[string]string{"team": "risk"}},
	}
}

func alertEvent(kind event.Kind, id string, fired time.Time) *event.Event {
	return &event.Event{
		Envelope:  event.Envelope{ID: id, Source: "/workspaces/contoso-ml", Type: "azureMonitor", Time: fired},
		Kind:      kind,
		Workspace: event.Workspace{Alias: "contoso-ml"},
		Alert:     &event.Alert{ID: id, Rule: "churn-ep latency", Severity: "Sev1", Endpoint: "churn-ep", Fired: fired},
	}
}

// world plays events against a set as the worker does: what a decision
// changes in memory is there for the next one.
type world struct {
	set    *policy.Set
	now    time.Time
	memory map[string]map[string]policy.Memory
	view   policy.View
}

func newWorld(set *policy.Set) *world {
	return &world{set: set, now: start, memory: map[string]map[string]policy.Memory{}}
}

// sees decides on an event and remembers.
func (w *world) sees(ev *event.Event) policy.Result {
	home := fmt.Sprint(ev.Kind)
	switch {
	case ev.Monitor != nil:
		home = "monitor/contoso-ml/" + ev.Monitor.Name
	case ev.Run != nil:
		home = "job/contoso-ml/" + ev.Run.ID
	case ev.Alert != nil:
		home = "endpoint/contoso-ml/" + ev.Alert.Endpoint
	}
	view := w.view
	view.Asset, view.Memory = home, w.memory[home]
	r := w.set.Decide(ev, view, w.now)
	if len(r.Memory) > 0 {
		if w.memory[home] == nil {
			w.memory[home] = map[string]policy.Memory{}
		}
		maps.Copy(w.memory[home], r.Memory)
	}
	return r
}

// breach is a window with one breach of data drift, seen now.
func (w *world) breach(window string, value float64) policy.Result {
	return w.sees(monitorEvent(event.MonitorBreached, window, w.now, drift("age", value)))
}

// summary writes a result in one line: "act[retrain:acted review:cooldown]".
func summary(r policy.Result) string {
	out := ""
	for i, d := range r.Decisions {
		if i > 0 {
			out += " "
		}
		out += fmt.Sprintf("%s/%s", d.Verdict, d.Reason)
		for j, a := range d.Actions {
			if j == 0 {
				out += "["
			} else {
				out += " "
			}
			out += fmt.Sprintf("%s:%s", a.Type, a.Reason)
		}
		if len(d.Actions) > 0 {
			out += "]"
		}
	}
	return out
}

func expect(t interface {
	Helper()
	Errorf(string, ...any)
}, r policy.Result, want string) {
	t.Helper()
	if got := summary(r); got != want {
		t.Errorf("got  %q\nwant %q\n%+v", got, want, r.Decisions)
	}
}

func jsonOf(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

package event_test

import (
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
)

func TestWhichMonitorABreachIsOf(t *testing.T) {
	usual := newParser(t)
	named := parserWith(t, func(o *event.Options) {
		o.MonitorExperiments = []string{}
		o.MonitorModels = map[string]string{"nightly": "churn"}
	})
	for _, c := range []struct {
		name                     string
		parser                   *event.Parser
		experiment, signal       string
		wantMonitor, wantWatched string
	}{
		{"experiment fits a glob", usual, "churn_monitor", "churn_data_drift", "churn_monitor", "churn"},
		{"experiment has a model", named, "Nightly", "churn_data_drift", "Nightly", "churn"},
		{"signal begins with the experiment", usual, "churn", "churn_data_drift", "churn", ""},
		{"unknown experiment: the signal counts", usual, "Default", "churn_monitor_data_drift", "churn_monitor", "churn"},
		{"switched off: the signal counts", named, "churn_monitor", "fraud_data_drift", "fraud", ""},
		{"no experiment", usual, "", "churn_monitor_data_drift", "churn_monitor", "churn"},
		{"signal says nothing", usual, "Default", "odd", "Default", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tags := map[string]string{rootTag + c.signal: "1"}
			e := completed(t, c.parser, map[string]any{"experimentName": c.experiment, "runTags": tags})
			if e.Kind != event.MonitorBreached {
				t.Fatalf("%s, want a breach", e.Kind)
			}
			if e.Monitor.Name != c.wantMonitor || e.Monitor.Model != c.wantWatched {
				t.Errorf("monitor %q of %q, want %q of %q", e.Monitor.Name, e.Monitor.Model, c.wantMonitor, c.wantWatched)
			}
		})
	}
}

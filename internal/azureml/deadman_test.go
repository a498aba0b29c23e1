package azureml_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// check looks at a monitor every hour for a while, as rounds do.
func (r *rig) check(m azureml.Monitor, d time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(time.Hour) {
		_, err := r.deadman.Check(r.t.Context(), workspace, m)
		must(r.t, err)
		if !time.Now().Before(end) {
			return
		}
	}
}

// measure is a passing window of a monitor.
func (r *rig) measure(monitor, run string) {
	r.t.Helper()
	r.learn(&event.Event{
		Envelope:  event.Envelope{ID: run, Source: workspace.ID, Type: "t", Subject: run, Time: time.Now()},
		Kind:      event.MonitorPassed,
		Workspace: workspace,
		Run:       &event.Run{ID: run},
		Monitor:   &event.Monitor{Name: monitor, Model: "churn", Window: run, Root: true},
	})
}

// reviews are all reviews, the last opened first.
func (r *rig) reviews() []review.Review {
	r.t.Helper()
	all, _, err := r.desk.List(r.t.Context(), review.Filter{}, "", 100)
	must(r.t, err)
	return all
}

// daily is a monitor that runs once a day: it may be silent for 50 hours.
func daily() azureml.Monitor {
	v := 0.2
	return azureml.Monitor{
		Name: "churn_monitor", Enabled: true, Every: 24 * time.Hour, Model: event.ModelRef{Name: "churn", Version: "3"},
		Signals: []azureml.Signal{{Name: "drift", Thresholds: []azureml.Threshold{{Metric: "psi", Value: &v}, {Metric: "ks"}}}},
	}
}

func TestAMonitorThatStopsIsAFindingPerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		for range 2 {
			r.measure(m.Name, "run-"+time.Now().Format("02"))
			r.check(m, 23*time.Hour)
			time.Sleep(time.Hour)
		}
		last := time.Now().Add(-24 * time.Hour)
		r.check(m, 25*time.Hour) // 49 h after the last window
		if got := r.reviews(); len(got) != 0 {
			t.Fatalf("reviews of a monitor that is in time: %+v", got)
		}
		r.check(m, 2*time.Hour)
		got := r.reviews()
		if len(got) != 1 || got[0].Cause != "monitor-silent:monitor/ws/churn_monitor" || got[0].Severity != review.Warning ||
			got[0].Count != 1 || got[0].Model != "model/ws/churn" || !got[0].LastSignal.Equal(last.Add(50*time.Hour)) ||
			!strings.Contains(got[0].Reason, last.UTC().Format(time.RFC3339)) {
			t.Fatalf("%+v", got)
		}
		r.check(m, 50*time.Hour) // one more window
		if got := r.reviews(); len(got) != 1 || got[0].Count != 2 {
			t.Fatalf("%+v", got)
		}
		r.measure(m.Name, "run-again")
		r.check(m, time.Hour)
		if got := r.reviews(); got[0].State != review.Resolved || !strings.Contains(got[0].Resolution.Cause, "measures again") {
			t.Fatalf("%+v", got[0])
		}
		r.check(m, 60*time.Hour)
		if got := r.reviews(); len(got) != 2 || got[0].State != review.Open || got[0].Previous != got[1].ID {
			t.Errorf("the second silence: %+v", got)
		}
	})
}

func TestAMonitorThatNeverRanGetsItsFirstWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		m.Every, m.Cron = 0, "15 */12 * * *" // so a day and two hours
		r.check(m, 24*time.Hour)
		if got := r.reviews(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
		r.check(m, 3*time.Hour)
		if got := r.reviews(); len(got) != 1 || !strings.Contains(got[0].Reason, "never measured") {
			t.Errorf("%+v", got)
		}
	})
}

func TestADisabledMonitorMayBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		r.check(m, 51*time.Hour)
		m.Enabled = false
		r.check(m, time.Hour)
		if got := r.reviews(); len(got) != 1 || got[0].State != review.Resolved {
			t.Fatalf("%+v", got)
		}
		r.check(m, 3*24*time.Hour)
		m.Enabled = true
		r.check(m, 25*time.Hour) // its window begins anew
		if got := r.reviews(); len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		r.check(m, 27*time.Hour)
		if got := r.reviews(); len(got) != 2 {
			t.Errorf("%d reviews after it was enabled and did not run", len(got))
		}
	})
}

// Enabled in the afternoon, a monitor that runs every hour is not late since
// the morning.
func TestAnEnabledMonitorBeginsWhenItIsEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		m.Every, m.Enabled = time.Hour, false
		r.check(m, 15*time.Hour)
		m.Enabled = true
		r.check(m, 3*time.Minute)
		if got := r.reviews(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
		r.check(m, 5*time.Hour)
		if got := r.reviews(); len(got) != 1 {
			t.Errorf("%d reviews after it did not run for five hours", len(got))
		}
	})
}

func TestARunThatLoggedNothingIsAFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		for run, metrics := range map[string]map[string]float64{"run-1": {"psi": 0.1}, "run-2": nil, "run-3": {"psi": 0.1}} {
			r.cloud.runs[run] = azureml.Run{ID: run, Metrics: metrics}
		}
		for i, want := range []struct {
			run   string
			state review.State
			fault error
		}{{"run-1", "", nil}, {"run-2", review.Open, nil}, {"run-3", review.Open, errAzure}, {"run-3", review.Resolved, nil}} {
			r.measure(m.Name, want.run)
			r.cloud.edit(func() { r.cloud.fail = func(string) error { return want.fault } })
			r.check(m, 12*time.Hour)
			got := r.reviews()
			if i == 0 && len(got) == 0 {
				continue
			}
			if len(got) != 1 || got[0].State != want.state || got[0].Count != 1 || !strings.Contains(got[0].Title, "measured nothing") {
				t.Fatalf("after %s: %+v", want.run, got)
			}
		}
	})
}

// TestAMonitorThatNeverLogsToItsRootIsLeftAlone: not every monitor logs its
// metrics where the whole run is.
func TestAMonitorThatNeverLogsToItsRootIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		r.cloud.runs["run-1"] = azureml.Run{ID: "run-1"}
		r.measure(m.Name, "run-1")
		r.check(m, 12*time.Hour)
		if got := r.reviews(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestASignalWithoutAThresholdCanNotBreach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRig(t), daily()
		value := m.Signals[0].Thresholds[0].Value
		m.Signals[0].Thresholds[0].Value = nil
		m.Signals = append(m.Signals, azureml.Signal{Name: "custom"})
		r.check(m, 12*time.Hour)
		got := r.reviews()
		if len(got) != 1 || got[0].Count != 1 || !strings.Contains(got[0].Reason, "drift") || strings.Contains(got[0].Reason, "custom") {
			t.Fatalf("%+v", got)
		}
		m.Signals[0].Thresholds[0].Value = value
		r.check(m, time.Hour)
		if got := r.reviews(); got[0].State != review.Resolved {
			t.Errorf("%+v", got[0])
		}
	})
}

// TestRoundsShowEveryMonitorToTheSwitch goes through the reconciler.
func TestRoundsShowEveryMonitorToTheSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		for _, name := range []string{"m1", "m2", "m3", "m4"} {
			m := daily()
			m.Name = name
			r.cloud.monitors = append(r.cloud.monitors, m)
		}
		r.round(rec)
		time.Sleep(50 * time.Hour)
		if got := r.round(rec); got.Found["monitor"] != 4 || len(r.reviews()) != 4 {
			t.Errorf("%+v, %d reviews", got, len(r.reviews()))
		}
		if got := r.round(rec); got.Found["monitor"] != 0 {
			t.Errorf("found again: %+v", got)
		}
		r.cloud.edit(func() { r.cloud.monitors = r.cloud.monitors[1:] })
		r.round(rec)
		for _, got := range r.reviews() {
			gone := got.Cause == "monitor-silent:monitor/ws/m1"
			if gone != (got.State == review.Resolved) || gone && got.Resolution.Cause != "the monitor was deleted" {
				t.Errorf("after m1 was deleted: %+v", got)
			}
		}
		if page, err := r.store.List(t.Context(), lineage.Query{Partition: "reconcile/ws", Prefix: "monitor/"}); err != nil || len(page.Records) != 3 {
			t.Errorf("%+v %v", page, err)
		}
	})
}

package azureml_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/worker"
)

var _ worker.Enricher = (*azureml.Enricher)(nil)

// shelf is a source with a few things on it.
type shelf struct {
	jobs      map[string]azureml.Job
	versions  map[string]azureml.ModelVersion
	runs      map[string]azureml.Run
	endpoints map[string]azureml.Endpoint
	monitors  map[string]azureml.Monitor
	// broken answers everything with an error.
	broken error
}

func take[T any](s *shelf, all map[string]T, name string) (T, error) {
	v, ok := all[name]
	if s.broken != nil {
		return v, s.broken
	}
	if !ok {
		return v, lineage.ErrNotFound
	}
	return v, nil
}

func (s *shelf) Job(_ context.Context, _ event.Workspace, name string) (azureml.Job, error) {
	return take(s, s.jobs, name)
}

func (s *shelf) ModelVersion(_ context.Context, _ event.Workspace, name, version string) (azureml.ModelVersion, error) {
	return take(s, s.versions, name+":"+version)
}

func (s *shelf) Run(_ context.Context, _ event.Workspace, id string) (azureml.Run, error) {
	return take(s, s.runs, id)
}

func (s *shelf) Endpoint(_ context.Context, _ event.Workspace, name string) (azureml.Endpoint, error) {
	return take(s, s.endpoints, name)
}

func (s *shelf) Monitor(_ context.Context, _ event.Workspace, name string) (azureml.Monitor, error) {
	return take(s, s.monitors, name)
}

func number(v float64) *float64 { return &v }

// churnShelf is a workspace with a trained, deployed and watched model.
func churnShelf() *shelf {
	return &shelf{
		jobs: map[string]azureml.Job{"yak": {
			Name: "yak", Experiment: "train", Type: "pipeline", Status: "Completed", Component: "azureml:train_churn:3", Environment: "azureml:sklearn:5",
			Inputs: map[string]azureml.Input{"data": {Data: &event.DataRef{Name: "churn-data", Version: "7"}}, "epochs": {Value: "3"}},
			Tags:   map[string]string{event.OriginTag: "k@p"}, Ended: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC),
		}, "bad": {Name: "bad", Status: "Failed", Error: "ValueError"}, "now": {Name: "now", Status: "Running"}},
		versions: map[string]azureml.ModelVersion{"churn:12": {Name: "churn", Version: "12", Job: "yak"}},
		runs: map[string]azureml.Run{
			"yak":  {Metrics: map[string]float64{"accuracy": 0.9}, Params: map[string]string{"depth": "6"}},
			"now":  {Metrics: map[string]float64{"accuracy": 0.5}},
			"step": {Metrics: map[string]float64{"age/PopulationStabilityIndex": 0.35, "tenure/PopulationStabilityIndex": 0.5, "city/PopulationStabilityIndex": 0.1, "rows": 10}},
		},
		endpoints: map[string]azureml.Endpoint{"churn-ep": {
			Name: "churn-ep", Traffic: map[string]int{"blue": 100},
			Deployments: []azureml.Deployment{{Name: "blue", Model: event.ModelRef{Name: "churn", Version: "12"}}},
		}},
		monitors: map[string]azureml.Monitor{"watch": {
			Name: "watch", Enabled: true, Endpoint: "churn-ep", Deployment: "blue", Every: 24 * time.Hour,
			Signals: []azureml.Signal{{Name: "drift", Type: "data_drift", Thresholds: []azureml.Threshold{{Metric: "PopulationStabilityIndex", Value: number(0.2)}}}},
		}},
	}
}

// serving is a champion.
func serving(m event.Model) azureml.Champion {
	return func(context.Context, string, string) (event.Model, error) { return m, nil }
}

func happened(ev event.Event) *event.Event {
	ev.Workspace = workspace
	return &ev
}

func TestAModelsJobAndWhatItRanAreFound(t *testing.T) {
	ev := happened(event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: "12"}})
	metrics, champion, err := azureml.NewEnricher(churnShelf(), nil).Enrich(t.Context(), ev, serving(event.Model{Name: "churn", Version: "12"}))
	if err != nil {
		t.Fatal(err)
	}
	run := ev.Model.Run
	if ev.Model.Job != "yak" || run == nil || run.Facts["environment"] != "azureml:sklearn:5" || run.Facts["component"] != "azureml:train_churn:3" || run.Origin != "k@p" {
		t.Errorf("model %+v, run %+v", ev.Model, run)
	}
	if want := []event.DataRef{{Name: "churn-data", Version: "7"}}; !reflect.DeepEqual(run.Inputs, want) {
		t.Errorf("inputs %v, want %v", run.Inputs, want)
	}
	if run.Parameters["depth"] != "6" || run.Metrics["accuracy"] != 0.9 || metrics["accuracy"] != 0.9 || champion["accuracy"] != 0.9 {
		t.Errorf("run %+v, metrics %v, champion's %v", run, metrics, champion)
	}
}

// TestARegistrationDoesNotHideItsJobsEnd: the job runs on where it is read, and
// the registration may be the newer news.
func TestARegistrationDoesNotHideItsJobsEnd(t *testing.T) {
	for job, want := range map[string]string{"now": "", "bad": "Failed", "yak": "Completed"} {
		ev := happened(event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: "1", Job: job}})
		if _, _, err := azureml.NewEnricher(churnShelf(), nil).Enrich(t.Context(), ev, serving(event.Model{})); err != nil || ev.Model.Run.Status != want {
			t.Errorf("%s: status %q, want %q, %v", job, ev.Model.Run.Status, want, err)
		}
	}
}

func TestAJobsErrorIsFoundAndMetricsBeforeItsEndAreNotItsResult(t *testing.T) {
	e := azureml.NewEnricher(churnShelf(), nil)
	failed := happened(event.Event{Kind: event.JobFailed, Run: &event.Run{ID: "bad"}})
	if _, _, err := e.Enrich(t.Context(), failed, serving(event.Model{})); err != nil || failed.Run.Facts["error"] != "ValueError" {
		t.Errorf("run %+v, %v", failed.Run, err)
	}
	running := happened(event.Event{Kind: event.JobStatus, Run: &event.Run{ID: "now"}})
	metrics, _, err := e.Enrich(t.Context(), running, serving(event.Model{}))
	if err != nil || running.Run.Metrics != nil || metrics["accuracy"] != 0.5 {
		t.Errorf("run %+v, metrics %v, %v", running.Run, metrics, err)
	}
	ended := happened(event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "now", Status: "Completed"}})
	if _, _, err := e.Enrich(t.Context(), ended, serving(event.Model{})); err == nil {
		t.Error("a workspace that lags behind the event is not asked again")
	}
}

func TestADeploymentsModelsAndTrafficAreFound(t *testing.T) {
	ev := happened(event.Event{Kind: event.ModelDeployed, Deployment: &event.Deployment{Endpoint: "churn-ep", Name: "blue"}})
	if _, _, err := azureml.NewEnricher(churnShelf(), nil).Enrich(t.Context(), ev, serving(event.Model{})); err != nil {
		t.Fatal(err)
	}
	if want := []event.ModelRef{{Name: "churn", Version: "12"}}; !reflect.DeepEqual(ev.Deployment.Models, want) || !maps.Equal(ev.Deployment.Traffic, map[string]int{"blue": 100}) {
		t.Errorf("deployment %+v", ev.Deployment)
	}
}

// cutBreach is a breach whose tag kept one of its entries.
func cutBreach() *event.Event {
	return happened(event.Event{
		Kind: event.MonitorBreached, Run: &event.Run{ID: "step"}, Monitor: &event.Monitor{Name: "watch", Window: "root"},
		Breaches: []event.Breach{event.NewBreach("watch", "drift", "age", "PopulationStabilityIndex", number(0.35), number(0.2))},
		Loss:     &event.Loss{Reason: event.LossTruncated, Signals: []string{"drift"}, Kept: 1},
	})
}

func TestBreachesThatATagLostComeBack(t *testing.T) {
	s := churnShelf()
	for _, known := range []string{"from the definition", "from the breach that was kept"} {
		ev, before := cutBreach(), cutBreach()
		metrics, champion, err := azureml.NewEnricher(s, nil).Enrich(t.Context(), ev, serving(event.Model{Name: "churn", Version: "12", Job: "yak"}))
		if err != nil {
			t.Fatal(err)
		}
		if len(ev.Breaches) != 2 || ev.Loss.Rehydrated != 1 {
			t.Fatalf("threshold %s: breaches %+v, loss %+v", known, ev.Breaches, ev.Loss)
		}
		back := ev.Breaches[1]
		if back.Feature != "tenure" || *back.Value != 0.5 || *back.Threshold != 0.2 || back.Signal != "drift" || *back.Exceeded != 1.5 {
			t.Errorf("threshold %s: got back %+v", known, back)
		}
		if metrics["rows"] != 10 || ev.Key() != before.Key() {
			t.Errorf("metrics %v; the identity changed: %v", metrics, ev.Key() != before.Key())
		}
		if known == "from the definition" {
			if ev.Monitor.Model != "churn" || ev.Monitor.Schedule.Deployment != "blue" || ev.Monitor.Schedule.Every != "24h0m0s" || champion["accuracy"] != 0.9 {
				t.Errorf("monitor %+v, champion %v", ev.Monitor, champion)
			}
		}
		s.monitors = nil
	}
}

func TestANumberOfTwoSignalsIsNobodys(t *testing.T) {
	s := churnShelf()
	m := s.monitors["watch"]
	second := m.Signals[0]
	second.Name = "other"
	m.Signals = append(m.Signals, second)
	s.monitors["watch"] = m
	ev := cutBreach()
	ev.Loss.Signals = append(ev.Loss.Signals, "other")
	if _, _, err := azureml.NewEnricher(s, nil).Enrich(t.Context(), ev, serving(event.Model{})); err != nil || len(ev.Breaches) != 1 {
		t.Errorf("breaches %+v, %v", ev.Breaches, err)
	}
}

func TestWhatDoesNotExistIsNoErrorAndAFaultIs(t *testing.T) {
	down := errors.New("503")
	for name, ev := range map[string]event.Event{
		"model":      {Model: &event.Model{Name: "x", Version: "1"}},
		"job":        {Run: &event.Run{ID: "x"}},
		"deployment": {Deployment: &event.Deployment{Endpoint: "x", Name: "default"}},
		"monitor":    {Monitor: &event.Monitor{Name: "x"}, Run: &event.Run{ID: "x"}},
	} {
		if _, _, err := azureml.NewEnricher(&shelf{}, nil).Enrich(t.Context(), happened(ev), serving(event.Model{})); err != nil {
			t.Errorf("%s that is not there: %v", name, err)
		}
		if _, _, err := azureml.NewEnricher(&shelf{broken: down}, nil).Enrich(t.Context(), happened(ev), serving(event.Model{})); !errors.Is(err, down) {
			t.Errorf("%s with Azure down: %v", name, err)
		}
	}
}

func TestOnlyConfiguredWorkspacesAreAsked(t *testing.T) {
	e := azureml.NewEnricher(&shelf{}, func(ws event.Workspace) bool { return ws.Alias == "ws" })
	job := event.Event{Run: &event.Run{ID: "x"}}
	mine, other := happened(job), happened(job)
	other.Workspace.Alias = "other"
	if !e.Wants(mine) || e.Wants(other) || e.Wants(&job) || e.Wants(happened(event.Event{Alert: &event.Alert{}})) {
		t.Error("the wrong events are wanted")
	}
}

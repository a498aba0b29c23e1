package ml_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func TestAJobIsReadWithAllThatItRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.train(t, sandbox.JobSpec{Name: "first", Component: r.ws.ID() + "/components/train_churn/versions/3",
			Code: r.ws.ID() + "/codes/c0de/versions/1", Environment: "azureml://registries/azureml/environments/sklearn/versions/4",
			Compute: r.ws.ID() + "/computes/cpu-cluster", Tags: map[string]string{"team": "risk"},
			Inputs: map[string]string{"training_data": "azureml:churn-data:1", "epochs": "3", "raw": "https://storage.example/raw/"}})
		job := must[azureml.Job](t)(r.Job(t.Context(), r.at, "first"))
		want := azureml.Job{
			Name: "first", DisplayName: "first", Experiment: "train_churn", Type: "pipeline", Status: "Completed",
			Component: "azureml:train_churn:3", Code: "azureml:c0de:1",
			Environment: "azureml://registries/azureml/environments/sklearn/versions/4", Compute: "cpu-cluster",
		}
		got := azureml.Job{
			Name: job.Name, DisplayName: job.DisplayName, Experiment: job.Experiment, Type: job.Type, Status: job.Status,
			Component: job.Component, Code: job.Code, Environment: job.Environment, Compute: job.Compute,
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if in := job.Inputs["training_data"]; in.Data == nil || *in.Data != (event.DataRef{Name: "churn-data", Version: "1"}) {
			t.Errorf("the data input is %+v", in)
		}
		if in := job.Inputs["epochs"]; in.Data != nil || in.Value != "3" {
			t.Errorf("the literal input is %+v", in)
		}
		if in := job.Inputs["raw"]; in.Data != nil || in.Value != "https://storage.example/raw/" {
			t.Errorf("the path input is %+v", in)
		}
		if job.Tags["team"] != "risk" || job.Studio == "" || !job.IsEnded() {
			t.Errorf("tags %v, studio %q, ended %v", job.Tags, job.Studio, job.IsEnded())
		}
		if took := job.Ended.Sub(job.Started); took <= 0 || took > 2*time.Second {
			t.Errorf("ran from %v to %v", job.Started, job.Ended)
		}
	})
}

func TestAFailedJobSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.train(t, sandbox.JobSpec{Name: "bad", Component: "train_churn", Fail: "ValueError: column age is missing"})
		job := must[azureml.Job](t)(r.Job(t.Context(), r.at, "bad"))
		if job.Status != "Failed" || job.Error != "ValueError: column age is missing" {
			t.Errorf("status %q, error %q", job.Status, job.Error)
		}
		r.ws.Inject(sandbox.Fault{Path: "/history/", Status: http.StatusInternalServerError})
		job, err := r.Job(t.Context(), r.at, "bad")
		if err != nil || job.Status != "Failed" || job.Error != "" {
			t.Errorf("without the run history: %+v %v", job, err)
		}
	})
}

func TestAModelVersionLeadsToItsJobAndTheRunToItsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		trained := r.train(t, sandbox.JobSpec{Name: "first", Component: "train_churn", Inputs: map[string]string{"epochs": "3"}})
		m := must[azureml.ModelVersion](t)(r.ModelVersion(t.Context(), r.at, "churn", "1"))
		if m.Name != "churn" || m.Version != "1" || m.Job != "first" || m.Tags["owner"] != "risk-ml" || m.Archived || m.Created.IsZero() {
			t.Errorf("model version: %+v", m)
		}
		run := must[azureml.Run](t)(r.Run(t.Context(), r.at, m.Job))
		if run.ID != "first" || run.Status != "FINISHED" || run.Params["epochs"] != "3" || len(run.Metrics) == 0 {
			t.Errorf("run: %+v", run)
		}
		for name, want := range trained.Metrics {
			if run.Metrics[name] != want {
				t.Errorf("metric %s is %v, logged was %v", name, run.Metrics[name], want)
			}
		}
	})
}

func TestEndpointsAndMonitorsTellWhatIsServedAndWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.train(t, sandbox.JobSpec{Component: "train_churn"})
		version := must[string](t)(r.ws.RegisterModel("churn", "", nil))
		check(t, r.ws.Deploy("churn-ep", "green", "churn", version))
		check(t, r.ws.CreateMonitor(sandbox.MonitorSpec{Name: "churn_monitor", Model: "churn", Signals: []sandbox.Signal{
			{Name: "data_drift", Threshold: 0.2}, {Name: "performance", Type: "ModelPerformance", Metric: "Accuracy", Threshold: 0.8},
		}}))

		e := must[azureml.Endpoint](t)(r.Endpoint(t.Context(), r.at, "churn-ep"))
		if e.State != "Succeeded" || e.Traffic["blue"] != 100 || len(e.Deployments) != 2 || e.ScoringURI == "" {
			t.Fatalf("endpoint: %+v", e)
		}
		if green := e.Deployments[1]; green.Name != "green" || green.State != "Succeeded" || green.Model != (event.ModelRef{Name: "churn", Version: version}) {
			t.Errorf("deployment: %+v", green)
		}

		m := must[azureml.Monitor](t)(r.Monitor(t.Context(), r.at, "churn_monitor"))
		if !m.Enabled || m.Endpoint != "churn-ep" || m.Deployment != "blue" || m.Every != 24*time.Hour || len(m.Signals) != 2 {
			t.Fatalf("monitor: %+v", m)
		}
		// The SDK's own types know no ModelPerformance and drop its thresholds.
		for i, want := range []struct {
			kind, metric string
			threshold    float64
		}{{"data_drift", "PopulationStabilityIndex", 0.2}, {"model_performance", "Accuracy", 0.8}} {
			s := m.Signals[i]
			if s.Type != want.kind || len(s.Thresholds) != 1 || s.Thresholds[0].Metric != want.metric || *s.Thresholds[0].Value != want.threshold {
				t.Errorf("signal %d: %+v, want %+v", i, s, want)
			}
		}
	})
}

func TestListingsWalkEveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{PageSize: 2})
		for i := range 5 {
			r.train(t, sandbox.JobSpec{Name: fmt.Sprint("job", i), Component: "train_churn"})
			must[string](t)(r.ws.RegisterModel(fmt.Sprint("other", i), "", nil))
			check(t, r.ws.Deploy(fmt.Sprint("ep", i), "blue", "churn", "1"))
			check(t, r.ws.CreateMonitor(sandbox.MonitorSpec{Name: fmt.Sprint("mon", i), Model: "churn", Signals: []sandbox.Signal{{Name: "d"}}}))
		}
		jobs := walk(t, r, r.Jobs)
		if len(jobs) != 5 || jobs[0].Name != "job4" || jobs[4].Name != "job0" {
			t.Errorf("%d jobs, want 5, newest first: %+v", len(jobs), jobs)
		}
		models := map[string]bool{}
		for _, m := range walk(t, r, r.ModelVersions) {
			models[m.Name+":"+m.Version] = true
		}
		if len(models) != 10 || !models["churn:5"] || !models["other4:1"] {
			t.Errorf("models: %v", models)
		}
		if got := walk(t, r, r.Endpoints); len(got) != 6 || len(got[0].Deployments) != 1 {
			t.Errorf("endpoints: %+v", got)
		}
		if got := walk(t, r, r.Monitors); len(got) != 5 {
			t.Errorf("monitors: %+v", got)
		}
	})
}

func TestErrorsKeepThePortsContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		if _, err := r.Job(t.Context(), r.at, "nobody"); !errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("a missing job: %v", err)
		}
		if _, err := r.Run(t.Context(), r.at, "nobody"); !errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("a missing run: %v", err)
		}
		if _, err := r.ModelVersion(t.Context(), r.at, "churn", "7"); !errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("a missing version: %v", err)
		}
		r.ws.Inject(sandbox.Fault{Path: "/jobs/", Status: http.StatusTooManyRequests, RetryAfter: 17 * time.Second})
		var later *policy.RetryAfterError
		before := time.Now()
		if _, err := r.Job(t.Context(), r.at, "x"); !errors.As(err, &later) || later.After != 17*time.Second {
			t.Errorf("throttled: %v", err)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("waited %v: that is the caller's to do", waited)
		}
		var permanent *policy.PermanentError
		r.ws.Inject(sandbox.Fault{Path: "/jobs/", Status: http.StatusForbidden})
		if _, err := r.Job(t.Context(), r.at, "x"); !errors.As(err, &permanent) {
			t.Errorf("forbidden: %v", err)
		}
		if _, err := r.Job(t.Context(), event.Workspace{Alias: "w", ID: "/nowhere"}, "x"); !errors.As(err, &permanent) {
			t.Errorf("no workspace: %v", err)
		}
		r.ws.Inject(sandbox.Fault{Path: "/jobs/", Drop: true})
		_, err := r.Job(t.Context(), r.at, "x")
		if err == nil || errors.As(err, &permanent) || errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("a dropped connection: %v", err)
		}
	})
}

func TestACursorLeadsNowhereElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		var permanent *policy.PermanentError
		for _, cursor := range []string{"http://elsewhere.example/x?$skip=1", "https://127.0.0.1/x", "::"} {
			if _, _, err := r.Jobs(t.Context(), r.at, cursor); !errors.As(err, &permanent) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
	})
}

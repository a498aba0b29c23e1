package ml_test

import (
	"errors"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func TestAJobIsSubmittedOnceUnderItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		must[string](t)(r.ws.RegisterData("churn-data"))
		spec := azureml.JobSpec{
			Name: "mw-1", Component: "azureml:train_churn:3", Experiment: "retrain", Compute: "cpu-cluster",
			Inputs: map[string]any{"training_data": "azureml:churn-data@latest", "epochs": 3, "rate": 0.5},
			Tags:   map[string]string{event.OriginTag: "k@p"},
		}
		// The first attempt's answer is lost.
		r.ws.Inject(sandbox.Fault{Method: http.MethodPut, Path: "/jobs/", After: true, Drop: true})
		if _, _, err := r.Submit(t.Context(), r.at, spec); err == nil {
			t.Fatal("a dropped connection is no success")
		}
		spec.Tags = map[string]string{event.OriginTag: "other@p"} // a PUT would replace them
		job, created, err := r.Submit(t.Context(), r.at, spec)
		if err != nil || created || job.Name != "mw-1" || job.Tags[event.OriginTag] != "k@p" {
			t.Errorf("the job is not adopted: %+v %v %v", job, created, err)
		}
		if in := job.Inputs["training_data"].Data; in == nil || *in != (event.DataRef{Name: "churn-data", Version: "2"}) {
			t.Errorf("@latest became %+v", in)
		}
		if job.Inputs["epochs"].Value != "3" || job.Inputs["rate"].Value != "0.5" || job.Component != "azureml:train_churn:3" {
			t.Errorf("the job runs %+v", job)
		}
		if done := must[sandbox.Job](t)(r.ws.WaitJob(t.Context(), "mw-1")); done.Model != "churn" {
			t.Errorf("the component was not run: %+v", done)
		}
		if all := walk(t, r, r.Jobs); len(all) != 1 {
			t.Errorf("%d jobs, want 1", len(all))
		}
		spec.Name = "mw-2"
		if _, created, err := r.Submit(t.Context(), r.at, spec); err != nil || !created {
			t.Errorf("another name: created %v, %v", created, err)
		}
		spec.Name, spec.Inputs = "mw-3", map[string]any{"training_data": "azureml:nothing@latest"}
		if _, _, err := r.Submit(t.Context(), r.at, spec); !errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("data that does not exist: %v", err)
		}
	})
}

func TestABatchEndpointIsInvokedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		check(t, r.ws.CreateBatchEndpoint("retrain-ep", "azureml:train_churn:3"))
		spec := azureml.BatchSpec{
			Name: "mw-1", Endpoint: "retrain-ep", Inputs: map[string]any{"training_data": "azureml:churn-data@latest", "epochs": "2"},
			Tags: map[string]string{event.OriginTag: "k@p"},
		}
		r.ws.Inject(sandbox.Fault{Path: "/batch/", After: true, Drop: true})
		if _, _, err := r.InvokeBatch(t.Context(), r.at, spec); err == nil {
			t.Fatal("a dropped connection is no success")
		}
		job, created, err := r.InvokeBatch(t.Context(), r.at, spec)
		if err != nil || created || job.Tags[event.OriginTag] != "k@p" {
			t.Errorf("the run is not adopted: %+v %v %v", job, created, err)
		}
		if all := walk(t, r, r.Jobs); len(all) != 1 {
			t.Errorf("%d jobs, want 1", len(all))
		}
		spec.Tags = map[string]string{event.OriginTag: "other@p"}
		other, created, err := r.InvokeBatch(t.Context(), r.at, spec)
		if err != nil || !created || other.Name == job.Name {
			t.Errorf("another origin: %+v %v %v", other, created, err)
		}
		spec.Endpoint, spec.Tags = "nowhere", nil
		if _, _, err := r.InvokeBatch(t.Context(), r.at, spec); !errors.Is(err, lineage.ErrNotFound) {
			t.Errorf("a missing endpoint: %v", err)
		}
	})
}

func TestTrafficIsChangedOnlyFromWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{UpdateTime: 20 * time.Second})
		r.train(t, sandbox.JobSpec{Component: "train_churn"})
		check(t, r.ws.Deploy("churn-ep", "green", "churn", "1"))
		blue, green := map[string]int{"blue": 100}, map[string]int{"blue": 0, "green": 100}

		if err := r.SetTraffic(t.Context(), r.at, "churn-ep", green, blue); err != nil {
			t.Errorf("the traffic wanted is there already: %v", err)
		}
		err := r.SetTraffic(t.Context(), r.at, "churn-ep", map[string]int{"blue": 50, "green": 50}, green)
		if !errors.Is(err, lineage.ErrConflict) {
			t.Errorf("the traffic is not what was seen: %v", err)
		}

		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- r.SetTraffic(t.Context(), r.at, "churn-ep", blue, green) }()
		time.Sleep(5 * time.Second)
		if err := r.SetTraffic(t.Context(), r.at, "churn-ep", blue, green); !errors.Is(err, lineage.ErrConflict) {
			t.Errorf("while another change is under way: %v", err)
		}
		check(t, <-done)
		if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("it returned after %v, the change takes 20 s", took)
		}
		if e := must[azureml.Endpoint](t)(r.Endpoint(t.Context(), r.at, "churn-ep")); e.Traffic["green"] != 100 || e.Traffic["blue"] != 0 {
			t.Errorf("traffic: %v", e.Traffic)
		}
		if err := r.SetTraffic(t.Context(), r.at, "churn-ep", green, map[string]int{"red": 100}); err == nil {
			t.Error("traffic to a deployment that does not exist")
		}
	})
}

func TestTagsAreSetAndRemovedAndTheOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		must[string](t)(r.ws.RegisterModel("churn", "", map[string]string{"owner": "risk-ml", "old": "x"}))
		for range 2 { // the second finds it done
			check(t, r.TagModel(t.Context(), r.at, "churn", "1", map[string]string{"stage": "approved", "old": ""}))
		}
		m := must[azureml.ModelVersion](t)(r.ModelVersion(t.Context(), r.at, "churn", "1"))
		if want := map[string]string{"owner": "risk-ml", "stage": "approved"}; !maps.Equal(m.Tags, want) {
			t.Errorf("tags %v, want %v", m.Tags, want)
		}
	})
}

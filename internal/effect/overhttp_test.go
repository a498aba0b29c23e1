package effect_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// simulated is the adapter of the product before a simulated workspace, to be
// used within synctest.
type simulated struct {
	*ml.Client
	ws    *sandbox.Workspace
	at    event.Workspace
	store lineage.Store
}

func newSimulated(t *testing.T, o sandbox.Options) *simulated {
	t.Helper()
	o.Training = []sandbox.Training{{Component: "train_churn", Model: "churn", Data: "churn-data", Tags: map[string]string{"modelwarden.approved": "true"}}}
	ws := sandbox.New(o)
	t.Cleanup(func() {
		if err := ws.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := ml.New(ml.Options{Endpoint: "http://127.0.0.1", PollEvery: time.Second, Transport: &http.Client{Transport: sandbox.InMemory{"127.0.0.1": ws.Handler()}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &simulated{Client: client, ws: ws, at: event.Workspace{Alias: "contoso-ml", ID: ws.ID()}, store: newChronicle(t).Store}
	if err := ws.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ws.RegisterData("churn-data"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *simulated) effector(t *testing.T, target policy.Target) policy.Effector {
	t.Helper()
	all, err := effect.New(map[string]policy.Target{"t": target}, effect.Deps{
		AzureML: s, Store: s.store, Workspace: func(alias string) (event.Workspace, bool) { return s.at, alias == s.at.Alias },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["t"]
}

// until repeats an action as the worker does, until it is done or refused.
func until(t *testing.T, e policy.Effector, a policy.Action) (out policy.Outcome, attempts int, err error) {
	t.Helper()
	for attempts = 1; attempts <= 10; attempts++ {
		if out, err = e.Do(t.Context(), a); err == nil || isPermanent(err) {
			return out, attempts, err
		}
		time.Sleep(retryAfter(err) + time.Second)
	}
	return out, attempts, err
}

func TestALostAnswerFromAWorkspaceIsOneJob(t *testing.T) {
	for kind, target := range map[string]policy.Target{
		"pipeline": {AzureML: &policy.AzureMLTarget{Component: "azureml:train_churn:3", Experiment: "retrain", Inputs: map[string]any{"training_data": "azureml:churn-data@latest", "model": "{{ model }}"}}},
		"batch":    {Batch: &policy.BatchTarget{Endpoint: "retrain-ep", Inputs: map[string]any{"training_data": "azureml:churn-data@latest"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, a := newSimulated(t, sandbox.Options{}), action(policy.Retrain)
			if err := s.ws.CreateBatchEndpoint("retrain-ep", "azureml:train_churn:3"); err != nil {
				t.Fatal(err)
			}
			path := map[string]string{"pipeline": "/jobs/", "batch": "/batch/"}[kind]
			s.ws.Inject(sandbox.Fault{Path: path, Method: map[string]string{"pipeline": http.MethodPut, "batch": http.MethodPost}[kind], After: true, Drop: true})
			out, attempts, err := until(t, s.effector(t, target), a)
			if err != nil || attempts != 2 || !strings.HasPrefix(out.Summary, "found job") {
				t.Fatalf("%s: %d attempts, %+v, %v", kind, attempts, out, err)
			}
			done, err := s.ws.WaitJob(t.Context(), out.Run)
			if err != nil || done.Model != "churn" {
				t.Errorf("%s: %+v, %v", kind, done, err)
			}
			jobs, _, err := s.Jobs(t.Context(), s.at, "")
			if err != nil || len(jobs) != 1 || jobs[0].Tags[event.OriginTag] != a.ID {
				t.Errorf("%s: %d jobs, %v", kind, len(jobs), err)
			}
		})
	}
}

// Azure takes longer over the traffic than an attempt may: later attempts find
// it under way, then done.
func TestASlowShiftIsWaitedForAndVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := newSimulated(t, sandbox.Options{UpdateTime: 70 * time.Second}), action(policy.Rollback)
		for _, deployment := range []string{"blue", "green"} {
			name, err := s.ws.SubmitJob(sandbox.JobSpec{Component: "azureml:train_churn:3"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.ws.WaitJob(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if err := s.ws.Deploy("churn-ep", deployment, "churn", ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if err := s.SetTraffic(t.Context(), s.at, "churn-ep", map[string]int{"blue": 100}, map[string]int{"green": 100}); err != nil {
			t.Fatal(err)
		}
		a.Occurred = time.Now()
		target := policy.Target{Rollback: &policy.RollbackTarget{Endpoint: "churn-ep", DryRun: new(bool)}}
		out, attempts, err := until(t, s.effector(t, target), a)
		if err != nil || attempts < 3 || out.Ref != "deployment/contoso-ml/churn-ep/blue" {
			t.Fatalf("%d attempts, %+v, %v", attempts, out, err)
		}
		ep, err := s.Endpoint(t.Context(), s.at, "churn-ep")
		if err != nil || ep.State != "Succeeded" || ep.Traffic["blue"] != 100 || ep.Traffic["green"] != 0 {
			t.Errorf("%+v, %v", ep, err)
		}
		again, attempts, err := until(t, s.effector(t, target), a)
		if err != nil || attempts != 1 || again.Summary != out.Summary {
			t.Errorf("again: %d attempts, %+v, %v", attempts, again, err)
		}
		if after, err := s.Endpoint(t.Context(), s.at, "churn-ep"); err != nil || !maps.Equal(after.Traffic, ep.Traffic) {
			t.Errorf("again: %v, %v", after.Traffic, err)
		}
	})
}

package effect_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// inWorkspace builds one target that acts in w.
func inWorkspace(t *testing.T, w *workspace, store lineage.Store, target policy.Target) policy.Effector {
	t.Helper()
	all, err := effect.New(map[string]policy.Target{"t": target}, effect.Deps{
		AzureML: w, Workspace: byAlias, Store: store, Now: func() time.Time { return t0.Add(time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["t"]
}

var (
	pipelineTarget = policy.Target{AzureML: &policy.AzureMLTarget{
		Component: "azureml:train_churn:3", Experiment: "churn-retrain", Compute: "cpu",
		Inputs: map[string]any{"training_data": "azureml:churn@latest", "epochs": 3, "fast": true, "reason": "{{ policy }} in {{ window }}"},
	}}
	batchTarget = policy.Target{Batch: &policy.BatchTarget{
		Workspace: "other", Endpoint: "churn-train", Deployment: "pipeline", Inputs: map[string]any{"data": "azureml:churn@latest", "model": "{{ model }}"},
	}}
)

func TestRetrainIsAPipelineJobOfItsComponent(t *testing.T) {
	w, a := newWorkspace(), action(policy.Retrain)
	out, err := inWorkspace(t, w, nil, pipelineTarget).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.Run != "mw-"+a.Key || out.URL != "https://ml.azure.com/runs/mw-"+a.Key || len(w.specs) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	spec := w.specs[0]
	if spec.Name != out.Run || spec.Component != "azureml:train_churn:3" || spec.Experiment != "churn-retrain" || spec.Compute != "cpu" || spec.DisplayName != "Retrain by policy churn-drift" {
		t.Errorf("%+v", spec)
	}
	if want := map[string]any{"training_data": "azureml:churn@latest", "epochs": 3, "fast": true, "reason": "churn-drift in run-7"}; !maps.Equal(spec.Inputs, want) {
		t.Errorf("inputs %v", spec.Inputs)
	}
	if want := map[string]string{event.OriginTag: a.ID, "modelwarden.policy": a.Policy, "modelwarden.event": a.Event, lineage.ModelTag: a.Model}; !maps.Equal(spec.Tags, want) {
		t.Errorf("tags %v", spec.Tags)
	}
	if w.asked[0].ID != contosoID {
		t.Errorf("asked %+v, want the event's workspace", w.asked[0])
	}
}

func TestBatchEndpointIsInvoked(t *testing.T) {
	w, a := newWorkspace(), action(policy.Retrain)
	out, err := inWorkspace(t, w, nil, batchTarget).Do(t.Context(), a)
	if err != nil || out.Run != "mw-"+a.Key || len(w.batches) != 1 || w.asked[0].Alias != "other" {
		t.Fatalf("%+v, %v, %v", out, err, w.asked)
	}
	spec := w.batches[0]
	if spec.Name != out.Run || spec.Endpoint != "churn-train" || spec.Deployment != "pipeline" || spec.Tags[event.OriginTag] != a.ID ||
		!maps.Equal(spec.Inputs, map[string]any{"data": "azureml:churn@latest", "model": "churn"}) {
		t.Errorf("%+v", spec)
	}
}

// A crash between two steps, as the worker sees it: the second attempt knows
// nothing of the first but the key.
func TestOneKeyIsOneJobInAWorkspace(t *testing.T) {
	lost := errors.New("connection lost")
	for name, fault := range map[string]func(*workspace){
		"the outcome was not recorded": func(*workspace) {},
		"lost before the job was kept": func(w *workspace) { w.before = func(string) error { return lost } },
		"lost after the job was kept":  func(w *workspace) { w.after = func(string) error { return lost } },
		"throttled": func(w *workspace) {
			w.before = func(string) error { return &policy.RetryAfterError{Err: lost, After: time.Minute} }
		},
	} {
		for kind, target := range map[string]policy.Target{"pipeline": pipelineTarget, "batch": batchTarget} {
			w, a := newWorkspace(), action(policy.Retrain)
			fault(w)
			_, err := inWorkspace(t, w, nil, target).Do(t.Context(), a)
			if isPermanent(err) {
				t.Errorf("%s, %s: gave up: %v", kind, name, err)
			} else if name == "throttled" && retryAfter(err) != time.Minute {
				t.Errorf("%s: comes back in %s", kind, retryAfter(err))
			}
			// A batch run is found in a listing, which takes a while to show it.
			if kind == "batch" && err != nil && retryAfter(err) < 30*time.Second {
				t.Errorf("%s: comes back in %s", name, retryAfter(err))
			}
			w.heal()
			out, err := inWorkspace(t, w, nil, target).Do(t.Context(), a)
			if err != nil || out.Run != "mw-"+a.Key || len(w.specs)+len(w.batches) != 1 {
				t.Errorf("%s, %s: %d jobs, %+v, %v", kind, name, len(w.jobs), out, err)
			}
		}
	}
}

func TestJobOfAnotherActionIsNotAdopted(t *testing.T) {
	a := action(policy.Retrain)
	for kind, target := range map[string]policy.Target{"pipeline": pipelineTarget, "batch": batchTarget} {
		w := newWorkspace()
		w.jobs["mw-"+a.Key] = azureml.Job{Name: "mw-" + a.Key, Tags: map[string]string{event.OriginTag: "other@x"}}
		if _, err := inWorkspace(t, w, nil, target).Do(t.Context(), a); !isPermanent(err) || !strings.Contains(err.Error(), "not of this action") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestLinksThatHoldCredentialsAreNotShown(t *testing.T) {
	a := action(policy.Retrain)
	for kind, target := range map[string]policy.Target{"pipeline": pipelineTarget, "batch": batchTarget} {
		w := newWorkspace()
		w.jobs["mw-"+a.Key] = azureml.Job{
			Name: "mw-" + a.Key, Tags: map[string]string{event.OriginTag: a.ID}, Studio: "https://svc:" + thePassword + "@ml.azure.com/runs/x",
		}
		out, err := inWorkspace(t, w, nil, target).Do(t.Context(), a)
		assertNoLeak(t, out, err)
		if err != nil || out.URL != "" || out.Run != "mw-"+a.Key {
			t.Errorf("%s: %+v, %v", kind, out, err)
		}
	}
}

func TestWorkspaceTargetsRefuseWhatTheyCantDo(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*policy.Action)
		says   string
	}{
		"a rollback":          {func(a *policy.Action) { a.Type = policy.Rollback }, "takes retrain actions"},
		"an odd key":          {func(a *policy.Action) { a.Key = "../x" }, "makes no job name"},
		"a strange workspace": {func(a *policy.Action) { a.Asset = "monitor/nowhere/churn" }, `workspace "nowhere" is not listed`},
		"no window":           {func(a *policy.Action) { a.Window = "" }, "input reason: {{ window }}: came out empty"},
	} {
		w, a := newWorkspace(), action(policy.Retrain)
		tc.change(&a)
		if _, err := inWorkspace(t, w, nil, pipelineTarget).Do(t.Context(), a); !isPermanent(err) || !strings.Contains(err.Error(), tc.says) || len(w.asked) != 0 {
			t.Errorf("%s: %d calls, %v", name, len(w.asked), err)
		}
	}
}

func TestAWorkspaceThatHangsIsLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inWorkspace(t, newWorkspace(), nil, pipelineTarget).Do(ctx, action(policy.Retrain)); err == nil || isPermanent(err) {
		t.Errorf("got %v", err)
	}
}

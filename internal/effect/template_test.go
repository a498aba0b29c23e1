package effect_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// trained tells how churn:8 was made and put in service, and that churn:9
// exists besides.
func trained(t *testing.T) *chronicle {
	t.Helper()
	c := newChronicle(t)
	for version, data := range map[string]string{"8": "14", "9": "15"} {
		c.tell(t, t0, event.Event{Kind: event.JobCompleted, Run: &event.Run{
			ID: "train-" + version, Status: "Completed", Inputs: []event.DataRef{{Name: "churn-data", Version: data}, {Name: "labels"}},
		}})
		c.tell(t, t0, event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: version, Job: "train-" + version}})
	}
	c.deployed(t, t0.Add(time.Hour), "green", "8")
	return c
}

func TestInputsComeFromTheBreachAndTheLineage(t *testing.T) {
	c, w, a := trained(t), newWorkspace(), action(policy.Retrain)
	a.Inputs = map[string]any{
		"monitor": "churn_monitor", "signal": "drift", "run": "window-run", "metrics": map[string]float64{"auc": 0.91},
		"breaches": []event.Breach{{Feature: "age", Metric: "PopulationStabilityIndex"}},
	}
	target := policy.Target{AzureML: &policy.AzureMLTarget{Component: "azureml:t:1", Inputs: map[string]any{
		"data": `azureml:churn-data:{{ data["churn-data"] }}`, "baseline": "{{ baseline.run }} made {{ model }}:{{ baseline.version }}",
		"where": "{{ workspace }}/{{ monitor }}/{{ signal }}/{{ run }}", "what": "{{ breaches[0].feature }} {{ metrics.auc }}",
		"version": `{{ version == "" ? "as such" : version }}`,
	}}}
	if _, err := inWorkspace(t, w, c, target).Do(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{
		"data": "azureml:churn-data:14", "baseline": "train-8 made churn:8", "where": "contoso-ml/churn_monitor/drift/window-run",
		"what": "age 0.91", "version": "as such",
	}; !maps.Equal(w.specs[0].Inputs, want) {
		t.Errorf("got  %v\nwant %v", w.specs[0].Inputs, want)
	}
	// An action about a version is about that version's training.
	a.Key, a.Model = "another", "model/contoso-ml/churn/9"
	if _, err := inWorkspace(t, w, c, target).Do(t.Context(), a); err != nil || w.specs[1].Inputs["data"] != "azureml:churn-data:15" || w.specs[1].Inputs["version"] != "9" {
		t.Errorf("%v, %v", w.specs, err)
	}
}

func TestWhatTheLineageDoesNotKnowIsSaid(t *testing.T) {
	for name, tc := range map[string]struct{ model, input, says string }{
		"a model nobody deployed": {"model/contoso-ml/fraud", "{{ baseline.run }}", "run is not known for this action"},
		"data without a version":  {"model/contoso-ml/churn", "{{ data.labels }}", "labels is not known for this action"},
		"no model at all":         {"", "{{ model }}", "came out empty"},
	} {
		a := action(policy.Retrain)
		a.Model = tc.model
		target := policy.Target{AzureML: &policy.AzureMLTarget{Component: "azureml:t:1", Inputs: map[string]any{"x": tc.input}}}
		if _, err := inWorkspace(t, newWorkspace(), trained(t), target).Do(t.Context(), a); !isPermanent(err) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheLineageIsAskedOnlyByTemplatesThatNeedIt(t *testing.T) {
	broken := brokenStore{}
	plain := policy.Target{AzureML: &policy.AzureMLTarget{Component: "azureml:t:1", Inputs: map[string]any{"x": "{{ model }}"}}}
	if _, err := inWorkspace(t, newWorkspace(), broken, plain).Do(t.Context(), action(policy.Retrain)); err != nil {
		t.Errorf("asked without need: %v", err)
	}
	asks := policy.Target{AzureML: &policy.AzureMLTarget{Component: "azureml:t:1", Inputs: map[string]any{"x": "{{ baseline.run }}"}}}
	if _, err := inWorkspace(t, newWorkspace(), broken, asks).Do(t.Context(), action(policy.Retrain)); err == nil || isPermanent(err) {
		t.Errorf("a store that is down will come back: %v", err)
	}
}

// brokenStore is down.
type brokenStore struct{ lineage.Store }

func (brokenStore) Get(context.Context, string, ...string) ([]lineage.Record, error) {
	return nil, errDown
}

func TestWrongTemplatesAreFoundWhenTheTargetIsMade(t *testing.T) {
	_, err := effect.New(map[string]policy.Target{"s": {Sandbox: &policy.SandboxTarget{Inputs: map[string]any{"x": "{{ modle }}"}}}},
		effect.Deps{SandboxURL: "http://127.0.0.1:1" + workspacePath})
	if err == nil || !strings.Contains(err.Error(), "targets.s.sandbox.inputs.x: ") {
		t.Errorf("got %v", err)
	}
}

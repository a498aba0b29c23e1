package lineage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// TestCompleteness tells one part of a version's story at a time: each makes
// exactly its aspect known.
func TestCompleteness(t *testing.T) {
	store, w := openStore(t), newWorld()
	register := func(tags map[string]string, job string) event.Event {
		return event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: "2", Job: job, Tags: tags}}
	}
	deployed := func(version string) event.Event {
		return event.Event{Kind: event.ModelDeployed, Deployment: &event.Deployment{Endpoint: "ep", Name: "blue", Models: []event.ModelRef{{Name: "churn", Version: version}}}}
	}
	for i, step := range []struct {
		ev  event.Event
		add []string
	}{
		{register(nil, ""), nil},
		{register(map[string]string{"owner": "ana"}, ""), []string{lineage.AspectOwner}},
		{register(map[string]string{"owner": "ana"}, "j"), []string{lineage.AspectJob}},
		{event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "j", Inputs: []event.DataRef{{Name: "data", Version: "1"}}}}, []string{lineage.AspectData}},
		{event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "j", Properties: map[string]string{"azureml.git.commit": "61088d2"}}}, []string{lineage.AspectCode}},
		{event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "j", Facts: map[string]string{"environment": "azureml:sklearn:4"}}}, []string{lineage.AspectEnvironment}},
		{event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "j", Metrics: map[string]float64{"accuracy": 0.9}}}, []string{lineage.AspectEvaluation}},
		{event.Event{Kind: event.MonitorPassed, Monitor: &event.Monitor{Name: "mon", Model: "churn", Window: "w"}}, []string{lineage.AspectMonitor}},
		{deployed("1"), []string{lineage.AspectRollback}}, // while version 2 is nowhere
	} {
		before := completeness(t, w, store, "2").Known
		happen(w, i, step.ev)
		got := completeness(t, w, store, "2")
		added := slices.DeleteFunc(slices.Clone(got.Known), func(a string) bool { return slices.Contains(before, a) })
		if !slices.Equal(added, step.add) || len(got.Known) != len(before)+len(step.add) {
			t.Fatalf("step %d: known before %v, then %v; want %v more", i, before, got.Known, step.add)
		}
		if got.Score != float64(len(got.Known))/8 || len(got.Known)+len(got.Missing) != 8 {
			t.Errorf("step %d: score %v of %v known, %v missing", i, got.Score, got.Known, got.Missing)
		}
		for _, gap := range got.Missing {
			if gap.Why == "" || slices.Contains(got.Known, gap.What) {
				t.Errorf("step %d: gap %+v", i, gap)
			}
		}
	}
}

func completeness(t *testing.T, w *world, store lineage.Store, version string) lineage.Completeness {
	t.Helper()
	w.put(t, store)
	a, err := lineage.Load(t.Context(), store, lineage.NewID(lineage.Model, "ws", "churn", version))
	if err != nil {
		t.Fatal(err)
	}
	if a == nil {
		a = &lineage.Asset{ID: lineage.NewID(lineage.Model, "ws", "churn", version)}
	}
	c, err := lineage.CompletenessOf(t.Context(), store, a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAVersionGoesBackToWhatWasServedBeforeIt(t *testing.T) {
	store, w := openStore(t), newWorld()
	for minute, models := range [][]string{{"1"}, {"2"}, {"3"}, {"2"}} {
		var refs []event.ModelRef
		for _, v := range models {
			refs = append(refs, event.ModelRef{Name: "churn", Version: v}, event.ModelRef{Name: "shared", Version: "9"})
		}
		happen(w, minute, event.Event{Kind: event.ModelDeployed, Deployment: &event.Deployment{Endpoint: "ep", Name: "blue", Models: refs}})
	}
	for version, want := range map[string]bool{"1": false, "2": true, "3": true, "4": true} {
		got := completeness(t, w, store, version)
		if slices.Contains(got.Known, lineage.AspectRollback) != want {
			t.Errorf("version %s can be rolled back: %v, want %v", version, !want, want)
		}
	}
}

// TestWhatHangsOnTheJobSaysSo: four gaps have one reason.
func TestWhatHangsOnTheJobSaysSo(t *testing.T) {
	store, w := openStore(t), newWorld()
	happen(w, 0, event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: "1"}})
	hang := 0
	for _, gap := range completeness(t, w, store, "1").Missing {
		if strings.Contains(gap.Why, "which is not known") {
			hang++
		}
	}
	if hang != 4 {
		t.Errorf("%d gaps hang on the job", hang)
	}
}

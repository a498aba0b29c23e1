package worker_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

// published are the distinct changes that reached the topic, by type.
func (e *effects) published(t *testing.T) map[policy.ChangeType][]policy.Change {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	out, seen := map[policy.ChangeType][]policy.Change{}, map[string]bool{}
	for _, a := range e.done {
		if a.Type != policy.Publish {
			continue
		}
		changes, err := policy.PublishedChanges(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if !seen[c.ID] {
				out[c.Type] = append(out[c.Type], c)
			}
			seen[c.ID] = true
		}
	}
	return out
}

func everyChange(policy.ChangeType) bool { return true }

// story is a registration and a breach, each three times.
func (r *rig) story() {
	registered := envelope("ModelRegistered", "e0", "models/m:1", 0, map[string]any{"modelName": "m", "modelVersion": "1"})
	for range 3 {
		r.send(registered, breach("e1", "m_monitor", "run1", 1))
	}
}

func TestChangesArePublishedThroughFaults(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			faults := &porttest.Faults{Seed: seed, Before: 0.1, After: 0.1}
			r := newRig(t, retrainPolicy, faults)
			r.publish = everyChange
			r.story()
			r.work(5 * time.Minute)
			faults.Stop()
			r.work(30 * time.Minute)
			got := r.effects.published(t)
			for kind, want := range map[policy.ChangeType]int{policy.DecisionMade: 1, policy.ActionPerformed: 2, policy.StageChanged: 1} {
				if len(got[kind]) != want {
					t.Errorf("seed %d: %d changes of type %s published, want %d: %+v", seed, len(got[kind]), kind, want, got[kind])
				}
			}
		})
	}
}

func TestAPublishedChangeSaysWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.publish = everyChange
		r.story()
		r.work(time.Minute)
		got := r.effects.published(t)
		var d policy.Decision
		if c := got[policy.DecisionMade]; len(c) != 1 || json.Unmarshal(c[0].Data, &d) != nil || d.Policy != "drift" || d.Verdict != policy.Act || c[0].Subject != d.Asset {
			t.Errorf("decision: %+v", c)
		}
		if c := got[policy.StageChanged]; len(c) != 1 || string(c[0].Data) != `{"asset":"model/ws/m/1","from":"","to":"candidate"}` {
			t.Errorf("stage: %+v", c)
		}
		states := map[string]string{}
		for _, c := range got[policy.ActionPerformed] {
			var a struct{ Type, State string }
			if err := json.Unmarshal(c.Data, &a); err != nil {
				t.Fatal(err)
			}
			states[a.Type] = a.State
		}
		if states["retrain"] != "succeeded" || states["review"] != "succeeded" {
			t.Errorf("actions: %v", states)
		}
	})
}

func TestOnlyWantedChangesArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.publish = func(c policy.ChangeType) bool { return c == policy.StageChanged }
		r.story()
		r.work(time.Minute)
		if got := r.effects.published(t); len(got) != 1 || len(got[policy.StageChanged]) != 1 {
			t.Errorf("published %+v", got)
		}
	})
}

// TestAPublicationIsPlannedAgainWithTheChange: a commit that was made and is
// repeated must not fail for what rides along.
func TestAPublicationIsPlannedAgainWithTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.publish = everyChange
		change := policy.Change{ID: "c", Type: policy.StageChanged, Subject: "model/ws/m/1", Time: time.Now(), Data: []byte(`{}`)}
		for range 2 {
			extra, _, err := r.publications().Plan(t.Context(), "model/ws/m/1", change)
			if err != nil || len(extra) != 1 {
				t.Fatalf("planned %d changes, %v", len(extra), err)
			}
			if _, err := r.store.Commit(t.Context(), "model/ws/m/1", extra); err != nil {
				t.Fatal(err)
			}
		}
	})
}

package worker_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

const faultPolicies = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{retrain: {target: hook, cooldown: 10m}}, {review: {severity: warning}}]
  - name: failed
    on: [job.failed]
    then: [{notify: {target: hook}}]
targets: {hook: {log: {}}}
`

// history draws events of a small workspace: enough collisions to hurt.
func history(rng *rand.Rand, n int) []event.Envelope {
	out := make([]event.Envelope, n)
	for i := range out {
		id, model, version := fmt.Sprint("e", i), fmt.Sprint("m", rng.IntN(3)), fmt.Sprint(rng.IntN(4))
		job := fmt.Sprint("job", rng.IntN(6))
		switch rng.IntN(6) {
		case 0:
			out[i] = envelope("ModelRegistered", id, "models/"+model+":"+version, i, map[string]any{
				"modelName": model, "modelVersion": version, "modelProperties": map[string]any{"azureml.runId": job}})
		case 1:
			out[i] = envelope("ModelDeployed", id, "endpoints/ep-"+model, i, map[string]any{"serviceName": "ep-" + model, "modelIds": model + ":" + version})
		case 2:
			out[i] = breach(id, model+"_monitor", fmt.Sprint("w", rng.IntN(8)), i)
		case 3:
			out[i] = runEvent(id, job, "Failed", i, nil)
		default:
			out[i] = runEvent(id, job, "Running", i, map[string]any{"n": id})
		}
	}
	return out
}

// TestNoFaultLosesOrRepeatsAnything lets store, queue and targets fail at
// random, before and after the fact, stops the worker at random moments, and
// then compares with what the events alone say.
func TestNoFaultLosesOrRepeatsAnything(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := &porttest.Faults{Seed: seed, Before: 0.05, After: 0.05, Conflict: 0.05}
				r := newRig(t, faultPolicies, faults)
				rng := rand.New(rand.NewPCG(seed, 1))
				events := history(rng, 120)
				sent := append(slices.Clone(events), events[:40]...)
				rng.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
				for chunk := range slices.Chunk(sent, 10) {
					r.send(chunk...)
					r.work(time.Duration(rng.IntN(1500)) * time.Millisecond)
				}
				faults.Stop()
				r.work(2 * time.Hour)
				r.checkComplete(events)
			})
		})
	}
}

// checkComplete compares what is stored with what the events say.
func (r *rig) checkComplete(events []event.Envelope) {
	r.t.Helper()
	depth, err := r.db.Queue().Depth(r.t.Context())
	if err != nil || depth.Ready+depth.Leased+depth.Dead != 0 {
		r.t.Errorf("the queue is not empty: %+v %v", depth, err)
	}
	if n := len(r.logged()); n != len(events) {
		r.t.Errorf("%d events in the log, %d were sent", n, len(events))
	}
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		r.t.Fatal(err)
	}
	want := map[lineage.ID]*lineage.Asset{}
	for _, e := range events {
		ev, err := parser.Parse(e)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, p := range lineage.Patches(ev) {
			if want[p.Asset] == nil {
				want[p.Asset] = &lineage.Asset{}
			}
			want[p.Asset].Apply(p)
		}
	}
	for id, a := range want {
		r.checkAsset(id, a)
	}
	r.checkActions()
}

func (r *rig) checkAsset(id lineage.ID, want *lineage.Asset) {
	r.t.Helper()
	got, err := lineage.Load(r.t.Context(), r.db.Store(), id)
	if err != nil || got == nil {
		r.t.Errorf("%s is not known: %v", id, err)
		return
	}
	got.Rev, got.Recorded = 0, time.Time{}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		r.t.Errorf("%s is\n%s\nwant\n%s", id, b, a)
	}
}

// checkActions holds law 3: every intent ended, every effect has an intent,
// and what succeeded had its effect.
func (r *rig) checkActions() {
	r.t.Helper()
	known := map[string]bool{}
	for _, kind := range []policy.ActionType{policy.Retrain, policy.Review, policy.Notify, policy.Resolve} {
		for _, a := range r.actions(kind) {
			known[a.Key] = true
			_, done := r.effects.done[a.Key]
			if a.State == policy.Pending || a.State == policy.Claimed {
				r.t.Errorf("action %s of type %s is still %s", a.ID, a.Type, a.State)
			}
			if a.State == policy.Succeeded && !done {
				r.t.Errorf("action %s succeeded without an effect", a.ID)
			}
		}
	}
	for key, a := range r.effects.done {
		if !known[key] {
			r.t.Errorf("an effect of type %s has key %s, which no listed action has", a.Type, key)
		}
	}
}

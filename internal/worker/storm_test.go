package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

// fed are the events of a model whose version 1 a job made of a data asset.
func fed(model, data string) []event.Envelope {
	run := "made-" + model
	job := envelope("RunCompleted", "job-"+model, "experiments/x/runs/"+run, -120, map[string]any{
		"experimentName": "train", "runId": run, "runTags": map[string]any{"training_data": "azureml:" + data}, "runProperties": map[string]any{}})
	return []event.Envelope{job, registered("reg-"+model, model, "1", run, -110), deployed("dep-"+model, model, "1", -100)}
}

// fleet makes models m0, m1, ... of one data asset.
func (r *rig) fleet(n int, data string) {
	for i := range n {
		r.send(fed(fmt.Sprint("m", i), data)...)
	}
	r.work(time.Hour)
}

// states counts the retrains by state and what held them.
func (r *rig) states() map[string]int {
	out := map[string]int{}
	for _, a := range r.actions(policy.Retrain) {
		out[strings.TrimSuffix(string(a.State)+" by "+a.SuppressedBy, " by ")]++
	}
	return out
}

// causes are the reviews that were raised, by cause: how many signals each got.
func (r *rig) causes() map[string]int {
	out := map[string]int{}
	for _, a := range r.actions(policy.Review) {
		if a.State == policy.Succeeded {
			out[a.Cause]++
		}
	}
	return out
}

const onlyRetrain = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{retrain: {target: hook}}]
targets: {hook: {log: {}}}
`

func TestOneBadDatasetUnderTwentyModelsIsOneReview(t *testing.T) {
	for name, faults := range map[string]*porttest.Faults{"calm": nil, "faults": {Seed: 3, Before: 0.05, After: 0.05, Conflict: 0.05}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, onlyRetrain, faults)
				desk := r.withDesk()
				if faults != nil {
					// The desk is over the store that fails, too.
					r.inform = nil
				}
				r.fleet(20, "features:7")
				stop := r.start()
				for i := range 20 {
					r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), i%5))
					time.Sleep(4 * time.Second)
				}
				time.Sleep(2 * time.Hour)
				if faults != nil {
					faults.Stop()
				}
				time.Sleep(2 * time.Hour)
				stop()
				if n, states := r.effects.of(policy.Retrain), r.states(); n != 0 || states["suppressed by storm"] != 20 {
					t.Errorf("%d retrains started; %v", n, states)
				}
				rev := r.reviewOf(desk, "data:data/ws/features/7")
				if rev.Previous != "" || rev.Count != 20 || len(rev.Assets) != 20 || !strings.Contains(rev.Reason, "m0, m1, m10") || !strings.Contains(rev.Title, "20 models") {
					t.Errorf("want one review that names the models, got %d signals, %s: %s", rev.Count, rev.Title, rev.Reason)
				}
				if causes := r.causes(); len(causes) != 1 {
					t.Errorf("reviews of other causes, too: %v", causes)
				}
				r.checkActions()
			})
		})
	}
}

func TestARetrainWaitsOnlyWhereAStormIsPossible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		r.fleet(3, "features:7")
		r.send(fed("alone", "own:1")...)
		r.work(time.Hour)
		stop := r.start()
		r.send(breach("b1", "m0_monitor", "w1", 0), breach("b2", "alone_monitor", "w2", 0))
		time.Sleep(time.Second)
		for _, a := range r.actions(policy.Retrain) {
			switch a.Asset {
			case "monitor/ws/alone_monitor":
				if a.State != policy.Succeeded {
					t.Errorf("a model with data of its own is %s", a.State)
				}
			default:
				if a.State != policy.Pending || !strings.Contains(a.Waiting, "data/ws/features/7 breach, too (1 so far, 3 are a storm)") || a.Attempts != 0 {
					t.Errorf("a model that shares its data is %s, waiting: %q", a.State, a.Waiting)
				}
			}
		}
		time.Sleep(3 * time.Minute)
		stop()
		if states := r.states(); states["succeeded"] != 2 {
			t.Errorf("one breach alone is no storm: %v", states)
		}
	})
}

func TestBreachesFarApartAreNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		r.fleet(3, "features:7")
		for i := range 3 {
			r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), 90*i))
			r.work(5 * time.Minute)
		}
		if n := r.effects.of(policy.Retrain); n != 3 {
			t.Errorf("%d retrains; %v", n, r.states())
		}
	})
}

func TestAStormCanBeSwitchedOffAndOverridden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain+"storm: {models: 0}\n", nil)
		r.fleet(3, "features:7")
		for i := range 3 {
			r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), 0))
		}
		r.work(time.Second)
		if n := r.effects.of(policy.Retrain); n != 3 {
			t.Errorf("switched off, %d retrains", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		r.fleet(3, "features:7")
		for i := range 3 {
			r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), 0))
		}
		r.work(5 * time.Minute)
		held := r.retrain()
		if _, err := policy.RetryAction(t.Context(), r.db.Store(), held.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.sendRaw(policy.WakeMessage(held.ID, time.Time{}))
		r.work(time.Second)
		if n := r.effects.of(policy.Retrain); n != 1 {
			t.Errorf("%d retrains after a person retried one; %v", n, r.states())
		}
	})
}

// qualityBreach is a breach of a monitor's data quality.
func qualityBreach(id, monitor, run string, minute int) event.Envelope {
	e := breach(id, monitor, run, minute)
	e.Data = []byte(strings.ReplaceAll(string(e.Data), "_data_drift", "_data_quality"))
	return e
}

func TestBrokenDataIsOneReviewOnTheDataAndNoRetrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		r.send(fed("m", "features:7")...)
		r.work(time.Minute)
		for i := range 3 {
			r.send(qualityBreach(fmt.Sprint("b", i), "m_monitor", "w1", i), qualityBreach(fmt.Sprint("c", i), "other_monitor", "v1", i))
			r.work(time.Minute)
		}
		if n := r.effects.of(policy.Retrain); n != 0 {
			t.Errorf("%d retrains on broken data", n)
		}
		if n := r.heldDecisions(policy.ReasonDataQuality); n != 6 {
			t.Errorf("%d decisions say so, want 6", n)
		}
		causes := r.causes()
		if causes["data:data/ws/features/7"] != 1 || causes["monitor:monitor/ws/other_monitor"] != 1 || len(causes) != 2 {
			t.Errorf("want one review on the data, and one on the monitor whose data nobody knows: %v", causes)
		}
	})
}

func TestARetrainMayWaitForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, strings.Replace(onlyRetrain, "target: hook", "target: hook, whenBusy: queue", 1), nil)
		r.effects.answer = startsRun
		r.send(breach("b1", "m_monitor", "w1", 0))
		r.work(time.Minute)
		first := r.retrain()
		r.send(breach("b2", "m_monitor", "w2", 60))
		r.work(time.Minute)
		r.send(breach("b3", "m_monitor", "w3", 120))
		r.work(time.Minute)
		want := map[string]int{"running": 1, "pending": 1, "suppressed by in_flight": 1}
		if got := r.states(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		r.send(runEvent("e1", "job-"+first.Key, "Completed", 130, map[string]any{event.OriginTag: first.ID}))
		r.work(time.Second)
		want = map[string]int{"succeeded": 1, "running": 1, "suppressed by in_flight": 1}
		if got := r.states(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after the first ended: got %v, want %v", got, want)
		}
	})
}

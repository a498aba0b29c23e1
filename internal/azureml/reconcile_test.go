package azureml_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

func doc(v any) ([]byte, error) { return json.Marshal(v) }

func TestASilentFailureIsToldOnceAndInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		at := time.Now().Add(3 * time.Minute).UTC()
		r.cloud.add(failed("sad_yak", time.Now(), at))
		if got := r.round(rec); got.Result != azureml.RoundComplete || got.Found["job"] != 1 {
			t.Fatalf("%+v", got)
		}
		events, fenced := r.told()
		if len(events) != 1 || fenced[0] {
			t.Fatalf("told %v, fenced %v", names(events), fenced)
		}
		ev := events[0]
		if ev.Kind != event.JobFailed || ev.Run.ID != "sad_yak" || !ev.Time.Equal(at) || ev.Workspace != workspace ||
			ev.Type != "Microsoft.MachineLearningServices.RunStatusChanged" || ev.Run.Type != "azureml.PipelineRun" ||
			!slices.Equal(ev.Run.Inputs, []event.DataRef{{Name: "churn-data", Version: "7"}}) {
			t.Errorf("%+v %+v", ev, ev.Run)
		}
		r.learn(ev)
		if got := r.round(rec); got.Found["job"] != 0 {
			t.Errorf("told again: %v", got)
		}
		want := `
# HELP modelwarden_reconcile_found_total What no event had told (job, model, deployment), and monitors found silent (monitor).
# TYPE modelwarden_reconcile_found_total counter
modelwarden_reconcile_found_total{kind="deployment"} 0
modelwarden_reconcile_found_total{kind="job"} 1
modelwarden_reconcile_found_total{kind="model"} 0
modelwarden_reconcile_found_total{kind="monitor"} 0
# HELP modelwarden_reconcile_rounds_total Rounds of the reconciler, by workspace and result (complete, partial, busy, failed).
# TYPE modelwarden_reconcile_rounds_total counter
modelwarden_reconcile_rounds_total{result="complete",workspace="ws"} 2
`
		if err := testutil.GatherAndCompare(r.registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

func TestAJobThatRunsForDaysIsFoundWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		long := failed("long_yak", time.Now(), time.Time{})
		long.Status, long.Started = "Running", time.Now()
		r.cloud.add(long)
		for day := range 3 {
			r.cloud.add(failed(fmt.Sprint("short_", day), time.Now(), time.Now()))
			r.round(rec)
			time.Sleep(24 * time.Hour)
			events, _ := r.told()
			r.learn(events...)
		}
		r.cloud.end("long_yak", "Failed", time.Time{}) // Azure does not say when
		r.round(rec)
		events, fenced := r.told()
		if len(events) != 1 || events[0].Run.ID != "long_yak" || fenced[0] {
			t.Fatalf("told %v, fenced %v", names(events), fenced)
		}
		before := r.cloud.requests
		r.round(rec)
		if asked := r.cloud.requests - before; asked != 4 {
			t.Errorf("%d requests where nothing runs: the ended job is still asked for", asked)
		}
	})
}

// A job that can't be read fails its round, and no more: the next round asks for
// the others first.
func TestAJobThatCannotBeReadStarvesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		for _, name := range []string{"a_bad_yak", "b_good_yak"} {
			long := failed(name, time.Now(), time.Time{})
			long.Status, long.Started = "Running", time.Now()
			r.cloud.add(long)
		}
		for day := range 3 { // until the list does not reach them any more
			r.cloud.add(failed(fmt.Sprint("short_", day), time.Now(), time.Now()))
			r.round(rec)
			time.Sleep(24 * time.Hour)
			events, _ := r.told()
			r.learn(events...)
		}
		r.cloud.edit(func() {
			r.cloud.fail = func(what string) error {
				if what == "job a_bad_yak" {
					return errors.New("500 Internal Server Error")
				}
				return nil
			}
		})
		r.cloud.end("b_good_yak", "Failed", time.Time{})
		var told []*event.Event
		for range 2 {
			time.Sleep(time.Hour)
			_, _ = rec.Reconcile(t.Context(), workspace)
			events, _ := r.told()
			r.learn(events...)
			told = append(told, events...)
		}
		if len(told) != 1 || told[0].Run.ID != "b_good_yak" {
			t.Errorf("told %v", names(told))
		}
	})
}

func TestAChangeIsLeftToItsOwnEventFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		time.Sleep(15 * time.Minute)
		r.cloud.add(failed("sad_yak", time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)))
		r.cloud.edit(func() {
			r.cloud.models = []azureml.ModelVersion{{Name: "churn", Version: "1", Created: time.Now().Add(-time.Minute)}}
		})
		_, err := rec.Reconcile(t.Context(), workspace)
		must(t, err)
		if events, _ := r.told(); len(events) != 0 {
			t.Fatalf("told after a minute: %v", names(events))
		}
		r.round(rec)
		events, _ := r.told()
		if got := names(events); !slices.Equal(got, []string{"job.failed experiments/train/runs/sad_yak", "model.registered models/churn:1"}) {
			t.Errorf("told %v", got)
		}
	})
}

func TestHistoryIsFencedAndNewsIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		old, new := time.Now().Add(-30*24*time.Hour), time.Now().Add(-time.Hour)
		r.cloud.models = []azureml.ModelVersion{
			{Name: "churn", Version: "1", Created: old, Job: "old_yak", Tags: map[string]string{"owner": "ana"}},
			{Name: "churn", Version: "2", Created: new},
		}
		r.cloud.endpoints = []azureml.Endpoint{{Name: "ep", Deployments: []azureml.Deployment{
			{Name: "blue", State: "Succeeded", Model: event.ModelRef{Name: "churn", Version: "1"}, Created: old},
			{Name: "broken", State: "Failed", Model: event.ModelRef{Name: "churn", Version: "2"}, Created: new},
			{Name: "empty", State: "Succeeded", Created: new},
		}}}
		r.round(rec)
		events, fenced := r.told()
		for i, ev := range events {
			if fenced[i] != ev.Time.Before(time.Now().Add(-25*time.Hour)) {
				t.Errorf("%s of %s: fenced %v", ev.Subject, ev.Time, fenced[i])
			}
		}
		if got := names(events); !slices.Equal(got, []string{"model.deployed endpoints/ep", "model.registered models/churn:1", "model.registered models/churn:2"}) {
			t.Errorf("told %v", got)
		}
		i := slices.IndexFunc(events, func(e *event.Event) bool { return e.Subject == "models/churn:1" })
		if m := events[i].Model; m.Job != "old_yak" || m.Tags["owner"] != "ana" {
			t.Errorf("%+v", m)
		}
	})
}

func TestADeploymentThatServesSomethingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		serve := func(version string, at time.Time) {
			r.cloud.edit(func() {
				r.cloud.endpoints = []azureml.Endpoint{{Name: "EP", Deployments: []azureml.Deployment{
					{Name: "Blue", State: "Succeeded", Model: event.ModelRef{Name: "churn", Version: version}, LastModified: at},
				}}}
			})
		}
		first := time.Now()
		var ids []string
		for _, version := range []string{"1", "2", "1"} {
			serve(version, time.Now())
			r.round(rec)
			events, _ := r.told()
			if len(events) != 1 || events[0].Deployment.Models[0].Version != version {
				t.Fatalf("version %s: told %v", version, names(events))
			}
			ids = append(ids, events[0].ID)
			r.learn(events...)
			r.round(rec)
			if again, _ := r.told(); len(again) != 0 {
				t.Fatalf("version %s is told again: %v", version, names(again))
			}
		}
		if ids[0] == ids[2] {
			t.Error("serving the first version again has the id of serving it first: it would pass for a repeat")
		}
		serve("2", first) // a list from before the last event
		r.round(rec)
		if events, _ := r.told(); len(events) != 0 {
			t.Errorf("an old list is told as news: %v", names(events))
		}
	})
}

func TestABudgetDelaysAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a", func(o *azureml.ReconcilerOptions) { o.Budget = azureml.Budget{Requests: 8, Events: 6} })
		want := map[string]bool{}
		for i := range 20 {
			name := fmt.Sprintf("j%02d", i)
			r.cloud.add(failed(name, time.Now().Add(time.Duration(i)*time.Second), time.Now().Add(time.Minute)))
			r.cloud.models = append(r.cloud.models, azureml.ModelVersion{Name: "m", Version: fmt.Sprint(i), Created: time.Now()})
			want["job.failed experiments/train/runs/"+name], want[fmt.Sprintf("model.registered models/m:%d", i)] = true, true
		}
		for i := range 40 {
			before := r.cloud.requests
			got := r.round(rec)
			if asked := r.cloud.requests - before; asked > 8 {
				t.Fatalf("%d requests in one round", asked)
			}
			events, _ := r.told()
			if len(events) > 6+2 {
				t.Fatalf("%d events in one round", len(events))
			}
			r.learn(events...)
			for _, n := range names(events) {
				delete(want, n)
			}
			if got.Result == azureml.RoundComplete && len(want) == 0 {
				return
			}
			if i == 0 && got.Result != azureml.RoundPartial {
				t.Errorf("the first round: %+v", got)
			}
		}
		t.Errorf("never told: %v", want)
	})
}

func TestTwoReplicasTellEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			rec := r.reconciler(name)
			group.Go(func() { rec.Run(ctx) })
		}
		told := map[string]int{}
		for minute := range 6 * 60 {
			if minute%17 == 0 && minute/17 < 12 {
				r.cloud.add(failed(fmt.Sprint("j", minute/17), time.Now(), time.Now()))
			}
			time.Sleep(time.Minute)
			events, _ := r.told()
			r.learn(events...)
			for _, ev := range events {
				told[ev.Run.ID]++
			}
		}
		cancel()
		group.Wait()
		for i := range 12 {
			if n := told[fmt.Sprint("j", i)]; n != 1 {
				t.Errorf("job %d was told %d times", i, n)
			}
		}
	})
}

// TestACrashBetweenTellingAndRemembering repeats the event under the same
// identity, so that workers take it for what it is.
func TestACrashBetweenTellingAndRemembering(t *testing.T) {
	for _, fault := range []porttest.Fault{porttest.Before, porttest.After} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			faults := &porttest.Faults{Script: []porttest.Fault{porttest.None, fault}, Only: func(call string) bool { return call == "Store.Commit" }}
			r.store = &porttest.FaultyStore{Store: r.db.Store(), Faults: faults}
			r.cloud.add(failed("sad_yak", time.Now(), time.Now()))
			time.Sleep(15 * time.Minute)
			if _, err := r.reconciler("a").Reconcile(t.Context(), workspace); err == nil {
				t.Fatal("the fault was not noticed")
			}
			first, _ := r.told()
			time.Sleep(3 * time.Minute) // the dead replica's lease runs out
			_, err := r.reconciler("b").Reconcile(t.Context(), workspace)
			must(t, err)
			second, _ := r.told()
			if len(first) != 1 {
				t.Fatalf("told %v", names(first))
			}
			for _, ev := range second {
				if ev.Key() != first[0].Key() || !ev.Time.Equal(first[0].Time) {
					t.Errorf("the repeat is another event: %+v, %+v", first[0].Envelope, ev.Envelope)
				}
			}
			if fault == porttest.Before && len(second) != 1 {
				t.Errorf("after a lost write %d events", len(second))
			}
		})
	}
}

func TestAReplicaThatLostItsLeaseWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cloud.add(failed("sad_yak", time.Now(), time.Now()))
		other := r.reconciler("b")
		once := sync.OnceFunc(func() {
			time.Sleep(5 * time.Minute) // a long pause of the first replica
			_, err := other.Reconcile(t.Context(), workspace)
			must(t, err)
		})
		slow := r.reconciler("a", func(o *azureml.ReconcilerOptions) {
			o.Lister = pausing{r.cloud, once}
		})
		time.Sleep(15 * time.Minute)
		_, err := slow.Reconcile(t.Context(), workspace)
		if err == nil || !strings.Contains(err.Error(), "another replica") {
			t.Fatalf("error: %v", err)
		}
		got, err := r.store.Get(t.Context(), "reconcile/ws", "lease/reconcile", "state")
		must(t, err)
		if !strings.Contains(string(got[1].Body), `"last"`) {
			t.Errorf("the state of the second replica is gone: %s", got[1].Body)
		}
	})
}

// pausing holds up the list of models.
type pausing struct {
	*cloud
	pause func()
}

func (p pausing) ModelVersions(ctx context.Context, ws event.Workspace, cursor string) ([]azureml.ModelVersion, string, error) {
	p.pause()
	return p.cloud.ModelVersions(ctx, ws, cursor)
}

func TestOneKindThatFailsDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		r.cloud.models = []azureml.ModelVersion{{Name: "churn", Version: "1", Created: time.Now()}}
		r.cloud.fail = func(what string) error {
			if what == "jobs" {
				return errAzure
			}
			return nil
		}
		time.Sleep(15 * time.Minute)
		round, err := rec.Reconcile(t.Context(), workspace)
		if err == nil || round.Result != azureml.RoundFailed {
			t.Errorf("%+v, %v", round, err)
		}
		if events, _ := r.told(); len(events) != 1 {
			t.Errorf("told %v", names(events))
		}
	})
}

// TestAFailingWorkspaceIsLeftAlone counts the requests of a day in which
// everything fails, and of one in which Azure asks for an hour's rest.
func TestAFailingWorkspaceIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		most int
	}{
		"fault":    {errAzure, 11 * 4},
		"throttle": {&policy.RetryAfterError{Err: errAzure, After: 6 * time.Hour}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.cloud.fail = func(string) error { return c.err }
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				r.reconciler("a").Run(ctx)
				if r.cloud.requests == 0 || r.cloud.requests > c.most {
					t.Errorf("%d requests in a day, at most %d", r.cloud.requests, c.most)
				}
			})
		})
	}
}

// TestAMonitorsRunIsKnownByItsWindow: the run's home is the monitor, not the
// job.
func TestAMonitorsRunIsKnownByItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		run := azureml.Job{Name: "mon_1", Experiment: "churn_monitor", Type: "pipeline", Status: "Completed", Created: time.Now(), Ended: time.Now()}
		r.cloud.add(run)
		r.round(rec)
		events, _ := r.told()
		if len(events) != 1 || events[0].Kind != event.MonitorPassed {
			t.Fatalf("told %v", names(events))
		}
		r.learn(events...)
		r.round(rec)
		if again, _ := r.told(); len(again) != 0 {
			t.Errorf("told again: %v", names(again))
		}
		if a, err := lineage.Load(t.Context(), r.store, "monitor/ws/churn_monitor"); err != nil || a.Status() != "passed" {
			t.Errorf("%+v %v", a, err)
		}
	})
}

// status is an event of Azure's own about a job.
func (r *rig) status(job, status string, at time.Time) {
	r.t.Helper()
	r.learn(&event.Event{
		Envelope: event.Envelope{ID: job + status, Source: workspace.ID, Type: "t", Subject: job, Time: at},
		Kind:     event.JobStatus, Workspace: workspace, Run: &event.Run{ID: job, Status: status},
	})
}

// TestAnEndWithoutADateFollowsWhatIsKnown: what Azure says now came after what
// it said before, or lineage would keep the older status.
func TestAnEndWithoutADateFollowsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		r.cloud.add(failed("yak", time.Now(), time.Time{}))
		r.status("yak", "Running", time.Now().Add(10*time.Minute))
		r.round(rec)
		events, _ := r.told()
		if len(events) != 1 {
			t.Fatalf("told %v", names(events))
		}
		r.learn(events...)
		job, err := lineage.Load(t.Context(), r.store, "job/ws/yak")
		must(t, err)
		if job.Status() != "Failed" {
			t.Errorf("the job is %s", job.Status())
		}
	})
}

// TestWhatHasEndedStaysAsItEnded: a list may be older than an event.
func TestWhatHasEndedStaysAsItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, known := range []string{"Completed", "Failed", "failed", "Canceled", "NotResponding"} {
			r := newRig(t)
			r.cloud.add(failed("yak", time.Now(), time.Now()))
			r.status("yak", known, time.Now().Add(-time.Minute))
			r.round(r.reconciler("a"))
			if events, _ := r.told(); (len(events) > 0) != (known == "NotResponding") {
				t.Errorf("known as %s: told %v", known, names(events))
			}
		}
	})
}

func TestADeletedJobIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.reconciler("a")
		r.cloud.add(azureml.Job{Name: "gone", Status: "Running", Created: time.Now()})
		r.round(rec)
		r.cloud.edit(func() { r.cloud.jobs = nil })
		r.round(rec)
		before := r.cloud.requests
		if got := r.round(rec); got.Result != azureml.RoundComplete || r.cloud.requests-before != 4 {
			t.Errorf("%+v, %d requests", got, r.cloud.requests-before)
		}
	})
}

// reads counts the reads of assets.
type reads struct {
	lineage.Store
	of map[string]int
}

func (s *reads) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	s.of[partition]++
	return s.Store.Get(ctx, partition, ids...)
}

// TestOldVersionsAreComparedOnce: a list is walked every time, the lineage is
// asked about what is new in it.
func TestOldVersionsAreComparedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		counted := &reads{r.store, map[string]int{}}
		r.store = counted
		rec := r.reconciler("a")
		r.cloud.models = []azureml.ModelVersion{{Name: "m", Version: "1", Created: time.Now()}}
		for i := range 12 {
			if i == 6 {
				r.cloud.edit(func() {
					r.cloud.models = append(r.cloud.models, azureml.ModelVersion{Name: "m", Version: "2", Created: time.Now()})
				})
			}
			r.round(rec)
			events, _ := r.told()
			for _, ev := range events {
				for _, p := range lineage.Patches(ev) {
					doc := &lineage.Asset{}
					doc.Apply(p)
					r.put(string(p.Asset), lineage.AssetRecord, doc)
				}
			}
		}
		for _, version := range []string{"model/ws/m/1", "model/ws/m/2"} {
			if n := counted.of[version]; n < 2 || n > 6 {
				t.Errorf("%s was read %d times in 12 rounds, of which an hour and a quarter are compared", version, n)
			}
		}
	})
}

package azureml_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// line is an outbox that says how many messages wait in it.
type line struct {
	*outbox
	waiting int64
}

func (l *line) Depth(context.Context) (lineage.Depth, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return lineage.Depth{Ready: l.waiting, Dead: -1}, nil
}

func (l *line) set(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = n
}

// backfill starts a replica.
func (r *rig) backfill(name string, change ...func(*azureml.BackfillerOptions)) (stop func()) {
	r.t.Helper()
	o := azureml.BackfillerOptions{
		Lister: r.cloud, Source: single{cloud: r.cloud}, Store: r.store, Queue: &line{outbox: r.out}, Parser: r.parser,
		Workspaces: func() []event.Workspace { return []event.Workspace{workspace} }, Name: name,
	}
	for _, f := range change {
		f(&o)
	}
	b, err := azureml.NewBackfiller(o)
	must(r.t, err)
	return run(r.t, b.Run)
}

func (r *rig) request(since time.Time) lineage.Backfill {
	r.t.Helper()
	b, created, err := lineage.RequestBackfill(r.t.Context(), r.store, "ws", since, time.Now())
	must(r.t, err)
	if !created {
		r.t.Fatal("a backfill is open")
	}
	return b
}

func (r *rig) state() lineage.Backfill {
	r.t.Helper()
	b, _, err := lineage.GetBackfill(r.t.Context(), r.store, "ws")
	must(r.t, err)
	return b
}

// past gives the workspace a history: n jobs that failed, one each day, the
// newest an hour ago, and as many model versions. Those older than a day are
// what a backfill is to tell.
func (r *rig) past(n int) (want []string) {
	for day := n - 1; day >= 0; day-- {
		at := time.Now().Add(-time.Duration(day)*24*time.Hour - time.Hour)
		name := fmt.Sprintf("j%02d", day)
		r.cloud.add(failed(name, at.Add(-time.Hour), at))
		r.cloud.models = append(r.cloud.models, azureml.ModelVersion{Name: "m", Version: fmt.Sprint(day), Created: at})
		if day > 0 {
			want = append(want, "job.failed experiments/train/runs/"+name, fmt.Sprintf("model.registered models/m:%d", day))
		}
	}
	slices.Sort(want)
	return want
}

func TestABackfillTellsHistoryAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		want := r.past(20)
		r.cloud.add(azureml.Job{Name: "running", Status: "Running", Created: time.Now()})
		defer r.backfill("a")()
		defer r.backfill("b")()
		r.request(time.Time{})
		time.Sleep(10 * time.Minute)
		events, fenced := r.told()
		if !slices.Equal(names(events), want) || slices.Contains(fenced, false) {
			t.Errorf("told %v, fenced %v", names(events), fenced)
		}
		b := r.state()
		if b.State != lineage.BackfillDone || b.Progress != 1 || b.Told != len(want) || b.Seen != 41 || b.Ended.IsZero() || b.Cursor != "" {
			t.Errorf("%+v", b)
		}
		r.learn(events...)
		r.request(time.Time{}) // again: everything is known
		time.Sleep(time.Minute)
		if events, _ := r.told(); len(events) != 0 || r.state().State != lineage.BackfillDone {
			t.Errorf("told again: %v; %+v", names(events), r.state())
		}
	})
}

// TestABackfillLeavesTheReconcilersTimeToIt: what a policy has to hear of must
// not be told fenced before.
func TestABackfillLeavesTheReconcilersTimeToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.round(r.reconciler("a"))
		r.told()
		time.Sleep(3 * 24 * time.Hour)
		r.past(8)
		defer r.backfill("a")()
		r.request(time.Time{})
		time.Sleep(time.Minute)
		events, _ := r.told()
		for _, ev := range events {
			if ev.Time.After(time.Now().Add(-4 * 24 * time.Hour)) {
				t.Errorf("%s of %s is the reconciler's to tell", ev.Subject, ev.Time)
			}
		}
		if len(events) != 2*4 {
			t.Errorf("told %v", names(events))
		}
	})
}

func TestABackfillGoesAsFarBackAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.past(30)
		defer r.backfill("a")()
		r.request(time.Now().Add(-5*24*time.Hour - time.Minute))
		time.Sleep(time.Minute)
		events, _ := r.told()
		if len(events) != 2*4 {
			t.Errorf("told %v", names(events))
		}
		if r.cloud.requests > 20 {
			t.Errorf("%d requests: the walk did not end where it should", r.cloud.requests)
		}
	})
}

func TestABackfillKeepsToItsRateAndLetsLiveEventsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.past(31)
		queue := &line{outbox: r.out, waiting: 5000}
		defer r.backfill("a", func(o *azureml.BackfillerOptions) { o.Queue, o.Rate = queue, 2 })()
		r.request(time.Time{})
		time.Sleep(time.Hour)
		first, _ := r.told()
		if len(first) > 3 {
			t.Fatalf("%d events while 5000 others wait", len(first))
		}
		if b := r.state(); b.State != lineage.BackfillRunning {
			t.Fatalf("%+v", b)
		}
		queue.set(0)
		began := time.Now()
		for r.state().IsOpen() {
			time.Sleep(time.Second)
		}
		rest, _ := r.told()
		if rate := float64(len(rest)) / time.Since(began).Seconds(); len(first)+len(rest) != 60 || math.Abs(rate-2) > 0.4 {
			t.Errorf("%d and %d events, %.1f a second", len(first), len(rest), rate)
		}
	})
}

func TestABackfillGoesOnWhereADeadProcessLeftIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		want := r.past(31)
		var events []*event.Event
		r.request(time.Time{})
		progress := 0.0
		for i := range 20 {
			before := r.cloud.requests
			stop := r.backfill(fmt.Sprint("replica ", i), func(o *azureml.BackfillerOptions) { o.Rate = 1 })
			time.Sleep(8 * time.Second)
			stop()
			if asked := r.cloud.requests - before; asked > 30 {
				t.Fatalf("%d requests in 8 seconds: it began anew", asked)
			}
			got, _ := r.told()
			r.learn(got...)
			events = append(events, got...)
			b := r.state()
			if b.Progress < progress {
				t.Errorf("progress went from %v back to %v", progress, b.Progress)
			}
			if progress = b.Progress; !b.IsOpen() {
				break
			}
		}
		if !slices.Equal(names(events), want) || r.state().State != lineage.BackfillDone {
			t.Errorf("told %d of %d events; %+v", len(events), len(want), r.state())
		}
	})
}

func TestACancelledBackfillStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.past(31)
		defer r.backfill("a", func(o *azureml.BackfillerOptions) { o.Rate = 0.1 })()
		r.request(time.Time{})
		time.Sleep(time.Minute)
		b, err := lineage.CancelBackfill(t.Context(), r.store, "ws", time.Now())
		must(t, err)
		if b.State != lineage.BackfillCancelled {
			t.Fatalf("%+v", b)
		}
		time.Sleep(5 * time.Second)
		r.told()
		time.Sleep(time.Hour)
		if events, _ := r.told(); len(events) != 0 || r.state().State != lineage.BackfillCancelled {
			t.Errorf("told %v after the end; %+v", names(events), r.state())
		}
		_, _, err = lineage.RequestBackfill(t.Context(), r.store, "ws", time.Time{}, time.Now())
		must(t, err)
		time.Sleep(time.Hour)
		if b := r.state(); b.State != lineage.BackfillDone {
			t.Errorf("the next one: %+v", b)
		}
	})
}

func TestABackfillSaysWhatHoldsItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		want := r.past(5)
		var fault error = &policy.RetryAfterError{Err: errAzure, After: time.Hour}
		r.cloud.fail = func(what string) error { return fault }
		defer r.backfill("a")()
		r.request(time.Time{})
		time.Sleep(time.Minute)
		if b := r.state(); b.State != lineage.BackfillRunning || !strings.Contains(b.Problem, "away") {
			t.Fatalf("%+v", b)
		}
		time.Sleep(58 * time.Minute)
		if r.cloud.requests != 1 {
			t.Errorf("%d requests within the hour that Azure asked for", r.cloud.requests)
		}
		r.cloud.edit(func() { fault = nil })
		time.Sleep(10 * time.Minute)
		if events, _ := r.told(); !slices.Equal(names(events), want) || r.state().Problem != "" {
			t.Errorf("told %v; %+v", names(events), r.state())
		}
		r.cloud.edit(func() { fault = &policy.PermanentError{Err: errAzure} })
		r.request(time.Time{})
		time.Sleep(time.Minute)
		if b := r.state(); b.State != lineage.BackfillFailed || b.Problem == "" {
			t.Errorf("%+v", b)
		}
	})
}

// TestALostPlaceInAListBeginsThePhaseAnew, once: continuation tokens end with
// time.
func TestALostPlaceInAListBeginsThePhaseAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		want := r.past(10)
		n := 0
		r.cloud.fail = func(what string) error {
			if what == "jobs" {
				if n++; n == 2 {
					return &policy.PermanentError{Err: errAzure}
				}
			}
			return nil
		}
		defer r.backfill("a")()
		r.request(time.Time{})
		time.Sleep(10 * time.Minute)
		events, _ := r.told()
		if got := slices.Compact(names(events)); !slices.Equal(got, want) || r.state().State != lineage.BackfillDone {
			t.Errorf("told %v; %+v", got, r.state())
		}
	})
}

// TestABackfilledWorkspaceCausesNothing goes through the real adapter, queue
// and worker, with a policy that would act.
func TestABackfilledWorkspaceCausesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		defer s.work()()
		for i := range 6 {
			name, err := s.cloud.SubmitJob(sandbox.JobSpec{Component: "train_churn"})
			must(t, err)
			if i%2 == 0 {
				must(t, s.cloud.FailJob(name, "out of memory"))
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(48 * time.Hour)
		b, err := azureml.NewBackfiller(azureml.BackfillerOptions{
			Lister: s.client, Source: s.client, Store: s.db.Store(), Queue: s.db.Queue(), Parser: s.parser,
			Workspaces: func() []event.Workspace { return []event.Workspace{s.at} },
		})
		must(t, err)
		defer run(t, b.Run)()
		_, _, err = lineage.RequestBackfill(t.Context(), s.db.Store(), s.at.Alias, time.Time{}, time.Now())
		must(t, err)
		time.Sleep(10 * time.Minute)
		models, _, err := lineage.ListModels(t.Context(), s.db.Store(), lineage.ModelFilter{}, "", 100)
		must(t, err)
		job, err := lineage.Load(t.Context(), s.db.Store(), models[2].Job)
		must(t, err)
		if len(models) != 3 || job.Status() != "Completed" || len(s.acts) != 0 {
			t.Errorf("%d models, job %+v, acted on %v", len(models), job, s.acts)
		}
	})
}

package azureml_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// story is the service between a simulated workspace that says nothing by
// itself and a target that counts: reconciler, queue, worker, policy.
type story struct {
	t      *testing.T
	cloud  *sandbox.Workspace
	client *ml.Client
	at     event.Workspace
	db     *embedded.DB
	parser *event.Parser
	desk   *review.Desk

	mu   sync.Mutex
	acts map[string]policy.Action // by the run that they are about
	keys map[string]bool
}

const storyPolicy = `
apiVersion: modelwarden/v1
policies:
  - name: failures
    on: [job.failed]
    when: event.synthetic
    then: [{review: {severity: warning, target: desk}}]
targets: {desk: {review: {}}}
`

func newStory(t *testing.T) *story {
	t.Helper()
	const host = "127.0.0.1"
	s := &story{t: t, acts: map[string]policy.Action{}, keys: map[string]bool{}}
	s.cloud = sandbox.New(sandbox.Options{SilentFailures: true, TrainTime: 10 * time.Minute, Training: []sandbox.Training{
		{Component: "train_churn", Model: "churn", Data: "churn-data", Endpoint: "churn-ep"},
	}})
	must(t, s.cloud.Start())
	t.Cleanup(func() { must(t, s.cloud.Close()) })
	_, err := s.cloud.RegisterData("churn-data")
	must(t, err)
	s.client, err = ml.New(ml.Options{Endpoint: "http://" + host, Transport: &http.Client{Transport: sandbox.InMemory{host: s.cloud.Handler()}}})
	must(t, err)
	s.at = event.Workspace{Alias: "contoso-ml", ID: s.cloud.ID()}
	s.db, err = embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, s.db.Close()) })
	s.desk = review.NewDesk(s.db.Store(), time.Now)
	s.parser, err = event.NewParser(event.DefaultOptions())
	must(t, err)
	return s
}

// Do implements policy.Effector.
func (s *story) Do(_ context.Context, a policy.Action) (policy.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if run := a.Inputs["run"]; run != nil {
		if _, twice := s.acts[run.(string)]; twice && !s.keys[a.Key] {
			s.t.Errorf("a second review of run %v", run)
		}
		s.acts[run.(string)] = a
	}
	s.keys[a.Key] = true
	return policy.Outcome{Summary: "done"}, nil
}

// run starts what f runs and returns what stops it.
func run(t *testing.T, f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	return func() { cancel(); <-done }
}

func (s *story) work() (stop func()) {
	s.t.Helper()
	file, err := policy.Parse("policies.yaml", []byte(storyPolicy))
	must(s.t, err)
	set, err := policy.Compile(file, policy.CompileOptions{})
	must(s.t, err)
	w, err := worker.New(worker.Options{
		Queue: s.db.Queue(), Store: s.db.Store(), Parser: s.parser, Policies: func() *policy.Set { return set },
		Effector: func(string, policy.ActionType) (policy.Effector, bool) { return s, true },
		NextAttempt: func(_ string, _ int, _ error, now time.Time) (time.Time, bool) {
			return now.Add(time.Second), false
		},
	})
	must(s.t, err)
	return run(s.t, func(ctx context.Context) { _ = w.Run(ctx, time.Minute) })
}

// reconcile runs a replica over a store and a queue.
func (s *story) reconcile(name string, every time.Duration, store lineage.Store, queue azureml.Sender) (stop func()) {
	s.t.Helper()
	deadman, err := azureml.NewDeadMan(azureml.DeadManOptions{Desk: s.desk, Store: store, Source: s.client})
	must(s.t, err)
	r, err := azureml.NewReconciler(azureml.ReconcilerOptions{
		Lister: s.client, Source: s.client, Store: store, Queue: queue, Parser: s.parser, Name: name, DeadMan: deadman, Every: every,
		Workspaces: func() []event.Workspace { return []event.Workspace{s.at} },
	})
	must(s.t, err)
	return run(s.t, r.Run)
}

// TestASilentFailureEndsInADecision is the whole way: a job fails and nobody
// says so; the reconciler finds it and the policy has its review.
func TestASilentFailureEndsInADecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		defer s.work()()
		defer s.reconcile("a", 15*time.Minute, s.db.Store(), s.db.Queue())()
		good, err := s.cloud.SubmitJob(sandbox.JobSpec{Component: "train_churn"})
		must(t, err)
		bad, err := s.cloud.SubmitJob(sandbox.JobSpec{Component: "train_churn"})
		must(t, err)
		time.Sleep(time.Minute)
		must(t, s.cloud.FailJob(bad, "out of memory"))
		ended := time.Now()
		time.Sleep(time.Hour)
		if len(s.acts) != 1 || s.acts[bad].Policy != "failures" || s.acts[bad].Occurred.Sub(ended).Abs() > time.Second {
			t.Fatalf("acted on %+v; the job ended at %s", s.acts, ended)
		}
		g, err := lineage.Walk(t.Context(), s.db.Store(), lineage.NewID(lineage.Job, "contoso-ml", good), lineage.WalkOptions{Direction: lineage.Both})
		must(t, err)
		want := map[lineage.ID]bool{
			"data/contoso-ml/churn-data/1": true, lineage.NewID(lineage.Job, "contoso-ml", good): true, "model/contoso-ml/churn/1": true,
			"deployment/contoso-ml/churn-ep/blue": true, "endpoint/contoso-ml/churn-ep": true,
		}
		for _, n := range g.Nodes {
			delete(want, n.ID)
		}
		if len(want) > 0 {
			t.Errorf("lineage without one event of Azure's lacks %v", want)
		}
	})
}

// TestAMonitorThatStopsRunningIsReported goes the same way: nobody tells of the
// monitor's runs, either.
func TestAMonitorThatStopsRunningIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t)
		defer s.work()()
		defer s.reconcile("a", 4*time.Hour, s.db.Store(), s.db.Queue())()
		_, err := s.cloud.SubmitJob(sandbox.JobSpec{Component: "train_churn"})
		must(t, err)
		time.Sleep(6 * time.Hour)
		must(t, s.cloud.CreateMonitor(sandbox.MonitorSpec{Name: "churn_monitor", Model: "churn", Signals: []sandbox.Signal{{Name: "drift", Threshold: 0.2}}}))
		for range 3 {
			_, err := s.cloud.RunMonitor("churn_monitor")
			must(t, err)
			time.Sleep(24 * time.Hour)
		}
		reviews := func() []review.Review {
			all, _, err := s.desk.List(t.Context(), review.Filter{}, "", 10)
			must(t, err)
			return all
		}
		if got := reviews(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
		time.Sleep(31 * time.Hour)
		if got := reviews(); len(got) != 1 || got[0].Title != "Monitor churn_monitor is silent" || got[0].Model != "model/contoso-ml/churn" {
			t.Fatalf("%+v", got)
		}
		_, err = s.cloud.RunMonitor("churn_monitor")
		must(t, err)
		time.Sleep(10 * time.Hour)
		if got := reviews(); len(got) != 1 || got[0].State != review.Resolved {
			t.Errorf("%+v", got)
		}
	})
}

// TestFaultsLoseAndRepeatNothing runs two replicas whose store and queue fail
// one time in five, before or after the deed: the answer that is lost between
// telling and remembering is among them.
func TestFaultsLoseAndRepeatNothing(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory(t)
				defer s.work()()
				faults := &porttest.Faults{Seed: seed, Before: .05, After: .05}
				for _, name := range []string{"a", "b"} {
					defer s.reconcile(name, 15*time.Minute, &porttest.FaultyStore{Store: s.db.Store(), Faults: faults},
						&porttest.FaultyQueue{Queue: s.db.Queue(), Faults: faults})()
				}
				want := map[string]bool{}
				for range 8 {
					name, err := s.cloud.SubmitJob(sandbox.JobSpec{Component: "train_churn"})
					must(t, err)
					time.Sleep(5 * time.Minute)
					must(t, s.cloud.FailJob(name, "out of memory"))
					want[name] = true
					time.Sleep(10 * time.Minute)
				}
				time.Sleep(8 * time.Hour)
				faults.Stop()
				time.Sleep(8 * time.Hour)
				for name := range s.acts {
					delete(want, name)
				}
				if len(want) > 0 || len(s.acts) != 8 {
					t.Errorf("%d reviews; none of %v", len(s.acts), want)
				}
			})
		})
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

// lab is a simulated workspace with the address that the service asks it at.
type lab struct {
	*sandbox.Workspace
	t      *testing.T
	server *httptest.Server
	// around, if set, stands between the service and the workspace.
	around atomic.Pointer[func(next http.Handler) http.Handler]
}

func newLab(t *testing.T, o sandbox.Options) *lab {
	t.Helper()
	l := &lab{t: t}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := l.Handler()
		if around := l.around.Load(); around != nil {
			h = (*around)(h)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	o.PublicURL = l.server.URL
	l.Workspace = sandbox.New(o)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	l.must(l.Start())
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// told waits until every event has been delivered and worked off.
func (l *lab) told(s *server) {
	l.t.Helper()
	l.must(l.Flush(l.t.Context()))
	s.drained(30 * time.Second)
}

// config writes a configuration that knows the workspace, and rules.
func (l *lab) config(rules string) string {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "modelwarden.yaml")
	text := fmt.Sprintf("azureML: {endpoint: %q, workspaces: [%q], reconcileEvery: 1s, settle: 1s}\n%s", l.server.URL, l.ID(), rules)
	l.must(os.WriteFile(file, []byte(text), 0o600))
	return file
}

// train runs a component to the end of its job.
func (l *lab) train(component string) sandbox.Job {
	l.t.Helper()
	name, err := l.SubmitJob(sandbox.JobSpec{Component: component, Experiment: "train"})
	l.must(err)
	job, err := l.WaitJob(l.t.Context(), name)
	l.must(err)
	return job
}

// monitored makes a monitor for a model, and lets its data shift.
func (l *lab) monitored(model string) {
	l.t.Helper()
	l.must(l.CreateMonitor(sandbox.MonitorSpec{Name: model + "_monitor", Model: model, Signals: []sandbox.Signal{
		{Name: model + "_monitor_data_drift", Metric: "PopulationStabilityIndex", Features: []string{"age"}, Threshold: 0.2},
	}}))
}

// jobsOf counts the jobs that the service asked for.
func (l *lab) jobsOf(prefix string) (names []string) {
	l.t.Helper()
	next := l.server.URL + l.ID() + "/jobs?api-version=2024-10-01"
	for next != "" {
		var page struct {
			Value    []struct{ Name string }
			NextLink string
		}
		l.must(getJSON(next, &page))
		for _, j := range page.Value {
			if strings.HasPrefix(j.Name, prefix) && !slices.Contains(names, j.Name) {
				names = append(names, j.Name)
			}
		}
		next = page.NextLink
	}
	return names
}

func getJSON(address string, into any) error {
	b, err := boot.Download(address, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

const churn = "train_churn"

func churnTraining() []sandbox.Training {
	return []sandbox.Training{{Component: churn, Model: "churn", Data: "churn-data", Endpoint: "churn-ep", Tags: map[string]string{"owner": "risk-ml"}}}
}

const retrainRules = `
policies:
  - name: drift
    on: [monitor.breached]
    match: {model: "churn"}
    then: [{retrain: {target: pipeline}}, {review: {severity: warning}}]
targets:
  pipeline: {azureml: {workspace: contoso-ml, component: "azureml:train_churn:1", experiment: churn-retrain}}
`

// TestAJobThatWasSubmittedIsAdoptedAfterACrash kills the service in the moment
// between Azure ML's taking the job and the service's learning of it.
func TestAJobThatWasSubmittedIsAdoptedAfterACrash(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 300 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	config, data := l.config(retrainRules), t.TempDir()
	s := serve(t, data, "--config", config)
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events", TimeScale: 0.001}))
	l.train(churn)
	l.monitored("churn")
	killed := make(chan struct{})
	var once atomic.Bool
	kill := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/jobs/mw-") || once.Swap(true) {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(httptest.NewRecorder(), r)
			s.Kill()
			close(killed)
			panic(http.ErrAbortHandler)
		})
	}
	l.around.Store(&kill)
	l.must(l.ShiftData("age", 1))
	_, err = l.RunMonitor("churn_monitor")
	l.must(err)
	<-killed
	// The same address, so that Event Grid finds it.
	again := serve(t, data, "--config", config, "--listen", strings.TrimPrefix(s.URL, "http://"))
	var retrains []action
	boot.Eventually(t, 30*time.Second, "the retrain succeeded", func() (err error) {
		if retrains, err = list[action](again, "/api/v1/actions", url.Values{"type": {"retrain"}}); err == nil && (len(retrains) != 1 || retrains[0].State != "succeeded") {
			err = fmt.Errorf("%+v", retrains)
		}
		return err
	})
	boot.Eventually(t, 30*time.Second, "the job is told as completed", func() error {
		var job struct{ Status string }
		err := again.Get("/api/v1/assets/job/contoso-ml/mw-"+retrains[0].Key, &job)
		if err == nil && job.Status != "Completed" {
			err = fmt.Errorf("%+v", job)
		}
		return err
	})
	if jobs := l.jobsOf("mw-"); len(jobs) != 1 || jobs[0] != "mw-"+retrains[0].Key {
		t.Errorf("jobs %v for action %s", jobs, retrains[0].Key)
	}
}

// TestASilentFailureIsFoundAndActedOn: a job fails, no event says so.
func TestASilentFailureIsFoundAndActedOn(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: time.Minute, SilentFailures: true, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	s := serve(t, t.TempDir(), "--config", l.config(`
policies: [{name: failures, on: [job.failed], when: event.synthetic, then: [{review: {severity: warning}}]}]
`))
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
	job, err := l.SubmitJob(sandbox.JobSpec{Component: churn, Experiment: "train"})
	l.must(err)
	l.must(l.FailJob(job, "out of memory"))
	boot.Eventually(t, 30*time.Second, "a review tells of it", func() error {
		reviews, err := list[struct{ ID, Title string }](s, "/api/v1/reviews", nil)
		if err == nil && len(reviews) != 1 {
			err = fmt.Errorf("reviews %+v", reviews)
		}
		return err
	})
	var asset struct{ Status string }
	if err := s.Get("/api/v1/assets/job/contoso-ml/"+job, &asset); err != nil || asset.Status != "Failed" {
		t.Errorf("the job is %+v, %v", asset, err)
	}
}

// TestOneBadDatasetUnderTwentyModelsIsOneReview: all of them were trained on
// the same data, and all of their monitors breach.
func TestOneBadDatasetUnderTwentyModelsIsOneReview(t *testing.T) {
	const models = 20
	var training []sandbox.Training
	for i := range models {
		training = append(training, sandbox.Training{Component: fmt.Sprint("train_", i), Model: fmt.Sprint("model_", i), Data: "customers", Endpoint: fmt.Sprint("ep-", i)})
	}
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: training})
	_, err := l.RegisterData("customers")
	l.must(err)
	s := serve(t, t.TempDir(), "--config", l.config(`
storm: {models: 3, settle: 2s}
policies: [{name: drift, on: [monitor.breached], then: [{retrain: {target: pipeline}}]}]
targets: {pipeline: {azureml: {workspace: contoso-ml, component: "azureml:train_0:1", experiment: retrain}}}
`))
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events", BatchEvents: 20}))
	for i := range models {
		l.train(fmt.Sprint("train_", i))
		l.monitored(fmt.Sprint("model_", i))
	}
	l.told(s)
	l.must(l.ShiftData("age", 1))
	for i := range models {
		_, err := l.RunMonitor(fmt.Sprintf("model_%d_monitor", i))
		l.must(err)
	}
	boot.Eventually(t, time.Minute, "every retrain is held", func() error {
		held, err := list[action](s, "/api/v1/actions", url.Values{"type": {"retrain"}, "state": {"suppressed"}})
		if err == nil && len(held) != models {
			err = fmt.Errorf("%d of %d retrains are suppressed", len(held), models)
		}
		return err
	})
	if jobs := l.jobsOf("mw-"); len(jobs) > 0 {
		t.Errorf("the service started %v", jobs)
	}
	reviews, err := list[struct{ ID, Cause string }](s, "/api/v1/reviews", nil)
	if err != nil || len(reviews) != 1 || !strings.HasPrefix(reviews[0].Cause, "data:data/contoso-ml/customers/") {
		t.Errorf("want one review on the data, got %+v, %v", reviews, err)
	}
}

// TestABadDeploymentIsRolledBack: version 2 takes over from version 1 on a
// deployment of its own, and its window breaches.
func TestABadDeploymentIsRolledBack(t *testing.T) {
	for name, c := range map[string]struct {
		approved string
		state    string
		traffic  map[string]int
	}{
		"to an approved one":   {"true", "succeeded", map[string]int{"blue": 100}},
		"not to an unapproved": {"false", "failed", map[string]int{"green": 100}},
	} {
		t.Run(name, func(t *testing.T) {
			training := churnTraining()
			training[0].Endpoint, training[0].Tags = "", map[string]string{"modelwarden.approved": c.approved}
			l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: training})
			_, err := l.RegisterData("churn-data")
			l.must(err)
			s := serve(t, t.TempDir(), "--config", l.config(`
policies: [{name: bad, on: [monitor.breached], then: [{rollback: {target: back}}]}]
targets: {back: {rollback: {workspace: contoso-ml, endpoint: churn-ep, dryRun: false}}}
`))
			l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
			client, err := ml.New(ml.Options{Endpoint: l.server.URL, PollEvery: time.Second})
			l.must(err)
			ws := event.Workspace{Alias: "contoso-ml", ID: l.ID()}
			l.monitored("churn")
			for version, deployment := range []string{"blue", "green"} {
				l.train(churn)
				l.must(l.Deploy("churn-ep", deployment, "churn", fmt.Sprint(version+1)))
				if version == 0 {
					_, err := l.RunMonitor("churn_monitor")
					l.must(err)
				}
			}
			l.must(client.SetTraffic(t.Context(), ws, "churn-ep", map[string]int{"blue": 100}, map[string]int{"blue": 0, "green": 100}))
			l.told(s)
			l.must(l.ShiftData("age", 1))
			_, err = l.RunMonitor("churn_monitor")
			l.must(err)
			boot.Eventually(t, 30*time.Second, "the rollback ended", func() error {
				all, err := list[action](s, "/api/v1/actions", url.Values{"type": {"rollback"}})
				if err == nil && (len(all) != 1 || all[0].State != c.state) {
					err = fmt.Errorf("%+v", all)
				}
				return err
			})
			ep, err := client.Endpoint(t.Context(), ws, "churn-ep")
			if err != nil || !maps.Equal(ep.Traffic, c.traffic) {
				t.Errorf("traffic %v, want %v, %v", ep.Traffic, c.traffic, err)
			}
		})
	}
}

// retrains reads the retrain actions, newest first.
func retrains(s *server) ([]retrain, error) {
	return list[retrain](s, "/api/v1/actions", url.Values{"type": {"retrain"}})
}

type retrain struct {
	action
	Attempts               int
	NextAttempt, LastError string
	Loop                   struct{ Verdict, Why string }
}

// TestRetrainsThatDoNotHelpSuspendThePolicy: the world keeps changing, so each
// new version breaches in its first window.
func TestRetrainsThatDoNotHelpSuspendThePolicy(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	s := serve(t, t.TempDir(), "--config", l.config(retrainRules))
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events", Copies: 3, Shuffle: 4}))
	l.train(churn)
	l.monitored("churn")
	for window := 1; window <= 3; window++ {
		l.told(s)
		l.must(l.ShiftData("age", 1))
		_, err = l.RunMonitor("churn_monitor")
		l.must(err)
		boot.Eventually(t, 30*time.Second, "the window is worked off", func() error {
			all, err := retrains(s)
			if want := min(window, 2); err == nil && (len(all) != want || all[0].State != "succeeded") {
				err = fmt.Errorf("window %d: %+v, want %d that succeeded", window, all, want)
			}
			return err
		})
	}
	l.told(s)
	all, err := retrains(s)
	l.must(err)
	for _, a := range all {
		if a.Loop.Verdict != "ineffective" {
			t.Errorf("a retrain is %+v", a.Loop)
		}
	}
	decisions, err := list[struct {
		Actions []struct{ Type, Verdict, Reason string }
	}](s, "/api/v1/decisions", nil)
	l.must(err)
	held := 0
	for _, d := range decisions {
		for _, a := range d.Actions {
			if a.Type == "retrain" && a.Verdict == "hold" && a.Reason == "suspended" {
				held++
			}
		}
	}
	if held != 1 {
		t.Errorf("%d retrains were withheld because the policy is suspended, want that of the third window", held)
	}
	reviews, err := list[struct{ ID, Cause, Title string }](s, "/api/v1/reviews", nil)
	l.must(err)
	if !slices.ContainsFunc(reviews, func(r struct{ ID, Cause, Title string }) bool {
		return strings.HasPrefix(r.Cause, "suspended:") || strings.Contains(r.Title, "suspend")
	}) {
		t.Errorf("no review says that the policy suspended itself: %+v", reviews)
	}
	if jobs := l.jobsOf("mw-"); len(jobs) != 2 {
		t.Errorf("jobs %v, want two", jobs)
	}
}

// TestStageAndReviewAreWrittenBack looks at the tags of the model version in
// the workspace.
func TestStageAndReviewAreWrittenBack(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	config := l.config("url: https://modelwarden.example\npolicies: [{name: drift, on: [monitor.breached], then: [{review: {}}]}]\n")
	t.Setenv("MODELWARDEN_AZUREML_WRITE_BACK", "true")
	s := serve(t, t.TempDir(), "--config", config)
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
	client, err := ml.New(ml.Options{Endpoint: l.server.URL})
	l.must(err)
	tagged := func(name, want string) {
		t.Helper()
		boot.Eventually(t, 30*time.Second, name+" is written back", func() error {
			m, err := client.ModelVersion(t.Context(), event.Workspace{Alias: "contoso-ml", ID: l.ID()}, "churn", "1")
			if got, there := m.Tags[name]; err == nil && (got != want || there != (want != "")) {
				err = fmt.Errorf("tags are %v", m.Tags)
			}
			return err
		})
	}
	l.train(churn)
	tagged("modelwarden.stage", "deployed")
	l.monitored("churn")
	l.must(l.ShiftData("age", 1))
	_, err = l.RunMonitor("churn_monitor")
	l.must(err)
	var reviews []struct{ ID string }
	boot.Eventually(t, 30*time.Second, "a review is open", func() (err error) {
		if reviews, err = list[struct{ ID string }](s, "/api/v1/reviews", nil); err == nil && len(reviews) != 1 {
			err = fmt.Errorf("%+v", reviews)
		}
		return err
	})
	tagged("modelwarden.review", "https://modelwarden.example/reviews/"+reviews[0].ID)
	r, err := http.Post(s.URL+"/api/v1/reviews/"+reviews[0].ID+"/resolve", "application/json", strings.NewReader(`{"by":"on-call","why":"known"}`))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
	tagged("modelwarden.review", "")
}

// TestThrottlingDelaysAndLosesNothing lets ARM refuse for a while everything
// that is asked of it.
func TestThrottlingDelaysAndLosesNothing(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	s := serve(t, t.TempDir(), "--config", l.config(retrainRules))
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
	l.train(churn)
	l.monitored("churn")
	l.told(s)
	var asked atomic.Int64
	throttled := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 6 {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		})
	}
	l.around.Store(&throttled)
	l.must(l.ShiftData("age", 1))
	_, err = l.RunMonitor("churn_monitor")
	l.must(err)
	boot.Eventually(t, time.Minute, "the retrain succeeded all the same", func() error {
		all, err := retrains(s)
		if err == nil && (len(all) != 1 || all[0].State != "succeeded") {
			err = fmt.Errorf("%+v after %d requests", all, asked.Load())
		}
		return err
	})
	if jobs := l.jobsOf("mw-"); len(jobs) != 1 {
		t.Errorf("jobs %v", jobs)
	}
}

// TestABreachThatTheTagLostIsActedOn: thirty features breach, the tag holds a
// part of them, and the policy asks for one that was cut off.
func TestABreachThatTheTagLostIsActedOn(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	s := serve(t, t.TempDir(), "--config", l.config(`
policies: [{name: last, on: [monitor.breached], when: breach.feature == "feature_29", then: [{review: {}}]}]
`))
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
	l.train(churn)
	var features []string
	for i := range 30 {
		features = append(features, fmt.Sprintf("feature_%02d", i))
	}
	l.must(l.CreateMonitor(sandbox.MonitorSpec{Name: "churn_monitor", Model: "churn", Signals: []sandbox.Signal{
		{Name: "churn_monitor_data_drift", Threshold: 0.2, Features: features},
	}}))
	l.told(s)
	for _, f := range features {
		l.must(l.ShiftData(f, 3))
	}
	run, err := l.RunMonitor("churn_monitor")
	l.must(err)
	if len(run.Violations) != len(features) {
		t.Fatalf("%d violations", len(run.Violations))
	}
	boot.Eventually(t, 30*time.Second, "a review tells of the last feature", func() error {
		reviews, err := list[struct{ Title string }](s, "/api/v1/reviews", nil)
		if err == nil && (len(reviews) != 1 || !strings.Contains(reviews[0].Title, "feature_29")) {
			err = fmt.Errorf("reviews %+v", reviews)
		}
		return err
	})
}

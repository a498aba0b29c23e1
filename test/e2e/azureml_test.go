package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

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

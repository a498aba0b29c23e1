//go:build peers

package peers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"

	"github.com/modelwarden/modelwarden/test/boot"
)

// hostile is a name that would run a script in a page that trusts it.
const hostile = `<img src=x onerror=alert(1)>`

const storyPolicies = `
apiVersion: modelwarden/v1
policies:
  - name: churn-drift
    on: [monitor.breached]
    match: {workspace: contoso-ml, model: "churn*"}
    when: breach.metric == "PopulationStabilityIndex" && breach.exceeded > 0.1
    then:
      - retrain: {target: hook, cooldown: 6h, maxPerDay: 2}
      - review: {severity: warning, ackWithin: 30m}
  - name: large-shift
    on: [monitor.breached]
    when: breach.value > 5.0
    then: [{review: {severity: critical}}]
targets:
  hook: {webhook: {url: "%s/retrain"}}
`

// storyBreaches is how many events report a breach: two windows, each in two
// events. Every policy decides on each of them once, whatever comes twice.
const storyBreaches = 4

// bootStory starts a service, plays one story to it and waits for its end: a
// model is trained, deployed and monitored, its data drifts for two windows,
// which makes one retrain and one review; another model of the same
// job has a hostile name, and one body is no event.
func bootStory(t *testing.T, token string) *server {
	t.Helper()
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(recorder)
	t.Cleanup(hook.Close)
	policies := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(policies, fmt.Appendf(nil, storyPolicies, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, token, "--config", policies)
	if err := s.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	boot.Eventually(t, 30*time.Second, "the story is worked on", s.told)
	return s
}

func (s *server) tell(ctx context.Context) (err error) {
	w := sandbox.New(sandbox.Options{
		Name: "contoso-ml", ResourceGroup: "rg-risk-prod", Seed: 7, TrainTime: 100 * time.Millisecond,
		Training: []sandbox.Training{{Component: "train_churn", Model: "churn", Data: "churn-data",
			Endpoint: "churn-ep", Deployment: "blue", Tags: map[string]string{"owner": "risk-ml"}}},
		Subscriptions: []sandbox.Subscription{{URL: s.URL + "/events", Copies: 2, Shuffle: 4, BatchEvents: 10}},
	})
	if err := w.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	job, err := train(ctx, w)
	if err != nil {
		return err
	}
	_, err = w.RegisterModel(hostile, job, map[string]string{"owner": hostile, hostile: `"><script>alert(2)</script>`, strings.Repeat("long", 30): strings.Repeat("broad", 30)})
	return errors.Join(err, drift(w), w.Flush(ctx), s.post("this is no event"))
}

// train trains and deploys the model, and names the job that did.
func train(ctx context.Context, w *sandbox.Workspace) (job string, err error) {
	if _, err := w.RegisterData("churn-data"); err != nil {
		return "", err
	}
	if job, err = w.SubmitJob(sandbox.JobSpec{Component: "azureml:train_churn:3", Experiment: "churn-train"}); err != nil {
		return "", err
	}
	_, err = w.WaitJob(ctx, job)
	return job, err
}

func drift(w *sandbox.Workspace) error {
	const monitor = "churn_monitor"
	err := w.CreateMonitor(sandbox.MonitorSpec{Name: monitor, Model: "churn", Signals: []sandbox.Signal{
		{Name: "data_drift", Threshold: 0.2, Features: []string{"age", "tenure_months", "contract"}},
	}})
	if err != nil {
		return err
	}
	var errs []error
	for _, shift := range []float64{0, 0.6, 0.7} {
		errs = append(errs, w.ShiftData("age", shift))
		_, err := w.RunMonitor(monitor)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *server) post(body string) error {
	r, err := http.Post(s.URL+"/events", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("POST /events: %s", r.Status)
	}
	return nil
}

// told complains about what the service has not worked on yet.
func (s *server) told() error {
	for path, want := range map[string]int{
		"/api/v1/decisions?limit=100":                  2 * storyBreaches,
		"/api/v1/actions?type=retrain&state=succeeded": 1,
		"/api/v1/reviews?state=open":                   1,
		"/api/v1/quarantine":                           1,
		"/api/v1/models?q=img":                         1,
		"/api/v1/events?kind=model.deployed&limit=100": 1,
		"/api/v1/events?kind=monitor.passed&limit=100": 1,
		"/api/v1/models?q=churn&stage=deployed":        1,
	} {
		if got, err := s.count(path); err != nil || got != want {
			return fmt.Errorf("%s has %d items, want %d (%w)", path, got, want, err)
		}
	}
	var status struct{ Queue struct{ Ready, Leased int } }
	if err := s.Get("/api/v1/status", &status); err != nil {
		return err
	}
	if n := status.Queue.Ready + status.Queue.Leased; n > 0 {
		return fmt.Errorf("%d messages are not done", n)
	}
	return nil
}

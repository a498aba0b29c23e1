//go:build peers

package peers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"

	"github.com/modelwarden/modelwarden/test/boot"
)

const alertPolicies = `
policies:
  - name: churn-drift
    on: [monitor.breached]
    when: breach.exceeded > 0.1
    then: [{review: {severity: warning, target: oncall, ackWithin: 1h}}]
targets:
  oncall: {alertmanager: {url: %q, labels: {team: risk-ml}}}
`

// A model's data drifts: Alertmanager calls its receiver, once for all features
// and windows. Somebody acknowledges, and it calls no more. The monitor passes,
// and the receiver hears that it is over. Prometheus counts the review meanwhile.
func TestAlertmanagerCallsForADriftingModel(t *testing.T) {
	a := bootAlertmanager(t, time.Second) // it would call again every second
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, alertPolicies, a.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "", "--config", config)
	p := bootPrometheus(t, s, "")
	w := sandbox.New(sandbox.Options{
		Name: "contoso-ml", ResourceGroup: "rg-risk-prod", Seed: 7, TrainTime: 100 * time.Millisecond,
		Training: []sandbox.Training{{Component: "train_churn", Model: "churn", Data: "churn-data",
			Endpoint: "churn-ep", Deployment: "blue", Tags: map[string]string{"owner": "risk-ml"}}},
		Subscriptions: []sandbox.Subscription{{URL: s.URL + "/events"}},
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := train(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(drift(w), w.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	call := a.heard(t, 1)
	if len(call.Alerts) != 1 || call.Status != "firing" {
		t.Fatalf("the first call was %+v", call)
	}
	alert := call.Alerts[0]
	id := alert.Labels["review"]
	if id == "" || alert.Labels["team"] != "risk-ml" || alert.Labels["model"] != "churn" || alert.Labels["severity"] != "warning" || alert.Annotations["summary"] == "" {
		t.Errorf("the alert is %+v", alert)
	}
	boot.Eventually(t, time.Minute, "Prometheus counts the review", func() error {
		n, err := p.value(`modelwarden_reviews_open{severity="warning"}`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%v open reviews", n)
		}
		return err
	})
	if got := a.alerts(t); len(got) != 1 {
		t.Errorf("two windows of one monitor are %d alerts", len(got))
	}

	run(t, "review", "ack", id, "--by", "ada", "--server", s.URL)
	boot.Eventually(t, 30*time.Second, "the alert is silenced", func() error {
		if got := a.silences(t); len(got) != 1 || got[0].Status.State != "active" {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	a.settled(t)
	a.quiet(t, a.calls())

	if err := s.passes(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	boot.Eventually(t, 10*time.Second, "the monitor passed", func() error {
		n, err := s.count("/api/v1/events?kind=monitor.passed&limit=100")
		if err == nil && n != 2 {
			err = fmt.Errorf("%d times", n)
		}
		return err
	})
	boot.Eventually(t, 30*time.Second, "the alert is over", func() error {
		if got := a.alerts(t); len(got) != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	var r struct{ State string }
	if err := s.Get("/api/v1/reviews/"+id, &r); err != nil || r.State != "resolved" {
		t.Errorf("the review is %+v %v", r, err)
	}
	answer, err := http.Get(s.URL + "/reviews/" + id)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("its page: %v %v", answer, err)
	}
}

// passes runs the monitor on data as it should be.
func (s *server) passes(ctx context.Context, w *sandbox.Workspace) error {
	if err := w.ShiftData("age", -1.3); err != nil {
		return err
	}
	_, err := w.RunMonitor("churn_monitor")
	return errors.Join(err, w.Flush(ctx))
}

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/boot"
)

const oncallPolicies = `
policies:
  - name: churn-drift
    on: [monitor.breached]
    then:
      - review:
          severity: warning
          severityAt: {critical: 0.5}
          target: first
          ackWithin: 2s
          escalate: [{target: second, ackWithin: 1h}]
          runbook: https://wiki.contoso.example/churn
targets:
  first: {pagerDuty: {url: "%[1]s/first", tokenEnv: PAGER_KEY, callbackSecretEnv: PAGER_HOOK}}
  second: {pagerDuty: {url: "%[1]s/second", tokenEnv: PAGER_KEY, callbackSecretEnv: PAGER_HOOK}}
`

// pager keeps what its two services were sent.
type pager struct {
	mu   sync.Mutex
	sent []pagerEvent
}

type pagerEvent struct {
	Service string
	Action  string `json:"event_action"`
	Key     string `json:"dedup_key"`
	Client  string `json:"client_url"`
	Payload struct{ Summary, Severity string }
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := pagerEvent{Service: strings.Split(r.URL.Path, "/")[1]}
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.sent = append(p.sent, e)
	p.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"status":"success","message":"Event processed","dedup_key":%q}`, e.Key)
}

// said are the actions that a service was asked for, in order.
func (p *pager) said(service string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.sent {
		if e.Service == service {
			out = append(out, e.Action)
		}
	}
	return strings.Join(out, " ")
}

// wants waits until a service was told this, whatever it was told since.
func (p *pager) wants(t *testing.T, service, said string) {
	t.Helper()
	boot.Eventually(t, 30*time.Second, service+" was told", func() error {
		if got := p.said(service); !strings.HasPrefix(got+" ", said+" ") {
			return fmt.Errorf("%s was told %q, want %q", service, got, said)
		}
		return nil
	})
}

// TestOnCallIsCalledInTurn follows one review through the tools of on-call: the
// first is called, nobody answers, the second is called, somebody acknowledges
// there, both know, and when the review is resolved both know that, too.
func TestOnCallIsCalledInTurn(t *testing.T) {
	calledInTurn(t, func(config string) *server { return serve(t, t.TempDir(), "--config", config) })
}

// TestOnCallIsCalledInTurnOnAzure does the same with the roles apart and two
// workers, on queues that drop repeats: nobody is called by both.
func TestOnCallIsCalledInTurnOnAzure(t *testing.T) {
	calledInTurn(t, func(config string) *server {
		c := newCloud(t)
		s := c.install(config)
		c.serve("worker", "--config", config)
		return s
	})
}

func calledInTurn(t *testing.T, install func(config string) *server) {
	t.Helper()
	t.Setenv("PAGER_KEY", "routing-key-0123456789")
	t.Setenv("PAGER_HOOK", "callback-secret-0123456789")
	p := &pager{}
	tool := httptest.NewServer(p)
	defer tool.Close()
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, oncallPolicies, tool.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MODELWARDEN_URL", "https://warden.contoso.example")
	s := install(config)
	if err := sendPlain(s, story()); err != nil {
		t.Fatal(err)
	}
	p.wants(t, "first", "trigger")
	p.wants(t, "second", "trigger")
	e := p.sent[0]
	if e.Payload.Severity != "critical" || e.Payload.Summary == "" || e.Client != "https://warden.contoso.example/reviews/"+e.Key {
		t.Errorf("the first call was %+v", e)
	}

	type card struct {
		Runbook string
		Tickets []struct{ Target, State, Ref string }
	}
	boot.Eventually(t, 30*time.Second, "both tickets are noted", func() error {
		var c card
		if err := s.Get("/api/v1/reviews/"+e.Key+"/card", &c); err != nil || len(c.Tickets) != 2 || c.Runbook != "https://wiki.contoso.example/churn" {
			return fmt.Errorf("%+v %w", c, err)
		}
		return nil
	})
	s.calledBack(t, "second", e.Key, "incident.acknowledged", http.StatusNoContent)
	// The second trigger has the first's key: a line in its incident, no call.
	p.wants(t, "first", "trigger trigger acknowledge")
	var r struct {
		State, AckedBy string
		Level          int
	}
	if err := s.Get("/api/v1/reviews/"+e.Key, &r); err != nil || r.State != "acknowledged" || r.AckedBy != "Ada in second" || r.Level != 1 {
		t.Errorf("%+v %v", r, err)
	}

	s.calledBack(t, "first", e.Key, "incident.resolved", http.StatusNoContent)
	for _, service := range []string{"first", "second"} {
		boot.Eventually(t, 30*time.Second, service+" knows the end", func() error {
			said := p.said(service)
			if again := strings.Count(said, "trigger") > map[string]int{"first": 2, "second": 1}[service]; again || !strings.HasSuffix(said, "resolve") {
				return fmt.Errorf("%s was told %q", service, said)
			}
			return nil
		})
	}
	s.drained(30 * time.Second)
	if log := s.Log.String(); strings.Contains(log, "routing-key-0123456789") || strings.Contains(log, "callback-secret-0123456789") {
		t.Error("the log has a secret in it")
	}
}

// calledBack sends what PagerDuty sends when Ada does something there.
func (s *server) calledBack(t *testing.T, target, key, what string, want int) {
	t.Helper()
	body := fmt.Appendf(nil, `{"event":{"id":"01-%s-%s","event_type":%q,"resource_type":"incident","occurred_at":%q,
		"agent":{"type":"user_reference","id":"P1","summary":"Ada"},
		"data":{"id":"Q1","type":"incident","incident_key":%q,"status":"acknowledged","title":"churn"}}}`,
		target, what, what, time.Now().UTC().Format(time.RFC3339Nano), key)
	for secret, status := range map[string]int{"wrong-secret-0123456789": http.StatusUnauthorized, os.Getenv("PAGER_HOOK"): want} {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		req, err := http.NewRequest(http.MethodPost, s.URL+"/callbacks/"+target, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-PagerDuty-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("%s of %s with secret %.5s…: %s", what, target, secret, answer.Status)
		}
	}
}

// TestAnEscalationOutlivesTheProcess kills the service while a deadline runs: the
// next process escalates, once.
func TestAnEscalationOutlivesTheProcess(t *testing.T) {
	t.Setenv("PAGER_KEY", "routing-key-0123456789")
	t.Setenv("PAGER_HOOK", "callback-secret-0123456789")
	p := &pager{}
	tool := httptest.NewServer(p)
	defer tool.Close()
	config, data := filepath.Join(t.TempDir(), "policies.yaml"), t.TempDir()
	if err := os.WriteFile(config, fmt.Appendf(nil, strings.Replace(oncallPolicies, "ackWithin: 2s", "ackWithin: 10s", 1), tool.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--config", config)
	if err := sendPlain(s, story()); err != nil {
		t.Fatal(err)
	}
	p.wants(t, "first", "trigger")
	s.Kill()
	if said := p.said("second"); said != "" {
		t.Fatalf("the machine is too slow for this test: second was told %q already", said)
	}
	s = serve(t, data, "--config", config)
	p.wants(t, "second", "trigger")
	s.drained(30 * time.Second)
	if said := p.said("second"); said != "trigger" {
		t.Errorf("second was told %q", said)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/boot"
)

// tracker is a repository's issues. The first creation is kept and never
// answered: that is when the service is killed.
type tracker struct {
	mu      sync.Mutex
	issues  []map[string]any
	created chan struct{}
	over    chan struct{}
}

func (f *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "GET /repos/contoso/churn/issues":
		_ = json.NewEncoder(w).Encode(f.issues)
	case "GET /repos/contoso/churn/issues/1", "PATCH /repos/contoso/churn/issues/1":
		_ = json.NewEncoder(w).Encode(f.issues[0])
	case "POST /repos/contoso/churn/issues":
		n := len(f.issues) + 1
		body["number"], body["state"], body["html_url"] = n, "open", fmt.Sprint("https://github.contoso.example/contoso/churn/issues/", n)
		body["labels"] = []any{map[string]any{"name": "modelwarden"}}
		f.issues = append(f.issues, body)
		if n == 1 {
			close(f.created)
			f.mu.Unlock()
			<-f.over
			f.mu.Lock()
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(body)
	default:
		http.NotFound(w, r)
	}
}

const ticketPolicies = `
policies:
  - name: churn-drift
    on: [monitor.breached]
    then: [{review: {severity: warning, target: issues}}]
targets:
  issues: {githubIssue: {owner: contoso, repo: churn, url: %q, tokenEnv: ISSUES_TOKEN, timeout: 2s}}
`

// TestATicketIsMadeOnceAcrossACrash kills the service when the tool has made the
// ticket and the service does not know it yet.
func TestATicketIsMadeOnceAcrossACrash(t *testing.T) {
	t.Setenv("ISSUES_TOKEN", "token-0123456789")
	f := &tracker{created: make(chan struct{}), over: make(chan struct{})}
	tool := httptest.NewServer(f)
	defer tool.Close()
	defer close(f.over)
	config, data := filepath.Join(t.TempDir(), "policies.yaml"), t.TempDir()
	if err := os.WriteFile(config, fmt.Appendf(nil, ticketPolicies, tool.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data, "--config", config)
	if err := sendPlain(s, story()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.created:
	case <-time.After(30 * time.Second):
		t.Fatal("no ticket was made")
	}
	s.Kill()

	s = serve(t, data, "--config", config)
	var r []struct{ ID string }
	boot.Eventually(t, time.Minute, "the ticket is known", func() error {
		var err error
		if r, err = list[struct{ ID string }](s, "/api/v1/reviews", nil); err != nil || len(r) != 1 {
			return fmt.Errorf("%+v %w", r, err)
		}
		var card struct{ Tickets []struct{ Ref, URL string } }
		if err := s.Get("/api/v1/reviews/"+r[0].ID+"/card", &card); err != nil || len(card.Tickets) != 1 || card.Tickets[0].Ref != "1" {
			return fmt.Errorf("%+v %w", card, err)
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.issues) != 1 {
		t.Errorf("%d issues were made", len(f.issues))
	}
}

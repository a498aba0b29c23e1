package effect_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fakePagerDuty is PagerDuty as far as the Events API v2 goes: one unresolved
// incident per dedup_key. Only a new incident calls people.
type fakePagerDuty struct {
	*httptest.Server
	pagingFaults
	t      *testing.T
	mu     sync.Mutex
	schema *jsonschema.Schema
	// incidents are all, in order of creation.
	incidents []*fakeIncident
	events    []fakePagerEvent
}

type fakeIncident struct {
	id, key, status string
	severity        string
	log             int
}

type fakePagerEvent struct {
	Key       string           `json:"routing_key"`
	Action    string           `json:"event_action"`
	Dedup     string           `json:"dedup_key"`
	Client    string           `json:"client"`
	ClientURL string           `json:"client_url"`
	Links     []map[string]any `json:"links"`
	Payload   struct {
		Summary, Source, Severity, Timestamp, Component, Group, Class string
		Details                                                       map[string]string `json:"custom_details"`
	} `json:"payload"`
}

func newFakePagerDuty(t *testing.T) *fakePagerDuty {
	t.Helper()
	f := &fakePagerDuty{t: t, schema: publishedSchema(t, "pagerduty.json", "event")}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// faults sets the faults, once a request under way has ended.
func (f *fakePagerDuty) faults(p pagingFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pagingFaults = p
}

func (f *fakePagerDuty) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodPost || r.URL.Path != "/v2/enqueue" || r.Header.Get("Content-Type") != "application/json" || len(body) > 512_000 {
		f.t.Errorf("%s %s: %v, %d bytes", r.Method, r.URL.Path, r.Header, len(body))
	}
	var e fakePagerEvent
	if err := conforms(f.schema, body, &e); err != nil || e.Key != pagerKey {
		f.t.Errorf("%v\n%s", err, body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`))
		return
	}
	f.take(&e)
	if f.after != nil {
		f.after(w, r)
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "success", "message": "Event processed", "dedup_key": e.Dedup})
}

// take does what an event asks for.
func (f *fakePagerDuty) take(e *fakePagerEvent) {
	f.events = append(f.events, *e)
	at := f.unresolved(e.Dedup)
	switch {
	case at == nil && e.Action == "trigger":
		n := len(f.incidents) + 1
		f.incidents = append(f.incidents, &fakeIncident{id: fmt.Sprintf("Q%d", n), key: e.Dedup, status: "triggered", severity: e.Payload.Severity})
	case at == nil: // it is dropped
	case e.Action == "trigger":
		at.severity = e.Payload.Severity
		at.log++
	default:
		at.status = e.Action + "d"
		at.log++
	}
}

func (f *fakePagerDuty) unresolved(key string) *fakeIncident {
	for _, i := range f.incidents {
		if i.key == key && i.status != "resolved" {
			return i
		}
	}
	return nil
}

// said lists the incidents: key, status and severity.
func (f *fakePagerDuty) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := ""
	for _, i := range f.incidents {
		out += fmt.Sprintf("%s %s %s; ", i.key[len(pagedID):], i.status, i.severity)
	}
	return out
}

// Agents of webhooks.
var (
	pagerAda = map[string]any{"html_url": "https://contoso.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV", "self": "https://api.pagerduty.com/users/PLH1HKV", "summary": "Ada", "type": "user_reference"}
	pagerOwn = map[string]any{"html_url": "https://contoso.pagerduty.com/services/P5/integrations/PX", "id": "PX", "self": "https://api.pagerduty.com/services/P5/integrations/PX", "summary": "Events API V2", "type": "inbound_integration_reference"}
)

// pagerIncident is the data of an incident's webhook.
func pagerIncident(key string, more map[string]any) map[string]any {
	out := map[string]any{
		"id": "PGR0VU2", "type": "incident", "self": "https://api.pagerduty.com/incidents/PGR0VU2", "html_url": "https://contoso.pagerduty.com/incidents/PGR0VU2",
		"number": 2, "status": "triggered", "incident_key": key, "created_at": "2026-03-02T10:00:00Z", "title": "churn drifts", "urgency": "high",
		"service":        map[string]any{"html_url": "https://contoso.pagerduty.com/services/PF9KMXH", "id": "PF9KMXH", "self": "https://api.pagerduty.com/services/PF9KMXH", "summary": "Models", "type": "service_reference"},
		"resolve_reason": nil,
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// pagerNote is the data of a note's webhook.
func pagerNote(content string) map[string]any {
	return map[string]any{
		"incident": map[string]any{"html_url": "https://contoso.pagerduty.com/incidents/PGR0VU2", "id": "PGR0VU2", "self": "https://api.pagerduty.com/incidents/PGR0VU2", "summary": "churn drifts", "type": "incident_reference"},
		"id":       "P2LA89X", "content": content, "trimmed": false, "type": "incident_note",
	}
}

// pagerWebhook is a webhook as PagerDuty writes it.
func pagerWebhook(t testing.TB, kind string, agent any, data map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"event": map[string]any{
		"id": "5ac64822-4adc-4fda-ade0-410becf0de4f", "event_type": kind, "resource_type": "incident",
		"occurred_at": t0.Add(time.Minute).Format(time.RFC3339Nano), "agent": agent, "client": nil, "data": data,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := conforms(publishedSchema(t, "pagerduty.json", "webhook"), body, new(any)); err != nil {
		t.Fatalf("the test's own webhook: %v", err)
	}
	return body
}

// pagerSign signs a webhook with a secret.
func pagerSign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

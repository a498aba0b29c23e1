package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a well-behaved subscriber: it answers both handshakes, records what
// it is sent and answers as its script says, then 200.
type sink struct {
	mu       sync.Mutex
	requests []received
	script   []int
	always   int
	hang     bool
}

type received struct {
	at     time.Time
	method string
	query  string
	header http.Header
	body   []byte
	status int
}

func (s *sink) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	req := received{at: time.Now(), method: r.Method, query: r.URL.RawQuery, header: r.Header.Clone(), body: body, status: 200}
	switch {
	case r.Method == http.MethodOptions:
		rw.Header().Set("WebHook-Allowed-Origin", r.Header.Get("WebHook-Request-Origin"))
		rw.Header().Set("WebHook-Allowed-Rate", "120")
	case r.Header.Get("aeg-event-type") == "SubscriptionValidation":
		var events []struct {
			Data struct{ ValidationCode string }
		}
		_ = json.Unmarshal(body, &events)
		_ = json.NewEncoder(rw).Encode(map[string]string{"validationResponse": events[0].Data.ValidationCode})
	default:
		req.status = s.status()
	}
	s.mu.Lock()
	s.requests = append(s.requests, req)
	s.mu.Unlock()
	if s.hang && req.header.Get("aeg-event-type") == "Notification" {
		<-r.Context().Done()
		return
	}
	if req.status != 200 {
		rw.WriteHeader(req.status)
	}
}

func (s *sink) status() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) == 0 {
		return max(s.always, 200)
	}
	next := s.script[0]
	s.script = s.script[1:]
	return next
}

// deliveries are the requests that carried events, handshakes left out.
func (s *sink) deliveries() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r received) bool {
		return r.method == http.MethodOptions || r.header.Get("aeg-event-type") == "SubscriptionValidation"
	})
}

// events are the events that were answered 200, in order, as JSON objects.
func (s *sink) events(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, r := range s.deliveries() {
		if r.status == 200 {
			out = append(out, decodeEvents(t, r.body)...)
		}
	}
	return out
}

func decodeEvents(t *testing.T, body []byte) []map[string]any {
	t.Helper()
	if !bytes.HasPrefix(body, []byte("[")) {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var events []map[string]any
	if err := json.Unmarshal(body, &events); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	return events
}

// typeOf is the last word of an event's type, in either schema.
func typeOf(e map[string]any) string {
	full, _ := e["eventType"].(string)
	if full == "" {
		full, _ = e["type"].(string)
	}
	return full[strings.LastIndexByte(full, '.')+1:]
}

func dataOf(e map[string]any) map[string]any {
	data, _ := e["data"].(map[string]any)
	return data
}

// idle makes a workspace with a subscription to s that is not started, so
// that events wait until it is.
func idle(t *testing.T, s *sink, sub sandbox.Subscription) *sandbox.Workspace {
	t.Helper()
	sub.URL = "http://warden.test/events"
	w := sandbox.New(sandbox.Options{HTTPClient: &http.Client{Transport: sandbox.InMemory{"warden.test": s}}})
	check(t, w.Subscribe(sub))
	t.Cleanup(func() { check(t, w.Close()) })
	return w
}

// start makes and starts a workspace with one subscription to s, to be used
// within synctest. The epoch of synctest makes every time the same each run.
func start(t *testing.T, s *sink, o sandbox.Options, sub sandbox.Subscription) *sandbox.Workspace {
	t.Helper()
	sub.URL = "http://warden.test/events?code=sesame"
	o.HTTPClient = &http.Client{Transport: sandbox.InMemory{"warden.test": s}}
	o.Subscriptions = append(o.Subscriptions, sub)
	w := sandbox.New(o)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, w *sandbox.Workspace) {
	t.Helper()
	check(t, w.Flush(context.Background()))
}

// churn is the training that the tests' stories use.
var churn = []sandbox.Training{{
	Component: "train_churn", Model: "churn", Data: "churn-data",
	Endpoint: "churn-ep", Deployment: "blue", Tags: map[string]string{"owner": "risk-ml"},
}}

var churnMonitor = sandbox.MonitorSpec{
	Name: "churn_monitor", Model: "churn",
	Signals: []sandbox.Signal{{Name: "data_drift", Threshold: 0.2, Features: []string{"age", "tenure_months"}}},
}

package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

const workspaceID = "/subscriptions/5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01/resourceGroups/rg-risk-prod/providers/" +
	"Microsoft.MachineLearningServices/workspaces/contoso-ml"

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// memory is a queue that keeps what it gets. fail, if set, is asked first.
type memory struct {
	mu       sync.Mutex
	messages []lineage.Message
	fail     func(ctx context.Context) error
}

func (q *memory) Send(ctx context.Context, messages []lineage.Message) error {
	if q.fail != nil {
		if err := q.fail(ctx); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, messages...)
	return nil
}

func (q *memory) all() []lineage.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]lineage.Message(nil), q.messages...)
}

// newSubscriber fills in what a test does not care about.
func newSubscriber(t testing.TB, o ingest.Options) (*ingest.Subscriber, *memory) {
	t.Helper()
	q := &memory{}
	if o.Queue == nil {
		o.Queue = q
	}
	if o.Authenticator == nil {
		o.Authenticator = ingest.None()
	}
	s, err := ingest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, q
}

// request builds a request; header holds name, value pairs.
func request(method, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/events", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answer is what a success says.
type answer struct{ Accepted, Quarantined int }

func wantAnswer(t testing.TB, w *httptest.ResponseRecorder, accepted, quarantined int) {
	t.Helper()
	var got answer
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil {
		t.Fatalf("status %d, body %s, want 200 and counts", w.Code, w.Body)
	}
	if got != (answer{accepted, quarantined}) {
		t.Fatalf("answer %+v, want %d accepted and %d quarantined", got, accepted, quarantined)
	}
}

// wantProblem checks an RFC 9457 answer and returns its detail.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) string {
	t.Helper()
	var p struct {
		Title, Detail, Code string
		Status              int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != status {
		t.Fatalf("status %d, body %s, want %d and a problem", w.Code, w.Body, status)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if p.Status != status || p.Code != code || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("problem %+v, want status %d and code %s", p, status, code)
	}
	if status == http.StatusServiceUnavailable && code != "client_gone" && w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	return p.Detail
}

// gridEvent is one event in the Event Grid schema.
func gridEvent(id string) string {
	return fmt.Sprintf(`{"id":%q,"topic":%q,"subject":"experiments/9f2c/runs/%s",`+
		`"eventType":"Microsoft.MachineLearningServices.RunCompleted","eventTime":"2026-11-02T11:59:30.1234567Z",`+
		`"data":{"runId":%q,"runType":null,"big":12345678901234567890},"dataVersion":"1","metadataVersion":"1"}`,
		id, workspaceID, id, id)
}

// cloudEvent is one event in the structured mode of CloudEvents 1.0.
func cloudEvent(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"subject":"models/churn:12",`+
		`"type":"Microsoft.MachineLearningServices.ModelRegistered","time":"2026-11-02T11:59:30Z",`+
		`"data":{"ModelName":"churn","ModelVersion":12}}`, id, workspaceID)
}

// gridHeaders are those of an ordinary delivery, as documented.
func gridHeaders(attempt string) []string {
	return []string{
		"Content-Type", "application/json; charset=utf-8",
		"aeg-event-type", "Notification",
		"aeg-subscription-name", "AML-EVENTS",
		"aeg-delivery-count", attempt,
		"aeg-data-version", "1",
		"aeg-metadata-version", "1",
		"aeg-output-event-id", "d5b9a1e2-0d4c-4a27-8d8c-0c6b7f0f7f4e",
	}
}

// canonical is the part of a queued body that tests look at.
type canonical struct {
	SpecVersion, ID, Source, Type, Subject string
	Time                                   time.Time
	Data                                   json.RawMessage
}

func decode(t testing.TB, m lineage.Message) canonical {
	t.Helper()
	var c canonical
	if err := json.Unmarshal(m.Body, &c); err != nil {
		t.Fatalf("queued body %q: %v", m.Body, err)
	}
	return c
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// holds checks the law of the handler for one body: it is answered 200 and
// everything in it is in the queue, or refused and nothing is.
func holds(t rapid.TB, status int, body string, queued int) {
	switch status {
	case http.StatusOK:
		if strings.HasPrefix(body, `{"validationResponse":`) {
			if queued != 0 {
				t.Fatalf("a handshake was queued")
			}
			return
		}
		var got answer
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("answer %q: %v", body, err)
		}
		if got.Accepted+got.Quarantined != queued {
			t.Fatalf("answer %+v, but %d messages queued", got, queued)
		}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		if queued != 0 {
			t.Fatalf("refused with %d, yet %d messages queued", status, queued)
		}
	default:
		t.Fatalf("status %d %s", status, body)
	}
}

func FuzzEvents(f *testing.F) {
	seeds := []string{
		"", " ", "[]", "{}", "[1,2", "null", "\xef\xbb\xbf[]", gridEvent("a"), cloudEvent("b"),
		"[" + gridEvent("a") + ",{}," + cloudEvent("b") + "]", validation(`{"validationCode":"x"}`), strings.Repeat("[", 500),
	}
	for _, seed := range seeds {
		for _, contentType := range []string{"application/json", "application/cloudevents+json"} {
			f.Add(contentType, "", "", []byte(seed))
		}
	}
	f.Add("application/json", "Notification", "id-1", []byte(`{"modelName":"churn"}`))
	f.Fuzz(func(t *testing.T, contentType, kind, id string, body []byte) {
		s, q := newSubscriber(t, ingest.Options{MaxBody: 64 << 10, MaxEvents: 200})
		r := request(http.MethodPost, string(body), "Content-Type", contentType, "aeg-event-type", kind,
			"ce-id", id, "ce-type", "t", "ce-source", "/s")
		w := serve(s.Events(), r)
		holds(t, w.Code, w.Body.String(), len(q.all()))
		for _, m := range q.all() {
			if m.ID == "" || (m.Properties[lineage.PropKind] == lineage.KindEvent && !json.Valid(m.Body)) {
				t.Fatalf("message %q with body %q", m.ID, m.Body)
			}
		}
	})
}

// A sender that repeats what was not answered 200, as Event Grid does, gets
// everything in, however the queue fails.
func TestRetriesGetEverythingIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(0, 6).Draw(t, "failures")
		q := &memory{fail: func(context.Context) error {
			if failures > 0 {
				failures--
				return errors.New("queue is away")
			}
			return nil
		}}
		s, err := ingest.New(ingest.Options{Queue: q, Authenticator: ingest.None()})
		if err != nil {
			t.Fatal(err)
		}
		sent := make(map[string]bool)
		for b := range rapid.IntRange(1, 4).Draw(t, "batches") {
			var events []string
			for e := range rapid.IntRange(1, 5).Draw(t, "events") {
				id := fmt.Sprint(b, "-", e)
				events, sent[id] = append(events, gridEvent(id)), true
			}
			deliver(t, s.Events(), "["+strings.Join(events, ",")+"]")
		}
		for _, m := range q.all() {
			var c canonical
			if err := json.Unmarshal(m.Body, &c); err != nil {
				t.Fatal(err)
			}
			delete(sent, c.ID)
		}
		if len(sent) > 0 {
			t.Fatalf("lost %v", sent)
		}
	})
}

// deliver repeats a request until it is accepted.
func deliver(t *rapid.T, h http.Handler, body string) {
	for range 20 {
		w := serve(h, request(http.MethodPost, body))
		if w.Code == http.StatusOK {
			return
		}
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
	}
	t.Fatal("never accepted")
}

// Mixed batches: what is understood and what is not add up, in order.
func TestEveryElementIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOfN(rapid.SampledFrom([]string{
			gridEvent("g"), cloudEvent("c"), "{}", "17", `"text"`, "[]", `{"id":"only"}`, "null",
		}), 1, 60).Draw(t, "elements")
		q := &memory{}
		s, err := ingest.New(ingest.Options{Queue: q, Authenticator: ingest.None(), Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		w := serve(s.Events(), request(http.MethodPost, "["+strings.Join(elements, ", ")+"]"))
		holds(t, w.Code, w.Body.String(), len(q.all()))
		if len(q.all()) != len(elements) {
			t.Fatalf("%d elements became %d messages", len(elements), len(q.all()))
		}
		for i, m := range q.all() {
			good := strings.Contains(elements[i], "Microsoft.")
			if good != (m.Properties[lineage.PropKind] == lineage.KindEvent) {
				t.Fatalf("element %s became %v", elements[i], m.Properties)
			}
			if !good && string(m.Body) != elements[i] {
				t.Fatalf("element %s was kept as %s", elements[i], m.Body)
			}
		}
	})
}

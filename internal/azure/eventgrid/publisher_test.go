package eventgrid_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/eventgrid"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/test/azure/clock"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

// topic is a custom topic whose events end in bodies.
type topic struct {
	*azure.Topic
	clock  *clock.Manual
	bodies []string
}

func newTopic(t testing.TB, faults *azure.Faults) *topic {
	t.Helper()
	out := &topic{clock: clock.NewManual(noon)}
	out.Topic = azure.NewTopic(azure.TopicOptions{Schema: azure.CloudEvents, Auth: auth(), Clock: out.clock, Faults: faults})
	err := out.Subscribe(azure.Subscription{Name: "all", Queue: func(m azure.Message) error {
		out.bodies = append(out.bodies, string(m.Body))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (o *topic) arrived() []string {
	o.clock.Advance(0)
	return o.bodies
}

func change(id string) event.Envelope {
	return event.Envelope{ID: id, Source: "/modelwarden", Type: "modelwarden.stage.changed", Subject: "model/ws/churn/12",
		Time: noon, Data: json.RawMessage(`{"n":12345678901234567890,"html":"<&>"}`)}
}

func TestPublishedEventsKeepTheirDataAndID(t *testing.T) {
	o := newTopic(t, nil)
	bare := event.Envelope{ID: "bare", Source: "/s", Type: "t"}
	if err := publisher(t, o, nil).Publish(t.Context(), []event.Envelope{change("key-1"), bare}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"data":{"n":12345678901234567890,"html":"<&>"},"datacontenttype":"application/json","id":"key-1","source":"/modelwarden",` +
			`"specversion":"1.0","subject":"model/ws/churn/12","time":"2026-11-02T12:00:00Z","type":"modelwarden.stage.changed"}`,
		`{"id":"bare","source":"/s","specversion":"1.0","type":"t"}`,
	}
	got := o.arrived()
	for i, w := range want {
		var a, b any
		if len(got) != 2 || json.Unmarshal([]byte(got[i]), &a) != nil || json.Unmarshal([]byte(w), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) ||
			strings.Contains(got[i], "data_base64") || strings.Contains(w, "123456789") != strings.Contains(got[i], "12345678901234567890") {
			t.Errorf("published %q, want %q", got, w)
		}
	}
}

func TestPublishSplitsWhatIsTooLargeForOneRequest(t *testing.T) {
	o := newTopic(t, nil)
	var requests []int
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, int(r.ContentLength))
		o.ServeHTTP(w, r)
	})
	var events []event.Envelope
	for i := range 25 {
		e := change(fmt.Sprint(i))
		e.Data = json.RawMessage(`"` + strings.Repeat("x", 99_000) + `"`)
		events = append(events, e)
	}
	if err := publisher(t, count, nil).Publish(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if len(o.arrived()) != 25 || len(requests) != 3 {
		t.Errorf("%d events in %d requests of %v bytes", len(o.bodies), len(requests), requests)
	}
	for _, n := range requests {
		if n > 1_000_000 {
			t.Errorf("a request of %d bytes", n)
		}
	}
	if err := publisher(t, count, nil).Publish(t.Context(), nil); err != nil || len(requests) != 3 {
		t.Errorf("nothing to publish: %v, %d requests", err, len(requests))
	}
}

func TestPublishSortsErrors(t *testing.T) {
	const body = `{"error":{"code":"X","message":"the header was $CREDENTIAL, so no"}}`
	for status, permanent := range map[int]bool{400: true, 401: true, 403: true, 404: true, 413: true, 408: false, 429: false, 500: false, 503: false} {
		err := publisher(t, canned{status, http.Header{"Retry-After": {"7"}}, body}, nil).Publish(t.Context(), []event.Envelope{change("1")})
		if err == nil || isPermanent(err) != permanent || (retryAfter(err) == 7*time.Second) == permanent {
			t.Errorf("%d: %v (permanent %v, after %v)", status, err, isPermanent(err), retryAfter(err))
		}
		assertNoLeak(t, err)
	}
	e := change("1")
	e.Data = json.RawMessage(`{`)
	if err := publisher(t, newTopic(t, nil), nil).Publish(t.Context(), []event.Envelope{e}); !isPermanent(err) {
		t.Errorf("data that is not JSON: %v", err)
	}
}

func TestPublishAfterALostAnswerRepeatsTheID(t *testing.T) {
	o := newTopic(t, &azure.Faults{Script: []azure.Fault{azure.DropAfter}})
	p := publisher(t, o, nil)
	if err := p.Publish(t.Context(), []event.Envelope{change("key")}); err == nil || isPermanent(err) {
		t.Fatalf("a lost answer: %v", err)
	}
	if err := p.Publish(t.Context(), []event.Envelope{change("key")}); err != nil {
		t.Fatal(err)
	}
	if got := o.arrived(); len(got) != 2 || got[0] != got[1] {
		t.Errorf("published %q", got)
	}
}

func TestPublisherCheckNamesWhatIsMissing(t *testing.T) {
	o := newTopic(t, nil)
	tests := map[string]struct {
		change func(*eventgrid.PublisherOptions)
		says   string
	}{
		"key":       {nil, ""},
		"identity":  {func(o *eventgrid.PublisherOptions) { o.Key, o.Credential = "", credential(theToken) }, ""},
		"wrong key": {func(o *eventgrid.PublisherOptions) { o.Key = "d3Jvbmc=" }, "the key is wrong"},
		"no role":   {func(o *eventgrid.PublisherOptions) { o.Key, o.Credential = "", credential("no role") }, `the role "EventGrid Data Sender"`},
		"path":      {func(o *eventgrid.PublisherOptions) { o.Endpoint = "https://topic.test/" }, "does not exist"},
	}
	for name, tt := range tests {
		err := publisher(t, o, tt.change).Check(t.Context())
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || !isPermanent(err)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		assertNoLeak(t, err)
	}
	if got := o.arrived(); len(got) != 0 {
		t.Errorf("Check published %q", got)
	}
	if _, err := eventgrid.NewPublisher(eventgrid.PublisherOptions{Endpoint: "http://x", Key: theKey}); err == nil {
		t.Error("took an endpoint without TLS")
	}
}

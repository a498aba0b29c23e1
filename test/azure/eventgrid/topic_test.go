package eventgrid_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

func TestHandshakes(t *testing.T) {
	say := func(status int, header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name     string
		schema   eventgrid.Schema
		endpoint http.Handler
		wantErr  string
	}{
		{"code accepted with 202", eventgrid.EventGrid, say(202, "", "", "{}"), "not 200"},
		{"wrong code", eventgrid.EventGrid, say(200, "", "", `{"validationResponse":"no"}`), "validation code"},
		{"no code", eventgrid.EventGrid, say(200, "", "", ""), "validation code"},
		{"origin not allowed", eventgrid.CloudEvents, say(200, "", "", ""), "allows the origin"},
		{"other origin", eventgrid.CloudEvents, say(200, "WebHook-Allowed-Origin", "example.com", ""), "example.com"},
		{"any origin", eventgrid.CloudEvents, say(200, "WebHook-Allowed-Origin", "*", ""), ""},
		{"options refused", eventgrid.CloudEvents, say(405, "WebHook-Allowed-Origin", "*", ""), "405"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			topic := eventgrid.NewTopic(eventgrid.TopicOptions{Client: &http.Client{Transport: eventgrid.Transport{Handler: tt.endpoint}}})
			err := topic.Subscribe(eventgrid.Subscription{Name: "s", URL: "https://x.test", Schema: tt.schema})
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error %v, want one with %q", err, tt.wantErr)
			}
			if _, statsErr := topic.Stats("s"); (statsErr == nil) != (err == nil) {
				t.Errorf("subscribed: %v, though Subscribe returned %v", statsErr == nil, err)
			}
		})
	}
}

func TestOriginIsAskedWithCredentials(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{Schema: eventgrid.CloudEvents, Headers: http.Header{"X-Secret": {"s3cret"}},
		Token: func() (string, error) { return "token", nil }}, nil)
	asked := r.endpoint.got[0]
	for name, want := range map[string]string{"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120",
		"X-Secret": "s3cret", "Authorization": "Bearer token"} {
		if asked.method != http.MethodOptions || asked.header.Get(name) != want {
			t.Errorf("%s with %s %q, want %q", asked.method, name, asked.header.Get(name), want)
		}
	}
}

func TestHandshakeEndsAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		topic := eventgrid.NewTopic(eventgrid.TopicOptions{Client: &http.Client{Transport: eventgrid.Transport{Handler: hang}}})
		start := time.Now()
		err := topic.Subscribe(eventgrid.Subscription{Name: "s", URL: "https://x.test"})
		if err == nil || time.Since(start) != 30*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

func TestDeliveryLooksLikeEventGrids(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{Headers: http.Header{"X-Secret": {"s3cret"}},
		Token: func() (string, error) { return "token", nil }}, nil)
	r.Publish(order("1"))
	r.clock.Advance(0)
	got := r.endpoint.deliveries()[0]
	for name, want := range map[string]string{
		"aeg-event-type": "Notification", "aeg-subscription-name": "ORDERS", "aeg-delivery-count": "0",
		"aeg-data-version": "3", "aeg-metadata-version": "1", "X-Secret": "s3cret", "Authorization": "Bearer token",
		"Content-Type": "application/json; charset=utf-8",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.header.Get("aeg-output-event-id") == "" {
		t.Error("no aeg-output-event-id")
	}
	want := `[{"data":{"n":12345678901234567890,"html":"<&>"},"dataVersion":"3","eventTime":"2026-11-02T12:00:00Z","eventType":"OrderPlaced",` +
		`"id":"1","metadataVersion":"1","subject":"orders/1","topic":"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/` +
		`providers/Microsoft.EventGrid/topics/topic"}]`
	if got.body != want {
		t.Errorf("body\n%s\nwant\n%s", got.body, want)
	}
	for _, d := range r.endpoint.got[:1] {
		if d.header.Get("Authorization") != "Bearer token" || d.header.Get("X-Secret") != "s3cret" {
			t.Errorf("the handshake went without credentials: %v", d.header)
		}
	}
}

func TestCloudEventsAreObjectsUnlessBatched(t *testing.T) {
	for _, tt := range []struct {
		batch             int
		first, contentTyp string
	}{{1, "{", "application/cloudevents+json; charset=utf-8"}, {2, "[", "application/cloudevents-batch+json; charset=utf-8"}} {
		r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{Schema: eventgrid.CloudEvents, MaxEvents: tt.batch}, nil)
		r.Publish(order("1"))
		r.clock.Advance(0)
		got := r.endpoint.deliveries()[0]
		if !strings.HasPrefix(got.body, tt.first) || got.header.Get("Content-Type") != tt.contentTyp ||
			!strings.Contains(got.body, `"specversion":"1.0"`) || !strings.Contains(got.body, `"source":"/subscriptions/`) {
			t.Errorf("batch of %d: %s %s", tt.batch, got.header.Get("Content-Type"), got.body)
		}
	}
}

func TestRetriesFollowTheSchedule(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, always(500))
	r.Publish(order("1"))
	r.clock.Advance(25 * time.Hour)
	var at []time.Duration
	for i, d := range r.endpoint.deliveries() {
		at = append(at, d.at)
		if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}[i]; d.header.Get("aeg-delivery-count") != want {
			t.Errorf("delivery %d counts %s", i, d.header.Get("aeg-delivery-count"))
		}
	}
	const s = time.Second
	want := []time.Duration{0, 10 * s, 40 * s, 100 * s, 400 * s, 1000 * s, 2800 * s, 6400 * s, 17200 * s, 38800 * s, 82000 * s}
	if !slices.Equal(at, want) {
		t.Errorf("delivered at %v, want %v", at, want)
	}
	if len(r.dead) != 1 || r.dead[0].Reason != "TimeToLiveExceeded" || r.dead[0].Attempts != 11 || r.stats(t).Pending != 0 {
		t.Errorf("dead letters %+v", r.dead)
	}
}

func TestSomeAnswersAreWaitedForLonger(t *testing.T) {
	for status, want := range map[int]time.Duration{500: 10 * time.Second, 503: 30 * time.Second, 408: 2 * time.Minute, 205: 10 * time.Second} {
		r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, always(status))
		r.Publish(order("1"))
		r.clock.Advance(2 * time.Minute)
		if got := r.endpoint.deliveries()[1].at; got != want {
			t.Errorf("%d was retried after %v, want %v", status, got, want)
		}
	}
}

func TestSomeAnswersAreFinal(t *testing.T) {
	for status, outcome := range map[int]string{400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 413: "PayloadTooLarge"} {
		r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, always(status))
		r.Publish(order("1"))
		r.clock.Advance(24 * time.Hour)
		if len(r.dead) != 1 || r.dead[0].Outcome != outcome || r.dead[0].Reason != "Undeliverable" || len(r.endpoint.deliveries()) != 1 {
			t.Errorf("%d: %d deliveries, dead letters %+v", status, len(r.endpoint.deliveries()), r.dead)
		}
	}
	for _, status := range []int{200, 201, 202, 203, 204} {
		r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, always(status))
		r.Publish(order("1"))
		r.clock.Advance(time.Hour)
		if s := r.stats(t); s.Delivered != 1 || s.Attempts != 1 {
			t.Errorf("%d: %+v", status, s)
		}
	}
}

func TestMaxAttemptsBoundsRetriesAndLeavesADeadLetter(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{MaxAttempts: 3}, always(502))
	r.Publish(order("1"))
	r.clock.Advance(time.Hour)
	if len(r.dead) != 1 || len(r.endpoint.deliveries()) != 3 {
		t.Fatalf("%d deliveries, dead letters %+v", len(r.endpoint.deliveries()), r.dead)
	}
	var m map[string]any
	if err := json.Unmarshal(r.dead[0].JSON(), &m); err != nil {
		t.Fatal(err)
	}
	if m["deadLetterReason"] != "MaxDeliveryAttemptsExceeded" || m["deliveryAttempts"] != 3.0 || m["lastDeliveryOutcome"] != "GenericError" ||
		m["lastDeliveryAttemptTime"] != "2026-11-02T12:00:40Z" || m["publishTime"] != "2026-11-02T12:00:00Z" || m["eventType"] != "OrderPlaced" {
		t.Errorf("dead letter %v", m)
	}
}

func TestFailingEndpointHoldsBackNewEvents(t *testing.T) {
	status := 500
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, func() int { return status })
	for range 10 {
		r.Publish(order("1"))
	}
	r.clock.Advance(0)
	status = 200
	r.Publish(order("new"))
	r.clock.Advance(59 * time.Second)
	if n := len(r.endpoint.deliveries()); n != 10 || r.stats(t).HeldUntil.IsZero() {
		t.Fatalf("%d deliveries to an endpoint that failed ten times", n)
	}
	r.clock.Advance(time.Second)
	if s := r.stats(t); s.Delivered != 11 || !s.HeldUntil.IsZero() {
		t.Errorf("after the hold: %+v", s)
	}
}

func TestBatchesAreBoundedByNumberAndSize(t *testing.T) {
	big := order("big")
	big.Data = json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`)
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{MaxEvents: 3, PreferredKilobytes: 2}, nil)
	r.Publish(order("1"), order("2"), order("3"), order("4"), big, order("5"))
	r.clock.Advance(0)
	var sizes []int
	for _, d := range r.endpoint.deliveries() {
		var events []json.RawMessage
		if err := json.Unmarshal([]byte(d.body), &events); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(events))
	}
	if !slices.Equal(sizes, []int{3, 1, 1, 1}) {
		t.Errorf("batches of %v events", sizes)
	}
}

func TestUnsubscribeSaysGoodbye(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{}, nil)
	if err := r.Unsubscribe("Orders"); err != nil {
		t.Fatal(err)
	}
	r.Publish(order("late"))
	r.clock.Advance(time.Hour)
	got := r.endpoint.deliveries()
	if len(got) != 1 || got[0].header.Get("aeg-event-type") != "SubscriptionDeletion" ||
		!strings.Contains(got[0].body, `"eventType":"Microsoft.EventGrid.SubscriptionDeletedEvent"`) ||
		!strings.Contains(got[0].body, "/eventSubscriptions/orders") {
		t.Errorf("deliveries %+v", got)
	}
	if r.Unsubscribe("orders") == nil {
		t.Error("unsubscribed twice")
	}
}

func TestQueueGetsBodyAndProperties(t *testing.T) {
	var got []eventgrid.Message
	answers := []error{errors.New("full"), nil}
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{Headers: http.Header{"tenant": {"a"}}, Queue: func(m eventgrid.Message) error {
		got = append(got, m)
		return answers[len(got)-1]
	}}, nil)
	r.Publish(order("1"))
	r.clock.Advance(time.Minute)
	if len(got) != 2 || got[0].ID == "" || got[0].ID != got[1].ID {
		t.Fatalf("messages %+v, want the same one twice", got)
	}
	p := got[1].Properties
	if p["aeg-delivery-count"] != "1" || p["aeg-subscription-name"] != "ORDERS" || p["tenant"] != "a" || p["content-type"] != "" {
		t.Errorf("properties %v", p)
	}
	if !strings.HasPrefix(string(got[1].Body), "{") {
		t.Errorf("body %s", got[1].Body)
	}
}

func TestQueueMayRejectForGood(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{}, eventgrid.Subscription{QueueArray: true,
		Queue: func(m eventgrid.Message) error {
			if !strings.HasPrefix(string(m.Body), "[{") {
				t.Errorf("body %s", m.Body)
			}
			return eventgrid.ErrRejected
		}}, nil)
	r.Publish(order("1"))
	r.clock.Advance(time.Hour)
	if len(r.dead) != 1 || r.dead[0].Attempts != 1 {
		t.Errorf("dead letters %+v", r.dead)
	}
}

func TestSubscriptionsThatAzureRefuses(t *testing.T) {
	nobody := func(eventgrid.Message) error { return nil }
	tests := map[string]eventgrid.Subscription{
		"a name":         {Queue: nobody},
		"either":         {Name: "s"},
		"absolute":       {Name: "s", URL: "/events"},
		"batch":          {Name: "s", Queue: nobody, MaxEvents: 5001},
		"TTL":            {Name: "s", Queue: nobody, TTL: time.Second},
		"CloudEvents":    {Name: "s", Queue: nobody, Schema: eventgrid.EventGrid},
		"properties":     {Name: "s", Queue: nobody, Headers: http.Header{"1": nil, "2": nil, "3": nil, "4": nil, "5": nil, "6": nil, "7": nil, "8": nil, "9": nil, "10": nil, "11": nil}},
		"exists already": {Name: "FIRST", Queue: nobody},
	}
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{Schema: eventgrid.CloudEvents})
	if err := topic.Subscribe(eventgrid.Subscription{Name: "first", Queue: nobody}); err != nil {
		t.Fatal(err)
	}
	for want, s := range tests {
		if err := topic.Subscribe(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

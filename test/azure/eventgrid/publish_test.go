package eventgrid_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

const (
	topicURL = "https://topic.test/api/events"
	key      = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
)

func clientOptions(transport policy.Transporter) azcore.ClientOptions {
	return azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func topicOptions(transport policy.Transporter) *azeventgrid.ClientOptions {
	return &azeventgrid.ClientOptions{ClientOptions: clientOptions(transport)}
}

// keep subscribes a queue that keeps bodies.
func keep(t testing.TB, topic *eventgrid.Topic) *[]string {
	t.Helper()
	var bodies []string
	err := topic.Subscribe(eventgrid.Subscription{Name: "keep", Queue: func(m eventgrid.Message) error {
		bodies = append(bodies, string(m.Body))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return &bodies
}

func sas(endpoint, key string, until time.Time) string {
	text := "r=" + url.QueryEscape(endpoint) + "&e=" + url.QueryEscape(until.UTC().Format(time.RFC3339))
	secret, _ := base64.StdEncoding.DecodeString(key)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "&s=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func one() []messaging.CloudEvent {
	return []messaging.CloudEvent{{ID: "1", Source: "/orders", SpecVersion: "1.0", Type: "OrderPlaced", Time: &noon,
		Data: json.RawMessage(`{"n":12345678901234567890}`), Extensions: map[string]any{"tenant": "a"}}}
}

func TestOfficialClientPublishesWithEveryCredential(t *testing.T) {
	auth := eventgrid.Auth{Keys: []string{"b2xk", key}, Token: func(token string) error {
		switch token {
		case "fake_token":
			return nil
		case "no role":
			return eventgrid.ErrForbidden
		}
		return errors.New("expired")
	}}
	r := newRig(t, eventgrid.TopicOptions{Schema: eventgrid.CloudEvents, Auth: auth}, eventgrid.Subscription{}, nil)
	transport := eventgrid.Transport{Handler: r.Topic}
	byKey := func(k string) (*azeventgrid.Client, error) {
		return azeventgrid.NewClientWithSharedKeyCredential(topicURL, azcore.NewKeyCredential(k), topicOptions(transport))
	}
	bySAS := func(s string) (*azeventgrid.Client, error) {
		return azeventgrid.NewClientWithSAS(topicURL, azcore.NewSASCredential(s), topicOptions(transport))
	}
	byToken := func(c azcore.TokenCredential) (*azeventgrid.Client, error) {
		return azeventgrid.NewClient(topicURL, c, topicOptions(transport))
	}
	tests := map[string]struct {
		status int
		client func() (*azeventgrid.Client, error)
	}{
		"key":            {200, func() (*azeventgrid.Client, error) { return byKey(key) }},
		"wrong key":      {401, func() (*azeventgrid.Client, error) { return byKey("d3Jvbmc=") }},
		"sas":            {200, func() (*azeventgrid.Client, error) { return bySAS(sas(topicURL, key, noon.Add(time.Hour))) }},
		"expired sas":    {401, func() (*azeventgrid.Client, error) { return bySAS(sas(topicURL, key, noon)) }},
		"forged sas":     {401, func() (*azeventgrid.Client, error) { return bySAS(sas(topicURL, "d3Jvbmc=", noon.Add(time.Hour))) }},
		"other host sas": {401, func() (*azeventgrid.Client, error) { return bySAS(sas("https://a.test/", key, noon.Add(time.Hour))) }},
		"token":          {200, func() (*azeventgrid.Client, error) { return byToken(&fake.TokenCredential{}) }},
		"no role":        {403, func() (*azeventgrid.Client, error) { return byToken(credential("no role")) }},
		"expired token":  {401, func() (*azeventgrid.Client, error) { return byToken(credential("old")) }},
	}
	for name, tt := range tests {
		client, err := tt.client()
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.PublishCloudEvents(t.Context(), one(), nil)
		if got := statusOf(err); got != tt.status {
			t.Errorf("%s: status %d, want %d: %v", name, got, tt.status, err)
		}
	}
}

// credential is a token that never changes.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// statusOf is 200 for no error.
func statusOf(err error) int {
	var answer *azcore.ResponseError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &answer):
		return answer.StatusCode
	}
	return 0
}

func TestPublishedEventsArriveWhole(t *testing.T) {
	r := newRig(t, eventgrid.TopicOptions{Schema: eventgrid.CloudEvents}, eventgrid.Subscription{}, nil)
	bodies := keep(t, r.Topic)
	client, err := azeventgrid.NewClientWithSharedKeyCredential(topicURL, azcore.NewKeyCredential(key), topicOptions(eventgrid.Transport{Handler: r.Topic}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PublishCloudEvents(t.Context(), one(), nil); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(0)
	want := `{"data":{"n":12345678901234567890},"id":"1","source":"/orders","specversion":"1.0","tenant":"a","time":"2026-11-02T12:00:00Z","type":"OrderPlaced"}`
	if len(*bodies) != 1 || (*bodies)[0] != want {
		t.Errorf("bodies %q, want %q", *bodies, want)
	}
}

func TestEventGridSchemaOverTLS(t *testing.T) {
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{Auth: eventgrid.Auth{Keys: []string{key}}})
	arrived := make(chan eventgrid.Message, 1)
	if err := topic.Subscribe(eventgrid.Subscription{Name: "q", Queue: func(m eventgrid.Message) error { arrived <- m; return nil }}); err != nil {
		t.Fatal(err)
	}
	server := eventgrid.StartTLS(topic)
	defer server.Close()
	client, err := azeventgrid.NewClientWithSharedKeyCredential(server.URL+"/api/events", azcore.NewKeyCredential(key), topicOptions(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	id, subject, kind, version := "1", "orders/1", "OrderPlaced", "1"
	e := azeventgrid.Event{ID: &id, Subject: &subject, EventType: &kind, EventTime: &noon, DataVersion: &version, Data: map[string]int{"n": 1}}
	if _, err := client.PublishEvents(t.Context(), []azeventgrid.Event{e}, nil); err != nil {
		t.Fatal(err)
	}
	if m := <-arrived; !strings.Contains(string(m.Body), `"topic":"/subscriptions/`) || m.Properties["aeg-data-version"] != "1" {
		t.Errorf("message %s %v", m.Body, m.Properties)
	}
}

func TestRefusedPublishing(t *testing.T) {
	post := func(schema eventgrid.Schema, path, contentType, body string) (int, string) {
		topic := eventgrid.NewTopic(eventgrid.TopicOptions{Schema: schema})
		r, err := http.NewRequest(http.MethodPost, "https://topic.test"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		answer, err := eventgrid.Transport{Handler: topic}.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	const good = "/api/events?api-version=2018-01-01"
	const cloud, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
	grid := `{"id":"1","subject":"s","eventType":"t","eventTime":"2026-11-02T12:00:00Z","dataVersion":"1","data":{}}`
	ce := `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	tests := []struct {
		name              string
		schema            eventgrid.Schema
		path, media, body string
		status            int
		says              string
	}{
		{"grid", eventgrid.EventGrid, good, "application/json", "[" + grid + "]", 200, ""},
		{"no version", eventgrid.EventGrid, "/api/events", "application/json", "[" + grid + "]", 400, "api-version"},
		{"wrong path", eventgrid.EventGrid, "/events", "application/json", "[" + grid + "]", 404, "NotFound"},
		{"no array", eventgrid.EventGrid, good, "application/json", grid, 400, "array"},
		{"no id", eventgrid.EventGrid, good, "application/json", `[{"subject":"s"}]`, 400, "id must be"},
		{"other topic", eventgrid.EventGrid, good, "application/json", "[" + strings.Replace(grid, `{"id"`, `{"topic":"/x","id"`, 1) + "]", 400, "topic"},
		{"too large", eventgrid.EventGrid, good, "application/json", "[" + grid + strings.Repeat(" ", 1<<20) + "]", 413, "1048576"},
		{"cloud", eventgrid.CloudEvents, good, cloud, ce, 200, ""},
		{"cloud batch", eventgrid.CloudEvents, good, batch, "[" + ce + "," + ce + "]", 200, ""},
		{"cloud, no batch", eventgrid.CloudEvents, good, batch, ce, 400, "batch"},
		{"cloud, half bad", eventgrid.CloudEvents, good, batch, "[" + ce + ",{}]", 400, "specversion"},
		{"cloud, bad time", eventgrid.CloudEvents, good, cloud, strings.Replace(ce, "{", `{"time":"2026-11-02T12:00:00",`, 1), 400, "time"},
		{"cloud, no source", eventgrid.CloudEvents, good, cloud, `{"specversion":"1.0","id":"1","type":"t"}`, 400, "`source` must be non-empty string"},
		{"cloud, number", eventgrid.CloudEvents, good, cloud, `{"specversion":"1.0","id":1,"type":"t"}`, 400, "`id` must be a string"},
	}
	for _, tt := range tests {
		status, text := post(tt.schema, tt.path, tt.media, tt.body)
		var e struct {
			Error struct{ Code, Message string }
		}
		if status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %d %s, want %d and %q", tt.name, status, text, tt.status, tt.says)
		}
		if status != 200 && (json.Unmarshal([]byte(text), &e) != nil || e.Error.Code == "" || e.Error.Message == "") {
			t.Errorf("%s: not the service's error: %s", tt.name, text)
		}
	}
}

func TestPublishFaults(t *testing.T) {
	for fault, want := range map[eventgrid.Fault]struct{ status, events int }{
		eventgrid.None: {200, 1}, eventgrid.Throttle: {429, 0}, eventgrid.Unavailable: {503, 0},
		eventgrid.DropBefore: {0, 0}, eventgrid.DropAfter: {0, 1},
	} {
		r := newRig(t, eventgrid.TopicOptions{Schema: eventgrid.CloudEvents,
			Faults: &eventgrid.Faults{Script: []eventgrid.Fault{fault}, Only: only(eventgrid.OpPublish)}}, eventgrid.Subscription{}, nil)
		client, err := azeventgrid.NewClientWithSharedKeyCredential(topicURL, azcore.NewKeyCredential(key), topicOptions(eventgrid.Transport{Handler: r.Topic}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.PublishCloudEvents(t.Context(), one(), nil)
		r.clock.Advance(time.Minute)
		if got := len(r.endpoint.deliveries()); statusOf(err) != want.status || got != want.events {
			t.Errorf("fault %d: status %d and %d events, want %+v; %v", fault, statusOf(err), got, want, err)
		}
	}
}

// Whatever is posted, what is answered 200 is delivered as JSON, and the rest
// is refused as the service refuses.
func FuzzPublish(f *testing.F) {
	ce := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}`
	for _, media := range []string{"application/cloudevents+json", "application/cloudevents-batch+json", "application/json", "text/plain", ""} {
		for _, body := range []string{ce, "[" + ce + "," + ce + "]", "[]", "{", "null", "\xff"} {
			f.Add(media, "1", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, media, id string, body []byte) {
		for _, schema := range []eventgrid.Schema{eventgrid.EventGrid, eventgrid.CloudEvents} {
			r := newRig(t, eventgrid.TopicOptions{Schema: schema}, eventgrid.Subscription{}, nil)
			request := httptest.NewRequest(http.MethodPost, topicURL+"?api-version=2018-01-01", bytes.NewReader(body))
			request.Header = http.Header{"Content-Type": {media}, "Ce-Id": {id}, "Ce-Specversion": {"1.0"}, "Ce-Type": {"t"}, "Ce-Source": {"/s"}}
			answer := httptest.NewRecorder()
			r.ServeHTTP(answer, request)
			if answer.Code != http.StatusOK && answer.Code != http.StatusBadRequest {
				t.Fatalf("status %d %s", answer.Code, answer.Body)
			}
			r.clock.Advance(0)
			for _, d := range r.endpoint.deliveries() {
				if !json.Valid([]byte(d.body)) || answer.Code != http.StatusOK {
					t.Fatalf("answered %d and delivered %s", answer.Code, d.body)
				}
			}
		}
	})
}

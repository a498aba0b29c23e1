package ingest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

const code = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"

func validation(data string) string {
	return `[{"id":"2d1781af","topic":"` + workspaceID + `","subject":"","eventTime":"2026-11-02T08:00:00Z",` +
		`"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":` + data + `,` +
		`"dataVersion":"1","metadataVersion":"1"}]`
}

func TestEventGridHandshake(t *testing.T) {
	data := `{"validationCode":"` + code + `","validationUrl":"https://rp.eventgrid.azure.net:553/validate?id=1"}`
	tests := []struct {
		name, body, kind string
		answered         bool
	}{
		{"as documented", validation(data), "SubscriptionValidation", true},
		{"header lost on the way", validation(data), "", true},
		{"header in lower case", validation(data), "subscriptionvalidation", true},
		{"code with quotes", validation(`{"validationCode":"a\"b"}`), "SubscriptionValidation", true},
		{"no code", validation(`{}`), "SubscriptionValidation", false},
		{"code of no use", validation(`{"validationCode":"` + strings.Repeat("x", 600) + `"}`), "SubscriptionValidation", false},
		{"notification that looks like one", validation(data), "Notification", false},
		{"one of two events", strings.TrimSuffix(validation(data), "]") + "," + gridEvent("a") + "]", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, q := newSubscriber(t, ingest.Options{})
			r := request(http.MethodPost, tt.body)
			if tt.kind != "" {
				r.Header.Set("aeg-event-type", tt.kind)
			}
			w := serve(s.Events(), r)
			answered := strings.HasPrefix(w.Body.String(), `{"validationResponse":"`)
			if w.Code != http.StatusOK || answered != tt.answered {
				t.Fatalf("status %d, body %s", w.Code, w.Body)
			}
			if queued := len(q.all()) > 0; queued == answered {
				t.Errorf("answered %v and queued %v: a handshake is no event, everything else is durable", answered, queued)
			}
		})
	}
}

func TestEventGridHandshakeRepeatsTheCode(t *testing.T) {
	s, _ := newSubscriber(t, ingest.Options{})
	w := serve(s.Events(), request(http.MethodPost, validation(`{"validationCode":"`+code+`"}`)))
	if got, want := w.Body.String(), `{"validationResponse":"`+code+`"}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func TestAlertsKnowNoHandshake(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	w := serve(s.Alerts(), request(http.MethodPost, validation(`{"validationCode":"`+code+`"}`)))
	wantAnswer(t, w, 1, 0)
	if len(q.all()) != 1 {
		t.Error("not queued")
	}
}

func TestCloudEventsHandshake(t *testing.T) {
	tests := []struct {
		name    string
		options ingest.Options
		origin  string
		status  int
		rate    string
	}{
		{"event grid", ingest.Options{}, "eventgrid.azure.net", 200, "*"},
		{"another casing", ingest.Options{}, "EventGrid.Azure.Net", 200, "*"},
		{"told rate", ingest.Options{AllowedRate: 120}, "eventgrid.azure.net", 200, "120"},
		{"rate from the limit", ingest.Options{RatePerSecond: 10}, "eventgrid.azure.net", 200, "600"},
		{"any origin", ingest.Options{AllowedOrigins: []string{"*"}}, "sender.example", 200, "*"},
		{"stranger", ingest.Options{}, "sender.example", 403, ""},
		{"suffix is not enough", ingest.Options{}, "evil-eventgrid.azure.net", 403, ""},
		{"no origin", ingest.Options{}, "", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newSubscriber(t, tt.options)
			r := request(http.MethodOptions, "", "WebHook-Request-Rate", "120")
			if tt.origin != "" {
				r.Header.Set("WebHook-Request-Origin", tt.origin)
			}
			w := serve(s.Events(), r)
			if tt.status != http.StatusOK {
				wantProblem(t, w, tt.status, "origin_refused")
				return
			}
			h := w.Header()
			if w.Code != 200 || h.Get("WebHook-Allowed-Origin") != tt.origin ||
				h.Get("WebHook-Allowed-Rate") != tt.rate || h.Get("Allow") != "POST" {
				t.Errorf("status %d, header %v", w.Code, h)
			}
		})
	}
}

func TestHandshakesAreAuthenticated(t *testing.T) {
	auth, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: []string{"0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newSubscriber(t, ingest.Options{Authenticator: auth})
	origin := []string{"WebHook-Request-Origin", "eventgrid.azure.net"}
	body := validation(`{"validationCode":"` + code + `"}`)
	wantProblem(t, serve(s.Events(), request(http.MethodOptions, "", origin...)), 401, "unauthenticated")
	wantProblem(t, serve(s.Events(), request(http.MethodPost, body)), 401, "unauthenticated")

	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		r := request(method, body, origin...)
		r.URL.RawQuery = "code=0123456789abcdef"
		if w := serve(s.Events(), r); w.Code != http.StatusOK {
			t.Errorf("%s with the secret: %d %s", method, w.Code, w.Body)
		}
	}
}

// transport answers in the callback host's place.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCallbackGoesOnlyWhereExpected(t *testing.T) {
	tests := []struct {
		name, address string
		on, called    bool
	}{
		{"event grid", "https://rp-westeurope.eventgrid.azure.net:553/cb?token=secret", true, true},
		{"off by default", "https://rp-westeurope.eventgrid.azure.net/cb", false, false},
		{"plain http", "http://rp-westeurope.eventgrid.azure.net/cb", true, false},
		{"metadata service", "https://169.254.169.254/metadata", true, false},
		{"look-alike", "https://rp.eventgrid.azure.net.evil.example/cb", true, false},
		{"credentials", "https://rp.eventgrid.azure.net@evil.example/cb", true, false},
		{"user before the right host", "https://u:p@rp.eventgrid.azure.net/cb", true, false},
		{"no URL", "https://%zz", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			s, _ := newSubscriber(t, ingest.Options{AllowCallback: tt.on, Logger: zap.New(core)})
			var called string
			s.SetCallbackTransport(transport(func(r *http.Request) (*http.Response, error) {
				called = r.Method + " " + r.URL.String()
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok"))}, nil
			}))
			r := request(http.MethodOptions, "", "WebHook-Request-Origin", "eventgrid.azure.net",
				"WebHook-Request-Callback", tt.address)
			if w := serve(s.Events(), r); w.Code != http.StatusOK {
				t.Fatalf("status %d", w.Code)
			}
			if (called == "GET "+tt.address) != tt.called || (called != "") != tt.called {
				t.Errorf("called %q", called)
			}
			wantNoLeak(t, logs, "secret", "u:p")
		})
	}
}

func TestCallbackComesAfterTheAnswer(t *testing.T) {
	s, _ := newSubscriber(t, ingest.Options{AllowCallback: true})
	called, answered := make(chan struct{}), make(chan struct{})
	s.SetCallbackTransport(transport(func(r *http.Request) (*http.Response, error) {
		close(called)
		<-answered
		return nil, errors.New("unreachable")
	}))
	server := httptest.NewServer(s.Events())
	defer server.Close()
	r, err := http.NewRequest(http.MethodOptions, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("WebHook-Request-Origin", "eventgrid.azure.net")
	r.Header.Set("WebHook-Request-Callback", "https://rp.eventgrid.azure.net/cb")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	<-called // and is still waiting: the answer did not wait for it
	close(answered)
	if resp.Header.Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" {
		t.Errorf("header %v", resp.Header)
	}
}

package ingest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

// exposition renders all metrics as a scrape would see them.
func exposition(t testing.TB, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestCredentialsNeverShow(t *testing.T) {
	secret, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: []string{oldSecret, newSecret}})
	if err != nil {
		t.Fatal(err)
	}
	expired := map[string]any{"exp": 1}
	tests := []struct {
		name, credential string
		fault            func(*http.Request) (*http.Response, error)
		queued           int
	}{
		{"good secret", newSecret, nil, 6},
		{"wrong secret", "wrong-secret-0123456789", nil, 0},
		{"good token", token(t, time.Now(), nil), nil, 2},
		{"expired token", token(t, time.Now(), expired), nil, 0},
		{"token nobody can check", token(t, time.Now(), nil), down, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys := newKeyServer()
			keys.breakWith(tt.fault)
			core, logs := observer.New(zap.DebugLevel)
			registry := prometheus.NewRegistry()
			s, q := newSubscriber(t, ingest.Options{Logger: zap.New(core), Registerer: registry,
				Authenticator: ingest.AnyOf(secret, newEntra(t, ingest.EntraOptions{Transport: keys}))})

			seen := present(s.Events(), tt.credential) + exposition(t, registry)
			for _, m := range q.all() {
				seen += m.ID + string(m.Body) + fmt.Sprint(m.Properties)
			}
			if len(q.all()) != tt.queued || logs.Len() < 8 {
				t.Fatalf("%d messages and %d log lines: the test does not see what it should", len(q.all()), logs.Len())
			}
			parts := append(strings.Split(tt.credential, "."), url.QueryEscape(tt.credential))
			wantNoLeak(t, logs, parts...)
			for _, part := range parts {
				if strings.Contains(seen, part) {
					t.Errorf("%q shows in an answer, a metric or a message", part)
				}
			}
		})
	}
}

// present sends requests of every outcome with the credential in every place,
// and returns all that was answered.
func present(h http.Handler, credential string) string {
	var answers strings.Builder
	for _, body := range []string{gridEvent("a"), "nonsense", "", validation(`{"validationCode":"1"}`)} {
		byQuery := request(http.MethodPost, body)
		byQuery.URL.RawQuery = "code=" + url.QueryEscape(credential)
		for _, r := range []*http.Request{
			byQuery,
			request(http.MethodPost, body, "Authorization", "Bearer "+credential),
			request(http.MethodPost, body, "X-Modelwarden-Secret", credential),
			request(http.MethodOptions, "", "Authorization", "Bearer "+credential, "WebHook-Request-Origin", "eventgrid.azure.net"),
		} {
			w := serve(h, r)
			answers.WriteString(w.Body.String())
			_ = w.Header().Write(&answers)
		}
	}
	return answers.String()
}

func TestRefusedCredentialsAreChallenged(t *testing.T) {
	a := newEntra(t, ingest.EntraOptions{Transport: newKeyServer()})
	s, _ := newSubscriber(t, ingest.Options{Authenticator: a})
	tests := []struct {
		name, challenge string
		request         *http.Request
		status          int
		code            string
	}{
		{"missing", `Bearer realm="modelwarden"`, request("POST", gridEvent("a")), 401, "unauthenticated"},
		{"expired", `Bearer realm="modelwarden", error="invalid_token"`,
			bearing(token(t, time.Now(), map[string]any{"exp": 1})), 401, "unauthenticated"},
		{"wrong caller", "", bearing(token(t, time.Now(), map[string]any{"azp": stranger})), 403, "forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(s.Events(), tt.request)
			wantProblem(t, w, tt.status, tt.code)
			if got := w.Header().Get("WWW-Authenticate"); got != tt.challenge {
				t.Errorf("challenge %q, want %q", got, tt.challenge)
			}
		})
	}
}

func TestAlertsMayHaveTheirOwnAuthenticator(t *testing.T) {
	deny := verdict{&ingest.AuthError{Status: 403, Reason: "no", Detail: "No."}}
	s, _ := newSubscriber(t, ingest.Options{AlertsAuthenticator: deny})
	wantAnswer(t, serve(s.Events(), request("POST", gridEvent("a"))), 1, 0)
	wantProblem(t, serve(s.Alerts(), request("POST", gridEvent("a"))), http.StatusForbidden, "forbidden")
}

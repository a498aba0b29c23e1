package ingest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

// wantNoLeak asserts that none of the secrets is in any log line.
func wantNoLeak(t testing.TB, logs *observer.ObservedLogs, secrets ...string) {
	t.Helper()
	for _, line := range logs.All() {
		text := line.Message
		for name, value := range line.ContextMap() {
			text += " " + name + "=" + fmt.Sprint(value)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("log line tells %q: %s", secret, text)
			}
		}
	}
}

func TestRequiresAuth(t *testing.T) {
	tests := map[string]bool{
		"127.0.0.1:8080":        false,
		"127.9.9.9:0":           false,
		"localhost:8080":        false,
		"LOCALHOST:8080":        false,
		"[::1]:8080":            false,
		"[::ffff:127.0.0.1]:80": false,
		"":                      true,
		":8080":                 true,
		"0.0.0.0:8080":          true,
		"[::]:8080":             true,
		"10.0.0.4:8080":         true,
		"example.com:8080":      true,
		"localhost.evil.com:80": true,
		"127.0.0.1":             true, // no port: not an address to listen on
		"[::1":                  true,
	}
	for addr, want := range tests {
		if got := ingest.RequiresAuth(addr); got != want {
			t.Errorf("RequiresAuth(%q) = %v", addr, got)
		}
	}
}

func TestNoneKeepsForeignWebPagesOut(t *testing.T) {
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"no browser", nil, 0},
		{"own page", []string{"Sec-Fetch-Site", "same-origin"}, 0},
		{"another site's page", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"old browser, another origin", []string{"Origin", "https://evil.example"}, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request("POST", "", tt.header...)
			r.Host = "localhost:8080"
			wantStatus(t, ingest.None().Authenticate(r), tt.status)
		})
	}
}

func TestNoneKeepsReboundNamesOut(t *testing.T) {
	browser := []string{"Sec-Fetch-Site", "same-origin"}
	tests := []struct {
		host   string
		header []string
		status int
	}{
		{"evil.example:8080", browser, 403},
		{"evil.example", browser, 403},
		{"evil.example:8080", []string{"Origin", "http://evil.example:8080"}, 403},
		{"localhost.evil.example:8080", browser, 403},
		{"10.0.0.4:8080", browser, 403},
		{"", browser, 403},
		{"localhost", browser, 0},
		{"LocalHost:8080", browser, 0},
		{"127.0.0.1", browser, 0},
		{"127.8.8.8:8080", browser, 0},
		{"[::1]", browser, 0},
		{"[::1]:8080", browser, 0},
		{"localhost:8080", []string{"Origin", "http://localhost:8080"}, 0},
		{"abc.tunnel.example", nil, 0},
		{"10.0.0.4:8080", nil, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.host, tt.header), func(t *testing.T) {
			r := request("POST", "", tt.header...)
			r.Host = tt.host
			wantStatus(t, ingest.None().Authenticate(r), tt.status)
		})
	}
}

// wantStatus checks an authenticator's verdict; 0 is success.
func wantStatus(t testing.TB, err error, status int) {
	t.Helper()
	if status == 0 {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	var auth *ingest.AuthError
	if !errors.As(err, &auth) || auth.Status != status {
		t.Fatalf("error %v, want an AuthError with status %d", err, status)
	}
}

// verdict is an authenticator that always says the same.
type verdict struct{ err error }

func (v verdict) Authenticate(*http.Request) error { return v.err }

func TestAnyOfTakesTheMostForgivingVerdict(t *testing.T) {
	yes := verdict{}
	unknown := verdict{&ingest.AuthError{Status: 401}}
	denied := verdict{&ingest.AuthError{Status: 403}}
	down := verdict{&ingest.AuthError{Status: 503}}
	odd := verdict{errors.New("odd")}
	tests := []struct {
		name   string
		of     []ingest.Authenticator
		status int
	}{
		{"first", []ingest.Authenticator{yes, down}, 0},
		{"last", []ingest.Authenticator{unknown, denied, down, yes}, 0},
		{"none knows", []ingest.Authenticator{unknown, unknown}, 401},
		{"one denies", []ingest.Authenticator{unknown, denied, unknown}, 403},
		{"one could not tell", []ingest.Authenticator{down, denied, unknown}, 503},
		{"fault of our own", []ingest.Authenticator{unknown, odd}, 503},
		{"nobody to ask", nil, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantStatus(t, ingest.AnyOf(tt.of...).Authenticate(request("POST", "")), tt.status)
		})
	}
}

const oldSecret, newSecret = "old-secret-0123456789", "new-secret/+=abcdefgh"

func TestSharedSecret(t *testing.T) {
	auth, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: []string{oldSecret, newSecret}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		header []string
		query  string
		status int
	}{
		{"old in header", []string{"X-Modelwarden-Secret", oldSecret}, "", 0},
		{"new in header", []string{"X-Modelwarden-Secret", newSecret}, "", 0},
		{"bearer", []string{"Authorization", "bearer " + newSecret}, "", 0},
		{"query", nil, "a=b&code=" + url.QueryEscape(newSecret), 0},
		{"good query beside another's authorization", []string{"Authorization", "Bearer ey.ey.ey"}, "code=" + oldSecret, 0},
		{"none", nil, "", 401},
		{"wrong", []string{"X-Modelwarden-Secret", "x" + oldSecret[1:]}, "", 401},
		{"beginning only", []string{"X-Modelwarden-Secret", oldSecret[:20]}, "", 401},
		{"longer", []string{"X-Modelwarden-Secret", oldSecret + "x"}, "", 401},
		{"basic scheme", []string{"Authorization", "Basic " + oldSecret}, "", 401},
		{"other parameter", nil, "secret=" + oldSecret, 401},
		{"empty parameter", nil, "code=", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request("POST", "", tt.header...)
			r.URL.RawQuery = tt.query
			wantStatus(t, auth.Authenticate(r), tt.status)
		})
	}
}

func TestSharedSecretOptions(t *testing.T) {
	renamed, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: []string{oldSecret}, Header: "x-hook", Param: "key"})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, renamed.Authenticate(request("POST", "", "X-Hook", oldSecret)), 0)
	wantStatus(t, renamed.Authenticate(request("POST", "", "X-Modelwarden-Secret", oldSecret)), 401)

	for name, secrets := range map[string][]string{
		"none": nil, "short": {"0123456789abcde"}, "one empty": {oldSecret, ""}, "three": {oldSecret, newSecret, oldSecret},
	} {
		_, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: secrets})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, secret := range secrets {
			if secret != "" && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells the secret: %v", name, err)
			}
		}
	}
}

func TestRedactURLDropsTheQuery(t *testing.T) {
	u, err := url.Parse("https://user:pw@host/events?code=" + oldSecret + "#" + oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got := ingest.RedactURL(u); got != "/events" {
		t.Errorf("RedactURL = %q", got)
	}
}

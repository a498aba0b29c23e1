package effect_test

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
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// received is one request as a target saw it.
type received struct {
	method string
	header http.Header
	body   []byte
}

// target is a server that records and answers as told.
type target struct {
	*httptest.Server
	got    []received
	answer func(w http.ResponseWriter, r *http.Request)
}

func newTarget(t *testing.T, answer http.HandlerFunc) *target {
	t.Helper()
	s := &target{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.got = append(s.got, received{r.Method, r.Header.Clone(), body})
		if s.answer != nil {
			s.answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// secretURL puts every kind of credential in a server's address.
func secretURL(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path, u.RawQuery = url.UserPassword("svc", thePassword), thePath, "token="+theToken
	return u.String()
}

// webhook makes a webhook with a credential in every place that takes one.
func webhook(t *testing.T, address string, change ...func(*effect.WebhookOptions)) *effect.Webhook {
	t.Helper()
	client, err := effect.NewClient(effect.Dialing{AllowLoopback: true, Setting: "targets.hook.webhook.allowPrivate"})
	if err != nil {
		t.Fatal(err)
	}
	o := effect.WebhookOptions{
		URL: address, Secrets: []string{theSecret}, Headers: map[string]string{"X-Api": theHeader},
		Client: client, UserAgent: "modelwarden/test", Now: func() time.Time { return t0.Add(time.Hour) },
	}
	for _, c := range change {
		c(&o)
	}
	w, err := effect.NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// verify checks a request as the Standard Webhooks specification tells a
// receiver to, and shares no code with the sender.
func verify(t *testing.T, r received, key []byte) bool {
	t.Helper()
	signed := bytes.Join([][]byte{
		[]byte(r.header.Get("webhook-id")), []byte(r.header.Get("webhook-timestamp")), r.body,
	}, []byte("."))
	mac := hmac.New(sha256.New, key)
	mac.Write(signed)
	for _, s := range strings.Split(r.header.Get("webhook-signature"), " ") {
		version, encoded, _ := strings.Cut(s, ",")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if version == "v1" && err == nil && hmac.Equal(got, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

func TestWebhookSendsASignedMessage(t *testing.T) {
	srv := newTarget(t, nil)
	a := action(policy.Retrain)
	out, err := webhook(t, secretURL(t, srv.URL)).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || len(srv.got) != 1 {
		t.Fatalf("%d requests, %v", len(srv.got), err)
	}
	r := srv.got[0]
	for name, want := range map[string]string{
		"webhook-id": a.Key, "Idempotency-Key": a.Key, "webhook-timestamp": strconv.FormatInt(t0.Add(time.Hour).Unix(), 10),
		"Content-Type": "application/json", "User-Agent": "modelwarden/test", "X-Api": theHeader,
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !verify(t, r, []byte("super-secret-signing-key")) {
		t.Error("the signature does not verify")
	}
	var body struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "modelwarden.action.retrain" || !body.Timestamp.Equal(t0) {
		t.Errorf("type %q at %s", body.Type, body.Timestamp)
	}
	for field, want := range map[string]string{
		"id": a.ID, "key": a.Key, "type": "retrain", "policy": a.Policy, "asset": a.Asset, "model": a.Model,
		"window": a.Window, "event": a.Event, "reason": a.Reason, "title": a.Title, "severity": a.Severity,
	} {
		if body.Data[field] != want {
			t.Errorf("data.%s is %v, want %q", field, body.Data[field], want)
		}
	}
	if inputs, ok := body.Data["inputs"].(map[string]any); !ok || inputs["value"] != 0.35 {
		t.Errorf("data.inputs is %v", body.Data["inputs"])
	}
}

// The example of the specification's own libraries.
func TestSignatureMatchesThePublishedExample(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	published := received{
		header: http.Header{
			"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
			"Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		},
		body: []byte(`{"test": 2432232314}`),
	}
	if !verify(t, published, key) {
		t.Fatal("this test's verifier does not accept the published example")
	}
}

func TestWebhookSignsWithBothSecretsDuringRotation(t *testing.T) {
	srv := newTarget(t, nil)
	both := func(o *effect.WebhookOptions) { o.Secrets = []string{theSecret, "old raw secret"} }
	if _, err := webhook(t, srv.URL, both).Do(t.Context(), action(policy.Notify)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"super-secret-signing-key", "old raw secret"} {
		if !verify(t, srv.got[0], []byte(key)) {
			t.Errorf("does not verify with %q", key)
		}
	}
	if verify(t, srv.got[0], []byte("another")) {
		t.Error("verifies with a key that nobody has")
	}
}

func TestUnsignedWebhookHasNoSignature(t *testing.T) {
	srv := newTarget(t, nil)
	none := func(o *effect.WebhookOptions) { o.Secrets = nil }
	if _, err := webhook(t, srv.URL, none).Do(t.Context(), action(policy.Notify)); err != nil {
		t.Fatal(err)
	}
	if _, there := srv.got[0].header["Webhook-Signature"]; there {
		t.Error("an empty signature was sent")
	}
}

func TestEveryAttemptSendsTheSameBodyAndItsOwnTimestamp(t *testing.T) {
	srv := newTarget(t, nil)
	now := t0
	w := webhook(t, srv.URL, func(o *effect.WebhookOptions) { o.Now = func() time.Time { return now } })
	a := action(policy.Retrain)
	for range 2 {
		if _, err := w.Do(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		now, a.Attempts, a.Updated = now.Add(time.Hour), a.Attempts+1, now
	}
	first, second := srv.got[0], srv.got[1]
	if !bytes.Equal(first.body, second.body) || first.header.Get("webhook-id") != second.header.Get("webhook-id") {
		t.Error("a repeat can't be recognised")
	}
	if first.header.Get("webhook-timestamp") == second.header.Get("webhook-timestamp") {
		t.Error("a receiver that checks the timestamp would refuse the second attempt")
	}
}

func TestAnswersAreSortedIntoRetryableAndPermanent(t *testing.T) {
	for _, tc := range []struct {
		name      string
		status    int
		header    map[string]string
		permanent bool
		after     time.Duration
		says      string
	}{
		{name: "request timeout", status: 408},
		{name: "too early", status: 425},
		{name: "too many requests", status: 429},
		{name: "too many, come back in a minute", status: 429, header: map[string]string{"Retry-After": "60"}, after: time.Minute},
		{name: "down until a date", status: 503, header: map[string]string{"Retry-After": t0.Add(time.Hour + 5*time.Minute).Format(http.TimeFormat)}, after: 5 * time.Minute},
		{name: "down for a year, it says", status: 503, header: map[string]string{"Retry-After": "31536000"}, after: time.Hour},
		{name: "nonsense in Retry-After", status: 503, header: map[string]string{"Retry-After": "soon"}},
		{name: "server error", status: 500},
		{name: "bad gateway", status: 502},
		{name: "bad request", status: 400, permanent: true},
		{name: "unauthorized", status: 401, permanent: true},
		{name: "not found", status: 404, permanent: true},
		{name: "gone", status: 410, permanent: true},
		{name: "redirect", status: 307, header: map[string]string{"Location": "https://elsewhere.example/x?token=" + theToken}, permanent: true, says: "redirects are not followed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
				for k, v := range tc.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tc.status)
				// The worst of answers: it repeats what it was sent.
				_, _ = io.WriteString(w, "bad "+r.URL.String()+" "+r.Header.Get("X-Api")+" "+r.Header.Get("Authorization")+" "+theSecret+" "+thePassword)
			})
			out, err := webhook(t, secretURL(t, srv.URL)).Do(t.Context(), action(policy.Retrain))
			assertNoLeak(t, out, err)
			if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after {
				t.Fatalf("got %v: permanent %t, after %s", err, isPermanent(err), retryAfter(err))
			}
			if !strings.Contains(err.Error(), strconv.Itoa(tc.status)) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error does not say %d %q: %v", tc.status, tc.says, err)
			}
			if len(srv.got) != 1 {
				t.Errorf("%d requests in one attempt", len(srv.got))
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	inner := newTarget(t, nil)
	outer := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner.URL, http.StatusPermanentRedirect)
	})
	_, err := webhook(t, outer.URL).Do(t.Context(), action(policy.Retrain))
	if !isPermanent(err) || len(inner.got) != 0 {
		t.Errorf("%d requests reached the redirect's end: %v", len(inner.got), err)
	}
}

func TestHugeAnswersAreReadInPart(t *testing.T) {
	const all = 256 << 20
	sent := make(chan int, 1)
	srv := newTarget(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		written := 0
		for chunk := bytes.Repeat([]byte("x\x1b"), 32<<10); written < all; written += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				break // the reader hung up, as it should
			}
		}
		sent <- written
	})
	_, err := webhook(t, srv.URL).Do(t.Context(), action(policy.Retrain))
	if err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	if written := <-sent; written >= all {
		t.Errorf("all %d bytes were read", written)
	}
}

func TestNetworkFaultsAreRetryableAndTellNothing(t *testing.T) {
	srv := newTarget(t, nil)
	address := secretURL(t, srv.URL)
	srv.Close()
	out, err := webhook(t, address).Do(t.Context(), action(policy.Retrain))
	assertNoLeak(t, out, err)
	if err == nil || isPermanent(err) {
		t.Errorf("a closed port: %v", err)
	}
	if !strings.Contains(err.Error(), "refused") {
		t.Errorf("the error does not say what happened: %v", err)
	}
}

func TestWebhookStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	srv := newTarget(t, func(http.ResponseWriter, *http.Request) { cancel(); <-release })
	defer close(release)
	out, err := webhook(t, secretURL(t, srv.URL)).Do(ctx, action(policy.Retrain))
	assertNoLeak(t, out, err)
	if !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestWebhookRefusesTypesItIsNotFor(t *testing.T) {
	srv := newTarget(t, nil)
	only := func(o *effect.WebhookOptions) { o.Types = []policy.ActionType{policy.Retrain} }
	if _, err := webhook(t, srv.URL, only).Do(t.Context(), action(policy.Rollback)); !isPermanent(err) || len(srv.got) != 0 {
		t.Errorf("%d requests, %v", len(srv.got), err)
	}
}

func TestInputsThatAreNotJSONArePermanent(t *testing.T) {
	a := action(policy.Retrain)
	a.Inputs = map[string]any{"f": func() {}}
	if _, err := webhook(t, "http://127.0.0.1:1").Do(t.Context(), a); !isPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestWrongWebhookOptions(t *testing.T) {
	for name, o := range map[string]effect.WebhookOptions{
		"no url":                 {},
		"no scheme":              {URL: "ci.example/" + theToken},
		"another scheme":         {URL: "ftp://svc:" + thePassword + "@ci.example/"},
		"no host":                {URL: "https:///x?" + theToken},
		"unreadable":             {URL: "https://svc:" + thePassword + "@ci.example:port/%zz"},
		"secret that is no base": {URL: "https://ci.example", Secrets: []string{"whsec_" + thePassword + "!"}},
		"empty secret":           {URL: "https://ci.example", Secrets: []string{""}},
		"header name":            {URL: "https://ci.example", Headers: map[string]string{"a b": theHeader}},
		"header value":           {URL: "https://ci.example", Headers: map[string]string{"a": theHeader + "\r\nx: y"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := effect.NewWebhook(o)
			if err == nil {
				t.Fatal("accepted")
			}
			assertNoLeak(t, policy.Outcome{}, err)
		})
	}
}

func TestSecretsComeFromEnvironmentOrFile(t *testing.T) {
	srv := newTarget(t, nil)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(theSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"NOW": theSecret, "BEFORE": "old raw secret"}[name]
		return v, ok
	}
	for name, w := range map[string]policy.WebhookTarget{
		"environment": {SecretEnv: "NOW"}, "file": {SecretFile: file},
		"rotation": {SecretEnv: "NOW", PreviousSecretEnv: "BEFORE"}, "rotation over": {SecretEnv: "NOW", PreviousSecretEnv: "NOT_SET"},
	} {
		t.Run(name, func(t *testing.T) {
			srv.got = nil
			w.URL = srv.URL
			all, err := effect.New(map[string]policy.Target{"hook": {Webhook: &w}}, effect.Deps{AllowLoopback: true, LookupEnv: env})
			if err != nil {
				t.Fatal(err)
			}
			out, err := all["hook"].Do(t.Context(), action(policy.Retrain))
			assertNoLeak(t, out, err)
			if err != nil || !verify(t, srv.got[0], []byte("super-secret-signing-key")) {
				t.Errorf("not signed with the secret: %v", err)
			}
			if rotating := w.PreviousSecretEnv == "BEFORE"; verify(t, srv.got[0], []byte("old raw secret")) != rotating {
				t.Errorf("signed with the previous secret: %t", !rotating)
			}
		})
	}
}

package ingest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	stranger = "99999999-2222-3333-4444-555555555555"
	audience = "api://modelwarden"
	v1Issuer = "https://sts.windows.net/" + tenant + "/"
	v2Issuer = "https://login.microsoftonline.com/" + tenant + "/v2.0"
)

// Keys are costly to make: one pair serves all tests.
var firstKey, secondKey = sync.OnceValue(generate), sync.OnceValue(generate)

func generate() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // no randomness: no test can go on
	}
	return key
}

// keyServer publishes key sets in place of login.microsoftonline.com.
type keyServer struct {
	mu    sync.Mutex
	keys  map[string]*rsa.PrivateKey
	fault func(*http.Request) (*http.Response, error) // instead of the keys
	asked atomic.Int64
}

func newKeyServer() *keyServer {
	return &keyServer{keys: map[string]*rsa.PrivateKey{"first": firstKey()}}
}

func (k *keyServer) publish(keys map[string]*rsa.PrivateKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
}

func (k *keyServer) breakWith(fault func(*http.Request) (*http.Response, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = fault
}

// RoundTrip implements http.RoundTripper.
func (k *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	k.asked.Add(1)
	k.mu.Lock()
	fault, text := k.fault, k.json()
	k.mu.Unlock()
	if fault != nil {
		return fault(r)
	}
	if !strings.HasSuffix(r.URL.Path, "/"+tenant+"/discovery/v2.0/keys") {
		return respond(http.StatusNotFound, ""), nil
	}
	return respond(http.StatusOK, text), nil
}

// json also holds what a real set may hold and we must pass over.
func (k *keyServer) json() string {
	set := []any{
		map[string]string{"kty": "FUTURE", "kid": "odd"},
		map[string]string{"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
		jose.JSONWebKey{KeyID: "encryption", Key: secondKey().Public(), Use: "enc"},
	}
	for id, key := range k.keys {
		set = append(set, jose.JSONWebKey{KeyID: id, Key: key.Public(), Use: "sig"})
	}
	text, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}
}

func newEntra(t testing.TB, o ingest.EntraOptions) *ingest.EntraAuthenticator {
	t.Helper()
	if o.Tenants == nil {
		o.Tenants = []string{tenant}
	}
	if o.Audiences == nil {
		o.Audiences = []string{audience}
	}
	a, err := ingest.Entra(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// claims of a good v2 token, changed by the given ones; nil removes one.
func claimsWith(now time.Time, changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": v2Issuer, "aud": audience, "tid": tenant, "azp": ingest.AppEventGrid,
		"roles": []string{"Other.Role", ingest.DefaultRole},
		"iat":   now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "ver": "2.0",
	}
	maps.Copy(c, changes)
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token is a good one, signed with the first key.
func token(t testing.TB, now time.Time, changes map[string]any) string {
	t.Helper()
	return sign(t, jose.RS256, firstKey(), "first", claimsWith(now, changes))
}

func bearing(token string) *http.Request {
	return request(http.MethodPost, gridEvent("a"), "Authorization", "Bearer "+token)
}

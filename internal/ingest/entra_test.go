package ingest_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

func TestEntraJudgesTokens(t *testing.T) {
	v1 := map[string]any{"iss": v1Issuer, "appid": ingest.AppEventGrid, "azp": nil, "ver": "1.0"}
	with := func(name string, value any) map[string]any { return map[string]any{name: value} }
	in := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	tests := []struct {
		name    string
		changes map[string]any
		status  int
		reason  string
	}{
		{"v2", nil, 0, ""},
		{"v1", v1, 0, ""},
		{"audience in an array", with("aud", []string{"x", audience}), 0, ""},
		{"application in upper case", with("azp", strings.ToUpper(ingest.AppEventGrid)), 0, ""},
		{"expired within the leeway", with("exp", in(-4*time.Minute)), 0, ""},
		{"early within the leeway", with("nbf", in(4*time.Minute)), 0, ""},
		{"no nbf", with("nbf", nil), 0, ""},
		{"times with fractions", with("exp", float64(in(time.Hour))+0.5), 0, ""},

		{"expired", with("exp", in(-5*time.Minute)), 401, "token_expired"},
		{"no expiry", with("exp", nil), 401, "token_expired"},
		{"not yet valid", with("nbf", in(5*time.Minute+time.Second)), 401, "token_not_yet"},
		{"another audience", with("aud", "api://other"), 401, "token_audience"},
		{"no audience", with("aud", nil), 401, "token_audience"},
		{"another issuer", with("iss", "https://accounts.google.com"), 401, "token_issuer"},
		{"another tenant's issuer", with("iss", strings.Replace(v2Issuer, tenant, stranger, 1)), 401, "token_issuer"},
		{"v1 issuer without its slash", with("iss", strings.TrimSuffix(v1Issuer, "/")), 401, "token_issuer"},
		{"no issuer", with("iss", nil), 401, "token_issuer"},
		{"another tenant", with("tid", stranger), 403, "token_tenant"},
		{"no tenant", with("tid", nil), 403, "token_tenant"},
		{"another application", with("azp", stranger), 403, "token_application"},
		{"no application", with("azp", nil), 403, "token_application"},
		{"without the role", with("roles", []string{"Other.Role"}), 403, "token_role"},
		{"no roles", with("roles", nil), 403, "token_role"},
		{"roles of a wrong type", with("roles", 7), 401, "token_malformed"},
	}
	a := newEntra(t, ingest.EntraOptions{Transport: newKeyServer(), Now: func() time.Time { return noon }})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := a.Authenticate(bearing(token(t, noon, tt.changes)))
			wantStatus(t, err, tt.status)
			wantReason(t, err, tt.reason)
		})
	}
}

func wantReason(t testing.TB, err error, reason string) {
	t.Helper()
	var auth *ingest.AuthError
	if errors.As(err, &auth) && auth.Reason != reason {
		t.Errorf("reason %s (%s), want %s", auth.Reason, auth.Detail, reason)
	}
}

func TestEntraRefusesForgeries(t *testing.T) {
	good := token(t, noon, nil)
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"first"}`))
	public := publicPEM(t)
	tests := []struct {
		name, token, reason string
	}{
		{"alg none", none + "." + parts[1] + ".", "token_malformed"},
		{"alg none with a signature", none + "." + parts[1] + "." + parts[2], "token_malformed"},
		{"HS256 with the public key", sign(t, jose.HS256, public, "first", claimsWith(noon, nil)), "token_malformed"},
		{"RS512", sign(t, jose.RS512, firstKey(), "first", claimsWith(noon, nil)), "token_malformed"},
		{"another's key under a known id", sign(t, jose.RS256, secondKey(), "first", claimsWith(noon, nil)), "token_signature"},
		{"symmetric key of the set", sign(t, jose.RS256, secondKey(), "symmetric", claimsWith(noon, nil)), "token_key"},
		{"encryption key of the set", sign(t, jose.RS256, secondKey(), "encryption", claimsWith(noon, nil)), "token_key"},
		{"no key id", sign(t, jose.RS256, firstKey(), "", claimsWith(noon, nil)), "token_key"},
		{"payload of another token", parts[0] + "." + strings.Split(token(t, noon, map[string]any{"azp": stranger}), ".")[1] +
			"." + parts[2], "token_signature"},
		{"two parts", parts[0] + "." + parts[1], "token_malformed"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			"token_malformed"},
		{"garbage", "hello", "token_malformed"},
		{"well signed but very long", token(t, noon, map[string]any{"pad": strings.Repeat("A", 20<<10)}), "token_malformed"},
	}
	a := newEntra(t, ingest.EntraOptions{Transport: newKeyServer(), Now: func() time.Time { return noon }})
	wantStatus(t, a.Authenticate(bearing(good)), 0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Each on its own key set: an unknown key id may ask only now and then.
			a := newEntra(t, ingest.EntraOptions{Transport: newKeyServer(), Now: func() time.Time { return noon }})
			err := a.Authenticate(bearing(tt.token))
			wantStatus(t, err, 401)
			wantReason(t, err, tt.reason)
		})
	}
	wantReason(t, a.Authenticate(request("POST", "")), "missing")
}

func publicPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(firstKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestEntraIsConfigurable(t *testing.T) {
	now := func() time.Time { return noon }
	alerts := newEntra(t, ingest.EntraOptions{
		Applications: []string{ingest.AppActionGroup}, Roles: []string{"ActionGroupsSecureWebhook"},
		Leeway: time.Second, Transport: newKeyServer(), Now: now})
	good := map[string]any{"azp": ingest.AppActionGroup, "roles": []string{"ActionGroupsSecureWebhook"}}
	wantStatus(t, alerts.Authenticate(bearing(token(t, noon, good))), 0)
	wantStatus(t, alerts.Authenticate(bearing(token(t, noon, nil))), 403)
	good["exp"] = noon.Add(-2 * time.Second).Unix()
	wantStatus(t, alerts.Authenticate(bearing(token(t, noon, good))), 401)
}

func TestEntraOptionsThatCanNotWork(t *testing.T) {
	tests := map[string]ingest.EntraOptions{
		"no tenant":     {Audiences: []string{audience}},
		"no audience":   {Tenants: []string{tenant}},
		"must be https": {Tenants: []string{tenant}, Audiences: []string{audience}, Authority: "http://login.example:80"},
		"not a URL":     {Tenants: []string{tenant}, Audiences: []string{audience}, STS: "sts"},
	}
	for want, o := range tests {
		if _, err := ingest.Entra(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Over a real socket, with the default client, as an operator would point it
// at an emulator.
func TestEntraFetchesKeysOverHTTP(t *testing.T) {
	keys := newKeyServer()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+tenant+"/discovery/v2.0/keys" {
			http.Redirect(w, r, "/"+tenant+"/discovery/v2.0/keys", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(keys.json()))
	}))
	defer server.Close()
	a := newEntra(t, ingest.EntraOptions{Authority: server.URL, Now: func() time.Time { return noon }})
	issuer := map[string]any{"iss": server.URL + "/" + tenant + "/v2.0"}
	wantStatus(t, a.Authenticate(bearing(token(t, noon, issuer))), 0)
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	huge := newEntra(t, ingest.EntraOptions{Transport: transport(func(*http.Request) (*http.Response, error) {
		return respond(200, `{"pad":"`+strings.Repeat(" ", 2<<20)+`"}`), nil
	})})
	if err := huge.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("read a huge key set: %v", err)
	}
	redirected := newEntra(t, ingest.EntraOptions{Authority: server.URL, Tenants: []string{stranger}})
	if err := redirected.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("followed a redirect: %v", err)
	}
}

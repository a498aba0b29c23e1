package identity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/modelwarden/modelwarden/internal/azure/identity"
)

// recorder answers every token request and keeps what was asked.
type recorder struct{ asked []*http.Request }

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.ParseForm()
	}
	r.asked = append(r.asked, req)
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	switch {
	case strings.Contains(req.URL.Path, "discovery/instance"):
		_, _ = rec.WriteString(`{"tenant_discovery_endpoint":"https://login.example/t/v2.0/.well-known/openid-configuration","metadata":[]}`)
	case strings.Contains(req.URL.Path, "openid-configuration"):
		_, _ = rec.WriteString(`{"issuer":"https://login.example/t/v2.0","token_endpoint":"https://login.example/t/oauth2/v2.0/token","authorization_endpoint":"https://login.example/t/oauth2/v2.0/authorize"}`)
	default:
		_, _ = rec.WriteString(`{"access_token":"token","expires_in":"3600","expires_on":"4102444800","token_type":"Bearer","resource":"https://servicebus.azure.net"}`)
	}
	res := rec.Result()
	res.Request = req
	return res, nil
}

func token(t *testing.T, o identity.Options) *recorder {
	t.Helper()
	r := &recorder{}
	o.Transport = r
	c, err := identity.New(o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://servicebus.azure.net/.default"}})
	if err != nil || got.Token != "token" {
		t.Fatalf("token %q, %v", got.Token, err)
	}
	return r
}

func TestManagedIdentityAsksTheMachineForTheNamedIdentity(t *testing.T) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "") // registers the restore
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	// The library remembers an identity's token for the life of the process: a
	// repeat of this test has to be another's.
	id := fmt.Sprintf("11111111-2222-3333-4444-%012d", time.Now().UnixNano()%1e12)
	r := token(t, identity.Options{Kind: identity.Managed, ClientID: id})
	last := r.asked[len(r.asked)-1]
	if last.URL.Host != "169.254.169.254" || last.URL.Query().Get("client_id") != id {
		t.Errorf("asked %s", last.URL)
	}
}

func TestWorkloadIdentityShowsTheServiceAccountsToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("service-account"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	r := token(t, identity.Options{Kind: identity.Workload, ClientID: "app", TenantID: "t", Authority: "https://login.example"})
	last := r.asked[len(r.asked)-1]
	if last.URL.Host != "login.example" || last.Form.Get("client_assertion") != "service-account" || last.Form.Get("client_id") != "app" {
		t.Errorf("asked %s with %v", last.URL, last.Form)
	}
}

func TestWorkloadIdentityNeedsItsTokenFile(t *testing.T) {
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	if err := os.Unsetenv("AZURE_FEDERATED_TOKEN_FILE"); err != nil {
		t.Fatal(err)
	}
	_, err := identity.New(identity.Options{Kind: identity.Workload, ClientID: "app", TenantID: "t"})
	if err == nil || !strings.Contains(err.Error(), "workloadIdentity") || !strings.Contains(err.Error(), "token file") {
		t.Errorf("got %v", err)
	}
}

func TestNoIdentityIsGuessed(t *testing.T) {
	for _, kind := range []identity.Kind{"", "cli", "ManagedIdentity"} {
		if _, err := identity.New(identity.Options{Kind: kind}); err == nil || !strings.Contains(err.Error(), "managedIdentity") {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

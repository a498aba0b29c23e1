package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Application ids of Azure services that call webhooks with an Entra token
// (https://learn.microsoft.com/azure/event-grid/secure-webhook-delivery,
// https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups).
const (
	AppEventGrid           = "4962773b-9cdb-44cf-a8bf-237846a00ab7"
	AppEventGridGovernment = "54316b56-3481-47f9-8f30-0300f5542a7b"
	AppActionGroup         = "461e8683-5575-4561-ac7f-899cc907d62a"
)

// Defaults of EntraOptions.
const (
	DefaultRole      = "AzureEventGridSecureWebhookSubscriber"
	DefaultAuthority = "https://login.microsoftonline.com"
	DefaultSTS       = "https://sts.windows.net"
	// DefaultLeeway is what Microsoft's own libraries allow for clocks.
	DefaultLeeway = 5 * time.Minute
)

// maxToken is in bytes; Entra's tokens with many groups reach a few KiB.
const maxToken = 16 << 10

// EntraOptions configure Entra. Tenants and Audiences are required.
type EntraOptions struct {
	// Tenants are the ids of the tenants whose tokens are accepted.
	Tenants []string
	// Audiences are accepted in `aud`: the application id of the app
	// registration that stands for this service, its URI, or both.
	Audiences []string
	// Applications are the callers accepted in `appid` (v1) or `azp` (v2).
	// The role alone proves little: whoever may write event subscriptions
	// holds it too. Defaults to AppEventGrid.
	Applications []string
	// Roles: the token must carry one of them. Defaults to DefaultRole. An
	// action group carries the role of your own app registration.
	Roles []string
	// Authority is the host of v2 issuers and of the keys
	// (<authority>/<tenant>/discovery/v2.0/keys). Defaults to
	// DefaultAuthority; https://login.microsoftonline.us for Azure
	// Government, https://login.partner.microsoftonline.cn for China.
	Authority string
	// STS is the host of v1 issuers (<sts>/<tenant>/). Defaults to
	// DefaultSTS; https://sts.chinacloudapi.cn for China.
	STS string
	// Leeway is allowed on exp and nbf. Defaults to DefaultLeeway.
	Leeway time.Duration
	// Transport fetches keys. Defaults to http.DefaultTransport.
	Transport http.RoundTripper
	// Now defaults to time.Now.
	Now func() time.Time
}

// EntraAuthenticator verifies Entra ID access tokens; see Entra.
type EntraAuthenticator struct {
	options EntraOptions
	issuers map[string]issuer // by `iss`
	tenants []*keySet
}

// issuer is one of a tenant's two names; both sign with the same keys.
type issuer struct {
	name, tenant string
	keys         *keySet
}

// Entra returns an Authenticator for the tokens that Event Grid and action
// groups bring (https://learn.microsoft.com/entra/identity-platform/access-tokens):
// RS256, an issuer of one of the tenants, a signature by that tenant's keys,
// exp and nbf, audience, tenant, calling application, role. It does no I/O;
// keys are fetched when the first token comes, or by Check.
func Entra(o EntraOptions) (*EntraAuthenticator, error) {
	if len(o.Tenants) == 0 || slices.Contains(o.Tenants, "") {
		return nil, errors.New("entra: no tenant id: tokens of which tenant would be accepted?")
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		return nil, errors.New("entra: no audience: name the application id of this service's app registration")
	}
	o = o.withDefaults()
	authority, err := baseURL(o.Authority)
	if err != nil {
		return nil, fmt.Errorf("entra: authority %w", err)
	}
	sts, err := baseURL(o.STS)
	if err != nil {
		return nil, fmt.Errorf("entra: STS %w", err)
	}
	a := &EntraAuthenticator{options: o, issuers: make(map[string]issuer)}
	client := newKeyClient(o.Transport)
	for _, tenant := range o.Tenants {
		tenant = strings.ToLower(tenant)
		keys := newKeySet(authority+"/"+url.PathEscape(tenant)+"/discovery/v2.0/keys", client, o.Now)
		a.tenants = append(a.tenants, keys)
		for _, name := range []string{sts + "/" + tenant + "/", authority + "/" + tenant + "/v2.0"} {
			a.issuers[name] = issuer{name, tenant, keys}
		}
	}
	return a, nil
}

func (o EntraOptions) withDefaults() EntraOptions {
	o.Authority = orDefault(o.Authority, DefaultAuthority)
	o.STS = orDefault(o.STS, DefaultSTS)
	o.Leeway = orDefault(o.Leeway, DefaultLeeway)
	if len(o.Applications) == 0 {
		o.Applications = []string{AppEventGrid}
	}
	if len(o.Roles) == 0 {
		o.Roles = []string{DefaultRole}
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// baseURL accepts https, and http to loopback for tests and emulators.
func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%q is not a URL like %s", text, DefaultAuthority)
	}
	local := u.Scheme == "http" && !RequiresAuth(u.Host)
	if u.Scheme != "https" && !local {
		return "", fmt.Errorf("%q must be https: keys that come unprotected prove nothing", text)
	}
	return strings.TrimRight(text, "/"), nil
}

// Check fetches every tenant's keys now: for `check --connect`, and at start so
// that the first event does not wait for them.
func (a *EntraAuthenticator) Check(ctx context.Context) error {
	var all error
	for _, keys := range a.tenants {
		all = errors.Join(all, keys.load(ctx))
	}
	return all
}

// Authenticate implements Authenticator.
func (a *EntraAuthenticator) Authenticate(r *http.Request) error {
	raw := bearer(r)
	if raw == "" {
		return unauthenticated(reasonMissing, "This service asks for an Entra ID token in the Authorization header.")
	}
	by, err := a.signer(r.Context(), raw)
	if err != nil {
		return err
	}
	c, err := by.verify(r.Context(), raw)
	if err != nil {
		return err
	}
	return a.judge(c, by.tenant)
}

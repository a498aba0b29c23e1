package ingest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// signer is who a token says to come from, with that issuer's key for it.
type signer struct {
	issuer
	key *rsa.PublicKey
}

// signer reads, without believing it, who issued the token, and finds the
// key. Only the names of configured issuers lead to a fetch. Its errors are
// *AuthError.
func (a *EntraAuthenticator) signer(ctx context.Context, raw string) (*signer, error) {
	if len(raw) > maxToken {
		return nil, unauthenticated("token_malformed", "The token is too long.")
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, unauthenticated("token_malformed", "The token is not a JWT signed with RS256.")
	}
	var claimed struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claimed) != nil {
		return nil, unauthenticated("token_malformed", "The token's claims are not JSON.")
	}
	from, known := a.issuers[claimed.Issuer]
	if !known {
		return nil, unauthenticated("token_issuer", "The token's issuer is not one of the configured tenants.")
	}
	key, err := from.keys.find(ctx, jws.Signatures[0].Header.KeyID)
	switch {
	case errors.Is(err, errUnknownKey):
		return nil, unauthenticated("token_key", "The token is signed with a key that its issuer does not publish.")
	case err != nil:
		return nil, unavailable("keys_unavailable",
			"The issuer's keys could not be had, so the token could not be checked. Send the request again.", err)
	}
	return &signer{from, key}, nil
}

// claims of an Entra access token that count here.
type claims struct {
	Tenant string   `json:"tid"`
	AppID  string   `json:"appid"` // v1
	Azp    string   `json:"azp"`   // v2
	Roles  []string `json:"roles"`
	Expiry float64  `json:"exp"` // seconds since 1970
	Before float64  `json:"nbf"`
	// Audience comes from the verifier, which knows both of its shapes.
	Audience []string `json:"-"`
}

// verify checks algorithm, signature and issuer by go-oidc. The rest it can't
// do the way we need it: it has no leeway on exp and takes one audience.
func (s *signer) verify(ctx context.Context, raw string) (*claims, error) {
	verifier := oidc.NewVerifier(s.name, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{s.key}}, &oidc.Config{
		SupportedSigningAlgs: []string{oidc.RS256},
		SkipClientIDCheck:    true,
		SkipExpiryCheck:      true,
	})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, unauthenticated("token_signature", "The token's signature is wrong.")
	}
	c := &claims{Audience: token.Audience}
	if token.Claims(c) != nil {
		return nil, unauthenticated("token_malformed", "The token's claims have unexpected types.")
	}
	return c, nil
}

// judge decides on a genuine token: 401 where it is not a credential for this
// service now, 403 where it names a caller that may not call.
func (a *EntraAuthenticator) judge(c *claims, tenant string) error {
	now, leeway := a.options.Now(), a.options.Leeway
	caller := orDefault(c.AppID, c.Azp)
	switch {
	case !now.Before(unix(c.Expiry).Add(leeway)):
		return unauthenticated("token_expired", "The token has expired.")
	case now.Before(unix(c.Before).Add(-leeway)):
		return unauthenticated("token_not_yet", "The token is not valid yet. Are both clocks right?")
	case !overlap(a.options.Audiences, c.Audience):
		return unauthenticated("token_audience", "The token is for another audience.")
	case !strings.EqualFold(c.Tenant, tenant):
		return forbidden("token_tenant", "The token's tenant is not the one that issued it.")
	case !containsFold(a.options.Applications, caller):
		return forbidden("token_application", "The calling application is not one that may send events here.")
	case !overlap(a.options.Roles, c.Roles):
		return forbidden("token_role", "The calling application does not have the role that sending events needs.")
	}
	return nil
}

// unix rounds to seconds; a value beyond any date is as good as the last one.
func unix(seconds float64) time.Time {
	const year9999 = 253402300799
	return time.Unix(int64(min(max(seconds, 0), year9999)), 0)
}

func overlap(accepted, present []string) bool {
	return slices.ContainsFunc(present, func(s string) bool { return slices.Contains(accepted, s) })
}

func containsFold(accepted []string, s string) bool {
	return slices.ContainsFunc(accepted, func(a string) bool { return strings.EqualFold(a, s) })
}

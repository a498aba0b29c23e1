package app

import (
	"errors"
	"fmt"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

// access is who may do what, as the configuration and environment say.
type access struct {
	events, alerts ingest.Authenticator
	tokens         []string
	loopback       bool
}

// minToken is the shortest API token, in bytes.
const minToken = 16

// newAccess builds the authenticators. Outside loopback it refuses to leave
// anything open.
func newAccess(c *Config, getenv func(string) string) (*access, error) {
	a := &access{loopback: !ingest.RequiresAuth(c.Listen)}
	events, alerts, err := webhookAuth(c.Auth, getenv)
	if err != nil {
		return nil, err
	}
	if a.tokens, err = apiTokens(c.API, getenv); err != nil {
		return nil, err
	}
	a.events, a.alerts = events, alerts
	if a.events == nil {
		if !a.loopback && c.hasRole(RoleSubscriber) {
			return nil, fmt.Errorf("listen: %s is reachable from outside, and nobody who posts events is authenticated: set auth.secretEnv, auth.secretFile or auth.entra, or listen on 127.0.0.1", c.Listen)
		}
		a.events, a.alerts = ingest.None(), ingest.None()
	}
	if len(a.tokens) == 0 && !a.loopback {
		return nil, fmt.Errorf("listen: %s is reachable from outside, and the API needs no token: set api.tokenEnv, api.tokenFile or MODELWARDEN_API_TOKEN, or listen on 127.0.0.1", c.Listen)
	}
	return a, nil
}

// webhookAuth builds what lets event senders in; nil when nothing is
// configured.
func webhookAuth(c AuthConfig, getenv func(string) string) (events, alerts ingest.Authenticator, err error) {
	var forEvents, forAlerts []ingest.Authenticator
	secret, err := sharedSecret(c, getenv)
	if err != nil {
		return nil, nil, err
	}
	if secret != nil {
		forEvents, forAlerts = append(forEvents, secret), append(forAlerts, secret)
	}
	if c.Entra != nil {
		e, err := ingest.Entra(c.Entra.options(c.Entra.Applications, c.Entra.Roles))
		if err != nil {
			return nil, nil, fmt.Errorf("auth.entra: %w", err)
		}
		forEvents = append(forEvents, e)
		if len(c.Entra.AlertRoles) > 0 {
			apps := c.Entra.AlertApplications
			if len(apps) == 0 {
				apps = []string{ingest.AppActionGroup}
			}
			if e, err = ingest.Entra(c.Entra.options(apps, c.Entra.AlertRoles)); err != nil {
				return nil, nil, fmt.Errorf("auth.entra: alerts: %w", err)
			}
		}
		forAlerts = append(forAlerts, e)
	}
	if len(forEvents) == 0 {
		return nil, nil, nil
	}
	return ingest.AnyOf(forEvents...), ingest.AnyOf(forAlerts...), nil
}

func (e *EntraConfig) options(apps, roles []string) ingest.EntraOptions {
	return ingest.EntraOptions{
		Tenants: e.Tenants, Audiences: e.Audiences, Applications: apps, Roles: roles, Authority: e.Authority, STS: e.STS,
	}
}

func sharedSecret(c AuthConfig, getenv func(string) string) (ingest.Authenticator, error) {
	present, err := secretOf("auth.secret", c.SecretEnv, c.SecretFile, "MODELWARDEN_SECRET", getenv)
	if err != nil {
		return nil, err
	}
	previous, err := secretOf("auth.previousSecret", c.PreviousSecretEnv, c.PreviousSecretFile, "MODELWARDEN_PREVIOUS_SECRET", getenv)
	if err != nil {
		return nil, err
	}
	switch {
	case present == "" && previous == "":
		return nil, nil
	case present == "":
		return nil, errors.New("auth: a previous secret is set, and no present one")
	}
	secrets := []string{present}
	if previous != "" {
		secrets = append(secrets, previous)
	}
	return ingest.SharedSecret(ingest.SecretOptions{Secrets: secrets})
}

func apiTokens(c APIConfig, getenv func(string) string) ([]string, error) {
	var out []string
	present, err := secretOf("api.token", c.TokenEnv, c.TokenFile, "MODELWARDEN_API_TOKEN", getenv)
	if err != nil {
		return nil, err
	}
	previous, err := secretOf("api.previousToken", c.PreviousTokenEnv, c.PreviousTokenFile, "", getenv)
	if err != nil {
		return nil, err
	}
	for _, t := range []string{present, previous} {
		if t == "" {
			continue
		}
		if len(t) < minToken {
			return nil, fmt.Errorf("api: a token has %d bytes, at least %d are needed", len(t), minToken)
		}
		out = append(out, t)
	}
	return out, nil
}

package app

import (
	"fmt"

	"github.com/modelwarden/modelwarden/internal/azure/identity"
)

// credentials gives the service's Azure identity to whoever has no key of its
// own. It is made when first asked for, so that a service without Azure needs
// none.
type credentials struct {
	config AzureConfig
	getenv func(string) string
	made   identity.Credential
}

func newCredentials(c AzureConfig, getenv func(string) string) *credentials {
	return &credentials{config: c, getenv: getenv}
}

// get makes the credential for the setting that needs it.
func (c *credentials) get(setting string) (identity.Credential, error) {
	if c.made != nil {
		return c.made, nil
	}
	if c.config.Identity == "" {
		return nil, fmt.Errorf("%s: has no key, and azure.identity is missing: write managedIdentity, workloadIdentity, or developer on a workstation", setting)
	}
	made, err := identity.New(identity.Options{
		Kind: identity.Kind(c.config.Identity), ClientID: c.config.ClientID, TenantID: c.config.TenantID, Authority: c.config.Authority,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: azure.identity: %w", setting, err)
	}
	c.made = made
	return made, nil
}

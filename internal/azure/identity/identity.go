// Package identity is who the service is towards Azure: one credential, named
// in the configuration, never guessed. A chain that tries one kind after the
// other is for workstations alone: in production it makes failures slow and
// their messages misleading ("Credential chains in the Azure Identity library
// for Go", Microsoft Learn).
package identity

import (
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Kind names a kind of identity.
type Kind string

// Kinds of identity.
const (
	// Managed is the identity of the machine, container app or function.
	Managed Kind = "managedIdentity"
	// Workload is a Kubernetes service account that is federated with an
	// application or user-assigned identity.
	Workload Kind = "workloadIdentity"
	// Developer is whatever this workstation is signed in with.
	Developer Kind = "developer"
)

// Credential gives tokens to the adapters of Azure services.
type Credential = azcore.TokenCredential

// Options say which identity is meant.
type Options struct {
	Kind Kind
	// ClientID names a user-assigned identity (Managed) or the application
	// (Workload). Defaults to the system-assigned identity, or to what the
	// environment variable AZURE_CLIENT_ID says (Workload).
	ClientID string
	// TenantID is for Workload and Developer. Defaults to what
	// AZURE_TENANT_ID says, or to the home tenant.
	TenantID string
	// Authority is for sovereign clouds. Defaults to the public cloud's.
	Authority string
	// Transport is for tests. Defaults to HTTP.
	Transport policy.Transporter
}

// New makes the credential. It asks nobody yet; a wrong identity shows at the
// first token.
func New(o Options) (Credential, error) {
	client := azcore.ClientOptions{Transport: o.Transport}
	if o.Authority != "" {
		client.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: o.Authority}
	}
	var c Credential
	var err error
	switch o.Kind {
	case Managed:
		m := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: client}
		if o.ClientID != "" {
			m.ID = azidentity.ClientID(o.ClientID)
		}
		c, err = azidentity.NewManagedIdentityCredential(m)
	case Workload:
		c, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: client, ClientID: o.ClientID, TenantID: o.TenantID,
		})
	case Developer:
		c, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: client, TenantID: o.TenantID})
	default:
		return nil, fmt.Errorf("%q is no kind of identity: want %s, %s or %s", o.Kind, Managed, Workload, Developer)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Kind, err)
	}
	return c, nil
}

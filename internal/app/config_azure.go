package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// QueueConfig chooses the queue. Without any of it the queue is embedded.
type QueueConfig struct {
	ServiceBus ServiceBusConfig `yaml:"serviceBus,omitempty" envPrefix:"SERVICEBUS_"`
}

// ServiceBusConfig is a queue of Azure Service Bus.
type ServiceBusConfig struct {
	// Namespace is its host, as contoso.servicebus.windows.net. Not needed
	// with a connection string.
	Namespace string `yaml:"namespace,omitempty" env:"NAMESPACE"`
	// Queue is the queue's name. Defaults to DefaultQueue.
	Queue string `yaml:"queue,omitempty" env:"QUEUE"`
	// ConnectionStringEnv and ConnectionStringFile name where a connection
	// string is, for development; elsewhere use an identity. Environment:
	// MODELWARDEN_SERVICEBUS_CONNECTION_STRING sets the string itself.
	ConnectionStringEnv  string `yaml:"connectionStringEnv,omitempty" env:"CONNECTION_STRING_ENV"`
	ConnectionStringFile string `yaml:"connectionStringFile,omitempty" env:"CONNECTION_STRING_FILE"`
	// Receivers is how many links receive side by side. Defaults to 4.
	Receivers int `yaml:"receivers,omitempty" env:"RECEIVERS"`
	// connected is set when a connection string is given by variable.
	connected bool
	// Prefetch is how many messages a link fetches ahead. Their locks run
	// while they wait. Defaults to 0.
	Prefetch int `yaml:"prefetch,omitempty" env:"PREFETCH"`
}

// DefaultQueue is the queue's name where none is configured.
const DefaultQueue = "modelwarden-events"

func (c ServiceBusConfig) name() string { return cmp.Or(c.Queue, DefaultQueue) }

// queueEmbedded says that the queue is in the data folder.
func (c *Config) queueEmbedded() bool {
	sb := c.Queue.ServiceBus
	return sb.Namespace == "" && sb.ConnectionStringEnv == "" && sb.ConnectionStringFile == "" && !sb.connected
}

// StoreConfig chooses the store. Without any of it the store is embedded.
type StoreConfig struct {
	Cosmos CosmosConfig `yaml:"cosmos,omitempty" envPrefix:"COSMOS_"`
}

// CosmosConfig is a container of Azure Cosmos DB for NoSQL.
type CosmosConfig struct {
	// Endpoint is the account's address, as https://contoso.documents.azure.com.
	Endpoint string `yaml:"endpoint,omitempty" env:"ENDPOINT"`
	// Database defaults to modelwarden, Container to records.
	Database  string `yaml:"database,omitempty" env:"DATABASE"`
	Container string `yaml:"container,omitempty" env:"CONTAINER"`
	// KeyEnv and KeyFile name where an account key is, for development;
	// elsewhere use an identity. Environment: MODELWARDEN_COSMOS_KEY sets the
	// key itself.
	KeyEnv  string `yaml:"keyEnv,omitempty" env:"KEY_ENV"`
	KeyFile string `yaml:"keyFile,omitempty" env:"KEY_FILE"`
}

// AzureConfig is who the service is in Azure.
type AzureConfig struct {
	// Identity is managedIdentity, workloadIdentity (Kubernetes), or developer
	// (whatever this workstation is signed in with). No default: needed as
	// soon as an Azure service is configured without a key of its own.
	Identity string `yaml:"identity,omitempty" env:"IDENTITY"`
	// ClientID names a user-assigned managed identity, or the application of a
	// workload identity. Defaults to the system-assigned identity, or to what
	// AZURE_CLIENT_ID says.
	ClientID string `yaml:"clientId,omitempty" env:"CLIENT_ID"`
	// TenantID is for workload and developer identities. Defaults to what
	// AZURE_TENANT_ID says, or to the home tenant.
	TenantID string `yaml:"tenantId,omitempty" env:"TENANT_ID"`
	// Authority is for sovereign clouds. Defaults to
	// https://login.microsoftonline.com/.
	Authority string `yaml:"authority,omitempty" env:"AUTHORITY"`
}

// PullConfig is an event subscription of an Event Grid namespace that the
// subscriber role pulls from. Without an endpoint nothing is pulled.
type PullConfig struct {
	// Endpoint is the namespace's address, as
	// https://contoso.westeurope-1.eventgrid.azure.net.
	Endpoint string `yaml:"endpoint,omitempty" env:"ENDPOINT"`
	// Topic and Subscription are their names.
	Topic        string `yaml:"topic,omitempty" env:"TOPIC"`
	Subscription string `yaml:"subscription,omitempty" env:"SUBSCRIPTION"`
	// KeyEnv and KeyFile name where an access key is. Environment:
	// MODELWARDEN_PULL_KEY sets the key itself. Defaults to the identity.
	KeyEnv  string `yaml:"keyEnv,omitempty" env:"KEY_ENV"`
	KeyFile string `yaml:"keyFile,omitempty" env:"KEY_FILE"`
	// Batch is how many events are asked for at once, 1 to 100. Defaults to
	// 100.
	Batch int `yaml:"batch,omitempty" env:"BATCH"`
	// Wait is how long the service waits for a first event, 10s to 2m.
	// Defaults to 1m.
	Wait policy.Duration `yaml:"wait,omitempty" env:"WAIT"`
}

// PublishConfig is an Event Grid topic that the service's own changes are
// published to, as CloudEvents. Without an endpoint nothing is published.
type PublishConfig struct {
	// Endpoint is the topic's, as
	// https://contoso.westeurope-1.eventgrid.azure.net/api/events.
	Endpoint string `yaml:"endpoint,omitempty" env:"ENDPOINT"`
	// KeyEnv and KeyFile name where an access key is. Environment:
	// MODELWARDEN_PUBLISH_KEY sets the key itself. Defaults to the identity.
	KeyEnv  string `yaml:"keyEnv,omitempty" env:"KEY_ENV"`
	KeyFile string `yaml:"keyFile,omitempty" env:"KEY_FILE"`
	// Types are the changes to publish. Default to all:
	// Modelwarden.Decision.Made, .Action.Performed, .Review.Changed and
	// .Stage.Changed.
	Types []policy.ChangeType `yaml:"types,omitempty" env:"TYPES"`
	// Source is the CloudEvents source of what is published. Defaults to
	// /modelwarden.
	Source string `yaml:"source,omitempty" env:"SOURCE"`
}

// Identities that AzureConfig.Identity may name.
var identities = []string{"managedIdentity", "workloadIdentity", "developer"}

// validateAzure finds what can be wrong without asking anybody.
func (c *Config) validateAzure() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Azure.Identity != "" && !slices.Contains(identities, c.Azure.Identity) {
		fail("azure.identity: %q: want one of %s", c.Azure.Identity, strings.Join(identities, ", "))
	}
	if sb := c.Queue.ServiceBus; strings.Contains(sb.Namespace, "/") || strings.Contains(sb.Namespace, "=") {
		fail("queue.serviceBus.namespace: want the host alone, as contoso.servicebus.windows.net")
	} else if sb.Receivers < 0 || sb.Prefetch < 0 {
		fail("queue.serviceBus: receivers and prefetch can't be negative")
	}
	for _, e := range []struct{ setting, address string }{
		{"store.cosmos.endpoint", c.Store.Cosmos.Endpoint}, {"pull.endpoint", c.Pull.Endpoint}, {"publish.endpoint", c.Publish.Endpoint},
	} {
		if e.address != "" && !strings.HasPrefix(e.address, "https://") && !strings.HasPrefix(e.address, "http://") {
			fail("%s: want an address that begins with https://", e.setting)
		}
	}
	errs = append(errs, c.Pull.validate(), c.Publish.validate(), c.AzureML.validate())
	return errors.Join(errs...)
}

func (p PullConfig) validate() error {
	switch {
	case p == PullConfig{}:
		return nil
	case p.Endpoint == "" || p.Topic == "" || p.Subscription == "":
		return errors.New("pull: needs endpoint, topic and subscription")
	case p.Batch < 0 || p.Batch > 100:
		return fmt.Errorf("pull.batch: %d: give 1 to 100, or leave it out", p.Batch)
	}
	return nil
}

func (p PublishConfig) validate() error {
	if p.Endpoint == "" && (len(p.Types) > 0 || p.Source != "" || p.KeyEnv != "" || p.KeyFile != "") {
		return errors.New("publish: needs an endpoint")
	}
	for _, t := range p.Types {
		if !slices.Contains(policy.ChangeTypes(), t) {
			return fmt.Errorf("publish.types: %q: want one of %v", t, policy.ChangeTypes())
		}
	}
	return nil
}

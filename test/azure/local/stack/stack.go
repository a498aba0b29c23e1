// Package stack runs the in-process Azure servers together, set up as a
// deployment of the product sets up the real ones: a Service Bus queue, a
// Cosmos DB container, an Event Grid topic that delivers straight into the
// queue, and an Event Grid namespace to pull from.
package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"time"

	store "github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/test/azure/cosmos"
	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// Names of what every stack has.
const (
	Queue        = "modelwarden-events"
	Database     = "modelwarden"
	Container    = "records"
	Topic        = "modelwarden"
	Subscription = "modelwarden"
	// Workspace is the Azure Machine Learning workspace whose system topic
	// the Event Grid topic is, except that it lets others publish.
	Workspace = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"
)

// Key is the secret of Service Bus and Event Grid: the base64 of "in-process
// azure servers, not a secret". It is the same every time, so that a shell
// keeps its environment over restarts.
const Key = "aW4tcHJvY2VzcyBhenVyZSBzZXJ2ZXJzLCBub3QgYSBzZWNyZXQ="

// Options of a stack. The zero value listens on free ports.
type Options struct {
	// ServiceBus, Cosmos and EventGrid are the loopback addresses to listen
	// on. Default to 127.0.0.1:0.
	ServiceBus, Cosmos, EventGrid string
	// Queues are Service Bus queues beside the product's.
	Queues map[string]servicebus.Queue
}

// Stack is a set of running servers. Service Bus speaks plain AMQP and Cosmos
// DB plain HTTP; Event Grid speaks TLS, because clients send it no keys
// without.
type Stack struct {
	ServiceBus *servicebus.Server
	Cosmos     *cosmos.Server
	// Topic delivers what is published to it into Queue, as Workspace's.
	Topic *eventgrid.Topic
	// Namespace has Topic's name as a topic, with Subscription.
	Namespace *eventgrid.Namespace

	tls *httptest.Server
}

// Start starts the servers. When it fails, nothing runs.
func Start(o Options) (s *Stack, err error) {
	s = &Stack{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := s.startServiceBus(o); err != nil {
		return s, fmt.Errorf("service bus: %w", err)
	}
	if err := s.startCosmos(o); err != nil {
		return s, fmt.Errorf("cosmos db: %w", err)
	}
	if err := s.startEventGrid(o); err != nil {
		return s, fmt.Errorf("event grid: %w", err)
	}
	return s, nil
}

func (s *Stack) startServiceBus(o Options) error {
	address, err := loopback(o.ServiceBus)
	if err != nil {
		return err
	}
	queues := map[string]servicebus.Queue{Queue: {DuplicateDetection: 10 * time.Minute, MaxDeliveryCount: 30}}
	maps.Copy(queues, o.Queues)
	s.ServiceBus = servicebus.New(servicebus.Options{
		Queues: queues,
		Keys:   map[string]servicebus.Key{"RootManageSharedAccessKey": {Key: Key, Rights: servicebus.All}},
	})
	return s.ServiceBus.Start(address)
}

func (s *Stack) startCosmos(o Options) error {
	address, err := loopback(o.Cosmos)
	if err != nil {
		return err
	}
	s.Cosmos = cosmos.New(cosmos.Options{})
	if err := s.Cosmos.Start(address); err != nil {
		return err
	}
	return s.provision()
}

// provision creates database and container the way the product does it, so
// that there is one place which says how they have to be.
func (s *Stack) provision() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	records, err := store.Open(store.Options{Endpoint: s.Cosmos.URL(), Key: s.Cosmos.Key(), Database: Database, Container: Container})
	if err != nil {
		return err
	}
	return errors.Join(records.Provision(ctx), records.Close())
}

// Close stops all servers. It may be called more than once.
func (s *Stack) Close() error {
	var err error
	if s.tls != nil {
		s.tls.Close()
	}
	if s.Cosmos != nil {
		err = s.Cosmos.Close()
	}
	if s.ServiceBus != nil {
		s.ServiceBus.Close()
	}
	return err
}

// loopback refuses an address that others could reach: the keys are no
// secrets.
func loopback(address string) (string, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", err
	}
	if !tcp.IP.IsLoopback() {
		return "", fmt.Errorf("%s is not a loopback address", address)
	}
	return address, nil
}

package stack

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// startEventGrid serves topic and namespace on one address: their paths do
// not meet.
func (s *Stack) startEventGrid(o Options) error {
	address, err := loopback(o.EventGrid)
	if err != nil {
		return err
	}
	auth := eventgrid.Auth{Keys: []string{Key}}
	s.Topic = eventgrid.NewTopic(eventgrid.TopicOptions{Name: Topic, ResourceID: Workspace, Auth: auth})
	if err := s.Topic.Subscribe(eventgrid.Subscription{Name: "queue", Queue: s.deliver}); err != nil {
		return err
	}
	s.Namespace = eventgrid.NewNamespace(eventgrid.NamespaceOptions{Auth: auth})
	if err := s.Namespace.Subscribe(Topic, eventgrid.QueueSubscription{Name: Subscription}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/events", s.Topic)
	mux.Handle("/", s.Namespace)
	s.tls = &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	s.tls.StartTLS()
	return nil
}

// deliver puts an event into the queue, as an Event Grid subscription does
// whose endpoint is a Service Bus queue.
func (s *Stack) deliver(m eventgrid.Message) error {
	properties := make(map[string]any, len(m.Properties))
	for name, value := range m.Properties {
		properties[name] = value
	}
	return s.ServiceBus.Deliver(Queue, servicebus.Message{Body: m.Body, MessageID: m.ID, Properties: properties})
}

// Certificate is what a client of Event Grid has to trust, as PEM.
func (s *Stack) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.tls.Certificate().Raw})
}

package eventgrid

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// PublisherOptions say which custom topic to publish to, and as whom.
type PublisherOptions struct {
	// Endpoint is the topic's, as
	// https://contoso.westeurope-1.eventgrid.azure.net/api/events. The topic's
	// input schema must be CloudEvents 1.0.
	Endpoint string
	// Key is an access key of the topic. Prefer Credential, whose identity
	// needs the role EventGrid Data Sender. Give one of the two.
	Key        string
	Credential azcore.TokenCredential
	// Transport is for tests. Defaults to HTTP.
	Transport azpolicy.Transporter
}

// Publisher publishes to a custom topic. It is safe for concurrent use and
// holds nothing to close.
type Publisher struct {
	access
	client *azeventgrid.Client
}

// NewPublisher checks the options. It asks nobody yet; see Check.
func NewPublisher(o PublisherOptions) (*Publisher, error) {
	p := &Publisher{access: access{
		endpoint: o.Endpoint, key: o.Key, credential: o.Credential, transport: o.Transport, role: "EventGrid Data Sender",
	}}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("event grid topic: %w", err)
	}
	options := &azeventgrid.ClientOptions{ClientOptions: p.access.client()}
	var err error
	if o.Key != "" {
		p.client, err = azeventgrid.NewClientWithSharedKeyCredential(o.Endpoint, p.keyCredential(), options)
	} else {
		p.client, err = azeventgrid.NewClient(o.Endpoint, o.Credential, options)
	}
	if err != nil {
		return nil, fmt.Errorf("event grid topic: %s", p.hide(err.Error()))
	}
	return p, nil
}

// maxRequest bounds one request, in bytes ("Azure Event Grid quotas and
// limits": 1 MB, an event as well as an array of them).
const maxRequest = 1_000_000

// Publish sends events to the topic, in as many requests as their size needs.
// After an error some of them may have been published: whoever repeats the
// call must give the same events the same ids, by which consumers drop
// repeats. An error is worth repeating unless it wraps a
// *policy.PermanentError.
func (p *Publisher) Publish(ctx context.Context, events []event.Envelope) error {
	var request []messaging.CloudEvent
	size := 2
	for _, e := range events {
		c := cloudEvent(e)
		text, err := json.Marshal(c)
		if err != nil {
			return &policy.PermanentError{Err: fmt.Errorf("event grid: publish: event %q: its data is not JSON", e.ID)}
		}
		if size+len(text) > maxRequest && len(request) > 0 {
			if err := p.send(ctx, request); err != nil {
				return err
			}
			request, size = nil, 2
		}
		request, size = append(request, c), size+len(text)+1
	}
	if len(request) == 0 {
		return nil
	}
	return p.send(ctx, request)
}

func (p *Publisher) send(ctx context.Context, request []messaging.CloudEvent) error {
	_, err := p.client.PublishCloudEvents(ctx, request, nil)
	return p.fault("publish", err)
}

// cloudEvent makes the SDK's type. Data stays a json.RawMessage, because the
// SDK turns a []byte into data_base64.
func cloudEvent(e event.Envelope) messaging.CloudEvent {
	c := messaging.CloudEvent{ID: e.ID, Source: e.Source, SpecVersion: "1.0", Type: e.Type}
	if e.Subject != "" {
		c.Subject = &e.Subject
	}
	if !e.Time.IsZero() {
		at := e.Time.UTC()
		c.Time = &at
	}
	if len(e.Data) > 0 {
		contentType := "application/json"
		c.Data, c.DataContentType = e.Data, &contentType
	}
	return c
}

// Check finds out whether events could be published, by publishing none. The
// error says what is missing, by the role's name if it is one. An input schema
// other than CloudEvents shows at the first Publish only.
func (p *Publisher) Check(ctx context.Context) error {
	_, err := p.client.PublishCloudEvents(ctx, []messaging.CloudEvent{}, nil)
	return p.reached("check", err)
}

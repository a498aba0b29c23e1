package eventgrid

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

// TopicOptions describe a topic with push delivery: a custom topic that
// somebody publishes to over HTTP, or a system topic that a test publishes to
// with Topic.Publish.
type TopicOptions struct {
	// Name defaults to "topic".
	Name string
	// ResourceID is the topic's ARM id, the topic of events in the Event Grid
	// schema. Defaults to one made from Name.
	ResourceID string
	// Schema is what publishers send. Defaults to EventGrid.
	Schema Schema
	// Auth says who may publish over HTTP.
	Auth Auth
	// Clock times retries. Defaults to clock.Real.
	Clock clock.Clock
	// Client makes deliveries. Defaults to http.DefaultClient; give one with
	// a Transport to reach a handler in this process.
	Client *http.Client
	// Faults makes things go wrong; nil is never.
	Faults *Faults
}

// Topic is a topic with push subscriptions. It is an http.Handler for
// publishers, and safe for concurrent use.
type Topic struct {
	o TopicOptions

	mu   sync.Mutex
	subs []*subscriber
}

// NewTopic makes a topic without subscriptions.
func NewTopic(o TopicOptions) *Topic {
	if o.Name == "" {
		o.Name = "topic"
	}
	if o.ResourceID == "" {
		o.ResourceID = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.EventGrid/topics/" + o.Name
	}
	if o.Schema == "" {
		o.Schema = EventGrid
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	return &Topic{o: o}
}

// Publish takes events as the service's own publishers do: nothing is
// checked. An event without Source gets the topic's ResourceID.
func (t *Topic) Publish(events ...Event) {
	for _, s := range t.subscribers() {
		for _, e := range events {
			if e.Source == "" {
				e.Source = t.o.ResourceID
			}
			s.enqueue(e)
		}
	}
}

func (t *Topic) subscribers() []*subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.subs)
}

// find returns a subscription by name, in any case.
func (t *Topic) find(name string) (*subscriber, bool) {
	for _, s := range t.subscribers() {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return nil, false
}

// ServeHTTP implements http.Handler: POST /api/events, as the Event Grid data
// plane's "Publish Events" and "Publish Cloud Event Events".
func (t *Topic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.o.Faults.around(w, r, OpPublish, func(w http.ResponseWriter, _ Fault) {
		events, refused := t.read(w, r)
		if refused != nil {
			refused.write(w)
			return
		}
		t.Publish(events...)
		w.WriteHeader(http.StatusOK)
	})
}

// read checks a publish request. The service takes all of it or nothing.
func (t *Topic) read(w http.ResponseWriter, r *http.Request) ([]Event, *failure) {
	switch {
	case r.URL.Path != "/api/events":
		return nil, &failure{http.StatusNotFound, "NotFound", "The resource could not be found."}
	case r.Method != http.MethodPost:
		return nil, &failure{http.StatusMethodNotAllowed, "MethodNotAllowed", "Use POST."}
	case r.URL.Query().Get("api-version") != "2018-01-01":
		return nil, badRequest("The api-version query parameter must be 2018-01-01.")
	}
	if refused := t.o.Auth.topic(r, t.o.Clock.Now()); refused != nil {
		return nil, refused
	}
	body, refused := readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	events, err := t.decode(r.Header, body)
	if err != nil {
		return nil, badRequest("This resource is configured for '" + string(t.o.Schema) + "'. " + err.Error())
	}
	return events, nil
}

func (t *Topic) decode(header http.Header, body []byte) ([]Event, error) {
	if t.o.Schema == CloudEvents {
		return decodeCloud(header, body)
	}
	events, err := decodeGrid(body)
	for i := range events {
		if s := events[i].Source; s != "" && s != t.o.ResourceID {
			return nil, invalid("element %d: topic must be left out or be this topic's resource id", i)
		}
	}
	return events, err
}

// Subscribe adds an event subscription after the handshake that its schema
// asks for; it sees the events from then on. It returns why the handshake or
// the subscription failed, and must not be called from an endpoint.
func (t *Topic) Subscribe(o Subscription) error {
	o = o.withDefaults()
	if err := o.check(t.o.Schema); err != nil {
		return fmt.Errorf("subscribe %q: %w", o.Name, err)
	}
	if _, exists := t.find(o.Name); exists {
		return fmt.Errorf("subscribe %q: it exists already", o.Name)
	}
	s := &subscriber{Subscription: o, topic: t}
	if o.Queue == nil {
		if err := s.handshake(); err != nil {
			return fmt.Errorf("subscribe %q: %w", o.Name, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs = append(t.subs, s)
	return nil
}

var errNoSubscription = errors.New("no such subscription")

// Unsubscribe ends a subscription: what was not delivered is dropped, and a
// webhook is told so in one last request that is not repeated.
func (t *Topic) Unsubscribe(name string) error {
	s, ok := t.find(name)
	if !ok {
		return fmt.Errorf("unsubscribe %q: %w", name, errNoSubscription)
	}
	t.mu.Lock()
	t.subs = slices.DeleteFunc(t.subs, func(o *subscriber) bool { return o == s })
	t.mu.Unlock()
	s.close()
	if s.Queue == nil {
		s.farewell()
	}
	return nil
}

// Stats tells how a subscription stands.
func (t *Topic) Stats(name string) (Stats, error) {
	s, ok := t.find(name)
	if !ok {
		return Stats{}, fmt.Errorf("stats of %q: %w", name, errNoSubscription)
	}
	return s.read(), nil
}

package eventgrid

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

// NamespaceOptions describe a namespace.
type NamespaceOptions struct {
	// Auth says who may publish and receive.
	Auth Auth
	// Clock times locks, delays and waits. Defaults to clock.Real.
	Clock clock.Clock
	// Faults makes things go wrong; nil is never.
	Faults *Faults
}

// Namespace is an Event Grid namespace with topics and queue subscriptions:
// pull delivery. It is an http.Handler that speaks "Azure Event Grid
// namespace - Data Plane REST", and safe for concurrent use.
type Namespace struct {
	o NamespaceOptions

	mu     sync.Mutex
	topics map[string]map[string]*queue
}

// NewNamespace makes a namespace without topics.
func NewNamespace(o NamespaceOptions) *Namespace {
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	return &Namespace{o: o, topics: make(map[string]map[string]*queue)}
}

// Subscribe adds an event subscription to a topic, which is created when it
// does not exist. It sees the events from then on.
func (n *Namespace) Subscribe(topic string, o QueueSubscription) error {
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("subscribe %q to %q: %w", o.Name, topic, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.topics[topic] == nil {
		n.topics[topic] = make(map[string]*queue)
	}
	if n.topics[topic][o.Name] != nil {
		return fmt.Errorf("subscribe %q to %q: it exists already", o.Name, topic)
	}
	n.topics[topic][o.Name] = newQueue(o, n.o.Clock)
	return nil
}

// Publish puts events into a topic as they are. Nothing is checked but that
// they are JSON: this is how a test gets an event into a page that no client
// could publish.
func (n *Namespace) Publish(topic string, events ...json.RawMessage) error {
	n.mu.Lock()
	queues, ok := n.topics[topic]
	n.mu.Unlock()
	if !ok {
		return fmt.Errorf("publish to %q: no such topic", topic)
	}
	for _, e := range events {
		if !json.Valid(e) {
			return fmt.Errorf("publish to %q: not JSON", topic)
		}
	}
	for _, q := range queues {
		q.add(events)
	}
	return nil
}

// QueueStats tells how a subscription stands.
func (n *Namespace) QueueStats(topic, subscription string) (QueueStats, error) {
	q, ok := n.queue(topic, subscription)
	if !ok {
		return QueueStats{}, fmt.Errorf("stats of %q in %q: no such subscription", subscription, topic)
	}
	return q.read(), nil
}

func (n *Namespace) queue(topic, subscription string) (*queue, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q, ok := n.topics[topic][subscription]
	return q, ok
}

func (n *Namespace) has(topic string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.topics[topic] != nil
}

var apiVersions = []string{"2023-06-01-preview", "2023-11-01", "2024-06-01"}

// ServeHTTP implements http.Handler.
func (n *Namespace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	topic, subscription, operation, ok := place(r.URL.Path)
	switch {
	case !ok || r.Method != http.MethodPost:
		writeError(w, http.StatusNotFound, "NotFound", "The resource could not be found.")
		return
	case !slices.Contains(apiVersions, r.URL.Query().Get("api-version")):
		badRequest("The api-version query parameter is missing or not supported.").write(w)
		return
	}
	n.o.Faults.around(w, r, operation, func(w http.ResponseWriter, fault Fault) {
		if refused := n.serve(w, r, call{topic, subscription, operation, fault}); refused != nil {
			refused.write(w)
		}
	})
}

// call is one request.
type call struct {
	topic, subscription, operation string
	fault                          Fault
}

// place cuts /topics/{topic}:publish and
// /topics/{topic}/eventsubscriptions/{subscription}:{operation}.
func place(path string) (topic, subscription, operation string, ok bool) {
	colon := strings.LastIndexByte(path, ':')
	if colon < 0 {
		return "", "", "", false
	}
	operation = path[colon+1:]
	parts := strings.Split(strings.Trim(path[:colon], "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "topics" && operation == OpPublish:
		return parts[1], "", operation, true
	case len(parts) == 4 && parts[0] == "topics" && parts[2] == "eventsubscriptions" && operation != OpPublish:
		return parts[1], parts[3], operation, true
	}
	return "", "", "", false
}

func (n *Namespace) serve(w http.ResponseWriter, r *http.Request, c call) *failure {
	if refused := n.o.Auth.namespace(r); refused != nil {
		return refused
	}
	if !n.has(c.topic) {
		return &failure{http.StatusGone, "Gone", "The topic " + c.topic + " could not be found."}
	}
	if c.operation == OpPublish {
		return n.publish(w, r, c.topic)
	}
	q, ok := n.queue(c.topic, c.subscription)
	if !ok {
		return &failure{http.StatusNotFound, "NotFound", "The event subscription " + c.subscription + " could not be found."}
	}
	if c.operation == OpReceive {
		return receive(w, r, q, c.fault)
	}
	settle, ok := settlements[c.operation]
	if !ok {
		return &failure{http.StatusNotFound, "NotFound", "There is no operation " + c.operation + "."}
	}
	return answerTokens(w, r, q, settle)
}

// publish takes CloudEvents, structured, batched or binary, all or none.
func (n *Namespace) publish(w http.ResponseWriter, r *http.Request, topic string) *failure {
	body, refused := readBody(w, r)
	if refused != nil {
		return refused
	}
	events, err := decodeCloud(r.Header, body)
	if err != nil {
		return badRequest(err.Error())
	}
	raw := make([]json.RawMessage, len(events))
	for i, e := range events {
		raw[i] = e.render(CloudEvents)
	}
	if err := n.Publish(topic, raw...); err != nil {
		return &failure{http.StatusGone, "Gone", err.Error()}
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

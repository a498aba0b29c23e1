package sandbox

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Subscription is an event subscription: where events go, in which shape, and
// which of Event Grid's habits, good and bad, it shows.
type Subscription struct {
	// Name is sent as aeg-subscription-name, in capitals. Defaults to
	// modelwarden.
	Name string
	// URL is the webhook; a query string in it is kept. Headers are added to
	// every delivery, a shared secret for instance. Neither is ever logged.
	URL     string
	Headers http.Header
	// Schema defaults to EventGrid, Casing to Camel.
	Schema Schema
	Casing Casing

	// BatchEvents and BatchBytes switch batching on, as Event Grid's maximum
	// of events per batch and preferred batch size do: up to 5,000 events and
	// up to 1,024 KiB. Default to 1 event, which is off, and 1,024 KiB.
	BatchEvents, BatchBytes int
	// Parallel is how many requests may be under way. Defaults to 1, which
	// makes the order of deliveries depend on the seed alone.
	Parallel int
	// Timeout is how long an answer may take. Defaults to Event Grid's 30 s.
	Timeout time.Duration
	// TimeScale multiplies the waits of the retry schedule and the time to
	// live: 0.001 turns 10 s into 10 ms. Defaults to 1.
	TimeScale float64

	// Copies delivers each event this often. Defaults to 1.
	Copies int
	// Shuffle reorders events within windows of this many, by the seed. A
	// window that does not fill up is let go after 200 ms, or by Flush.
	Shuffle int
	// Drop is the share of events, 0 to 1, that are lost by the seed.
	Drop float64

	// QueueLimit bounds what waits for delivery, in events, retries
	// included; an event beyond goes to the dead letters as an overflow.
	// Defaults to 100,000.
	QueueLimit int
	// DeadLetterLimit bounds the dead letters kept to read; the oldest go
	// first. Defaults to 10,000.
	DeadLetterLimit int
}

// Event Grid's limits for batches.
const (
	maxBatchEvents = 5000
	maxBatchBytes  = 1024 << 10
)

// shuffleLinger is how long a window of Shuffle waits to fill up.
const shuffleLinger = 200 * time.Millisecond

func (s Subscription) withDefaults() Subscription {
	s.Name = orElse(s.Name, "modelwarden")
	s.Schema = orElse(s.Schema, EventGrid)
	s.Casing = orElse(s.Casing, Camel)
	s.BatchEvents = orElse(s.BatchEvents, 1)
	s.BatchBytes = orElse(s.BatchBytes, maxBatchBytes)
	s.Parallel = orElse(max(s.Parallel, 0), 1)
	s.Timeout = orElse(s.Timeout, 30*time.Second)
	s.TimeScale = orElse(s.TimeScale, 1)
	s.Copies = orElse(max(s.Copies, 0), 1)
	s.QueueLimit = orElse(max(s.QueueLimit, 0), 100_000)
	s.DeadLetterLimit = orElse(max(s.DeadLetterLimit, 0), 10_000)
	s.Headers = s.Headers.Clone()
	return s
}

func (s Subscription) validate() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return fmt.Errorf("subscription %q: the URL must be an http or https address", s.Name)
	case s.Schema != EventGrid && s.Schema != CloudEvents:
		return fmt.Errorf("subscription %q: schema %q: want eventgrid or cloudevents", s.Name, s.Schema)
	case s.Casing != Camel && s.Casing != Pascal:
		return fmt.Errorf("subscription %q: casing %q: want camel or pascal", s.Name, s.Casing)
	case s.BatchEvents < 1 || s.BatchEvents > maxBatchEvents:
		return fmt.Errorf("subscription %q: BatchEvents %d: want 1 to %d", s.Name, s.BatchEvents, maxBatchEvents)
	case s.BatchBytes < 1 || s.BatchBytes > maxBatchBytes:
		return fmt.Errorf("subscription %q: BatchBytes %d: want 1 to %d", s.Name, s.BatchBytes, maxBatchBytes)
	case s.Drop < 0 || s.Drop > 1 || s.TimeScale < 0:
		return fmt.Errorf("subscription %q: Drop must lie within 0 and 1, TimeScale must not be negative", s.Name)
	}
	return nil
}

// Subscribe adds an event subscription; it sees the events from now on. The
// handshake comes before the first delivery and is repeated until it
// succeeds, so the endpoint may come up later.
func (w *Workspace) Subscribe(s Subscription) error {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subs[s.Name] != nil {
		return fmt.Errorf("subscription %q exists already: %w", s.Name, ErrState)
	}
	if w.closed {
		return fmt.Errorf("subscription %q: the sandbox is closed: %w", s.Name, ErrState)
	}
	sub := &subscriber{
		Subscription: s, topic: w.ID(), client: w.opts.HTTPClient, log: w.log, ids: newIdentities(w.opts.Seed ^ 0x5b),
		rng: rand.New(rand.NewPCG(uint64(w.opts.Seed), 0xde11)), wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	w.subs[s.Name] = sub
	if w.running {
		sub.start(w.ctx, &w.group)
	}
	return nil
}

// DeleteSubscription ends a subscription: what waits is still delivered, then
// Event Grid's SubscriptionDeletion notice, and nothing after it.
func (w *Workspace) DeleteSubscription(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.subs[name]
	if s == nil {
		return fmt.Errorf("delete subscription %q: %w", name, ErrNotFound)
	}
	if !s.farewell(w.deletionNotice(s)) {
		return fmt.Errorf("delete subscription %q: deleted already: %w", name, ErrState)
	}
	return nil
}

func (w *Workspace) deletionNotice(s *subscriber) occurrence {
	id := w.ID() + "/providers/Microsoft.EventGrid/eventSubscriptions/" + s.Name
	return occurrence{
		id: w.ids.uuid(), kind: typeDeletion, time: w.stamp(),
		data: []field{{"eventSubscriptionId", id}},
	}
}

// DeadLetter is an event that will not be delivered.
type DeadLetter struct {
	Subscription string
	// Event is the event as it was, or would have been, sent.
	Event []byte
	// Reason is one of "rejected" (an answer that Event Grid does not
	// retry), "attempts", "expired" and "overflow"; Status the last HTTP
	// status, 0 for none; Attempts how often it was tried.
	Reason           string
	Status, Attempts int
}

// DeadLetters lists what could not be delivered, oldest first, by
// subscription name.
func (w *Workspace) DeadLetters() []DeadLetter {
	var out []DeadLetter
	for _, s := range w.subscribers() {
		s.mu.Lock()
		out = append(out, s.dead...)
		s.mu.Unlock()
	}
	return out
}

// DeliveryStats counts what became of events, over all subscriptions. Copies
// count one by one.
type DeliveryStats struct {
	// Emitted = Dropped + Delivered + Dead + Waiting.
	Emitted, Dropped, Delivered, Dead, Waiting int
	// Requests counts deliveries tried, Failures those not answered with
	// success; handshakes are not among them.
	Requests, Failures int
}

// Stats tells how deliveries stand.
func (w *Workspace) Stats() DeliveryStats {
	var sum DeliveryStats
	for _, s := range w.subscribers() {
		s.mu.Lock()
		sum.Emitted += s.stats.Emitted
		sum.Dropped += s.stats.Dropped
		sum.Delivered += s.stats.Delivered
		sum.Dead += s.stats.Dead
		sum.Waiting += s.stats.Waiting
		sum.Requests += s.stats.Requests
		sum.Failures += s.stats.Failures
		s.mu.Unlock()
	}
	return sum
}

// subscribers lists the subscriptions by name.
func (w *Workspace) subscribers() []*subscriber {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*subscriber, 0, len(w.subs))
	for _, s := range w.subs {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *subscriber) int { return strings.Compare(a.Name, b.Name) })
	return out
}

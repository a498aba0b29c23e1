package eventgrid

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Subscription is an event subscription with push delivery, to a webhook or
// into a queue.
type Subscription struct {
	Name string
	// URL is the webhook. Event Grid itself takes https only.
	URL string
	// Queue takes events instead of a webhook, as a Service Bus queue does.
	// An error is a failed delivery; one that wraps ErrRejected is not
	// retried.
	Queue func(Message) error
	// QueueArray puts the event into an array of one, which the service has
	// been seen to do in the Event Grid schema. Defaults to the object alone.
	QueueArray bool
	// Schema defaults to the topic's. CloudEvents can't become Event Grid's.
	Schema Schema
	// Headers are the delivery properties: at most ten, none of Event Grid's
	// own ("Custom delivery properties").
	Headers http.Header
	// MaxEvents, 1 to 5,000, and PreferredKilobytes, 1 to 1,024, bound a
	// batch ("Batched event delivery"). Default to 1, which is no batching
	// and a body that is not an array in CloudEvents' schema, and to 64.
	MaxEvents, PreferredKilobytes int
	// Token makes the Microsoft Entra token of each request to a webhook.
	Token func() (string, error)
	// DeadLetter gets what is given up. Nil drops it. It must not call back
	// into the topic.
	DeadLetter func(DeadLetter)
	// TTL and MaxAttempts bound retries ("Set event time to live and retry
	// attempts"). Default to 24 hours and 30, which are the highest.
	TTL         time.Duration
	MaxAttempts int
	// Timeout is how long an answer may take by the topic's clock. A
	// clock.Manual stands still while an answer is awaited: for an endpoint
	// that hangs use another clock, or the fault Stall. Defaults to 30 s.
	Timeout time.Duration
}

// ErrRejected is what Subscription.Queue wraps to refuse a message for good.
var ErrRejected = errors.New("rejected")

// Message is what a queue gets: the event as body, Event Grid's headers and
// the delivery properties as message properties.
type Message struct {
	// ID is the same on every delivery of an event to a subscription.
	ID         string
	Body       []byte
	Properties map[string]string
}

// DeadLetter is an event that was given up.
type DeadLetter struct {
	Subscription string
	Event        Event
	Schema       Schema
	// Reason is "MaxDeliveryAttemptsExceeded", "TimeToLiveExceeded" or
	// "Undeliverable" (an answer that is not retried).
	Reason string
	// Outcome is that of the last delivery: "BadRequest", "Unauthorized",
	// "Forbidden", "NotFound", "PayloadTooLarge", "Busy", "TimedOut",
	// "SocketError", "GenericError"; empty when there was none.
	Outcome                string
	Attempts               int
	Published, LastAttempt time.Time
}

// JSON is the dead letter as the service writes it to a blob, in the
// subscription's schema ("Dead-letter event" in "Event Grid message delivery
// and retry").
func (d DeadLetter) JSON() []byte {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(d.Event.render(d.Schema), &m); err != nil {
		panic(fmt.Sprintf("eventgrid: own event: %v", err))
	}
	names := []string{"deadLetterReason", "deliveryAttempts", "lastDeliveryOutcome", "publishTime", "lastDeliveryAttemptTime"}
	if d.Schema == CloudEvents {
		names = []string{"deadletterreason", "deliveryattempts", "lastdeliveryoutcome", "publishtime", "lastdeliveryattempttime"}
	}
	for i, v := range []any{d.Reason, d.Attempts, d.Outcome, d.Published.UTC(), d.LastAttempt.UTC()} {
		m[names[i]] = encode(v)
	}
	return encode(m)
}

// Stats counts what became of a subscription's events.
type Stats struct {
	// Pending events are neither delivered nor given up.
	Pending, Delivered, Dead int
	// Attempts counts deliveries tried, a batch as one.
	Attempts int
	// HeldUntil is when a failing endpoint is tried again; zero for a
	// healthy one.
	HeldUntil time.Time
}

// Event Grid's limits, which are also the defaults.
const (
	maxTTL         = 24 * time.Hour
	maxAttempts    = 30
	maxBatch       = 5000
	maxKilobytes   = 1024
	maxProperties  = 10
	defaultTimeout = 30 * time.Second
)

func (s Subscription) withDefaults() Subscription {
	s.MaxEvents = orElse(s.MaxEvents, 1)
	s.PreferredKilobytes = orElse(s.PreferredKilobytes, 64)
	s.TTL = orElse(s.TTL, maxTTL)
	s.MaxAttempts = orElse(s.MaxAttempts, maxAttempts)
	s.Timeout = orElse(s.Timeout, defaultTimeout)
	return s
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (s *Subscription) check(input Schema) error {
	s.Schema = orElse(s.Schema, input)
	u, err := url.Parse(s.URL)
	switch {
	case s.Name == "":
		return errors.New("a subscription needs a name")
	case (s.URL == "") == (s.Queue == nil):
		return errors.New("give either URL or Queue")
	case s.URL != "" && (err != nil || u.Host == ""):
		return errors.New("URL is not an absolute address")
	case input == CloudEvents && s.Schema != CloudEvents:
		return errors.New("a topic that takes CloudEvents can only deliver CloudEvents")
	case s.MaxEvents < 1 || s.MaxEvents > maxBatch || s.PreferredKilobytes < 1 || s.PreferredKilobytes > maxKilobytes:
		return fmt.Errorf("a batch has 1 to %d events and 1 to %d kilobytes", maxBatch, maxKilobytes)
	case s.TTL < time.Minute || s.TTL > maxTTL || s.MaxAttempts < 1 || s.MaxAttempts > maxAttempts:
		return errors.New("TTL is 1 minute to 24 hours, MaxAttempts 1 to 30")
	case len(s.Headers) > maxProperties:
		return fmt.Errorf("at most %d delivery properties", maxProperties)
	}
	return nil
}

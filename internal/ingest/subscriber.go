// Package ingest is the way in for events: an HTTP subscriber that
// authenticates the sender, cuts the request into canonical events and
// answers success only when every one of them is durably in the queue.
//
// [Pull] is the other way in: it fetches events from an Event Grid namespace,
// makes the same messages of them and acknowledges what the queue has.
//
// What a request can become:
//
//	200  everything in it is durable: understood events as themselves, the
//	     rest as raw messages on their way to quarantine
//	400  the body is empty or its compression is broken: nothing to keep
//	401, 403  the credential was checked and is wrong, or there is none
//	405, 413, 415  never sent by Event Grid; the answer says what to change
//	408, 503  a fault or limit on this side, or a sender too slow: send again
//
// The split follows how Event Grid retries: it gives up at once on 400, 401,
// 403, 404 and 413 and sends again on everything else
// (https://learn.microsoft.com/azure/event-grid/delivery-and-retry). So
// whatever might succeed later must be none of those five.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Defaults of Options.
const (
	DefaultMaxBody          = 8 << 20
	DefaultMaxEvents        = 5000
	DefaultMaxInFlight      = 512
	DefaultMaxInFlightBytes = 16 << 20
	DefaultTimeout          = 20 * time.Second
	// DefaultOrigin is what Event Grid sends in WebHook-Request-Origin.
	DefaultOrigin = "eventgrid.azure.net"
)

// Options configure a Subscriber. Queue and Authenticator are required;
// everything else has a default. Negative numbers are errors.
type Options struct {
	// Queue receives all messages of a request in one call. The Bodies and
	// the Properties map of one call share memory: a Queue that wants to
	// change either makes its own copy.
	Queue interface {
		Send(ctx context.Context, messages []lineage.Message) error
	}
	// Authenticator decides on every request to the events handler, both
	// handshakes included. There is no default: say None() to mean none.
	Authenticator Authenticator
	// AlertsAuthenticator decides on requests to the alerts handler: action
	// groups come with another application id. Defaults to Authenticator.
	AlertsAuthenticator Authenticator

	// MaxBody bounds one request body after decompression, in bytes. Event
	// Grid sends at most 1 MiB. Defaults to DefaultMaxBody.
	MaxBody int64
	// MaxEvents bounds the events in one request. Event Grid sends at most
	// 5,000. Defaults to DefaultMaxEvents.
	MaxEvents int
	// MaxInFlight bounds the requests served at one time; more are answered
	// 503 at once. Defaults to DefaultMaxInFlight.
	MaxInFlight int
	// MaxInFlightBytes bounds the bodies held at one time, in bytes; a
	// request waits a quarter of Timeout for room, then is answered 503.
	// Memory use peaks at about four times this. Defaults to
	// DefaultMaxInFlightBytes; must not be less than MaxBody.
	MaxInFlightBytes int64
	// RatePerSecond bounds authenticated requests per second on both
	// handlers together; Burst is how many may come at once and defaults to
	// RatePerSecond rounded up. Defaults to 0, which is no limit: the
	// bounds on what is in flight already protect the process.
	RatePerSecond float64
	Burst         int
	// Timeout bounds one request from its header to the answer. Event Grid
	// waits 30 s. Defaults to DefaultTimeout.
	Timeout time.Duration

	// AllowedOrigins are the values of WebHook-Request-Origin that the
	// CloudEvents handshake agrees to; "*" agrees to all. Defaults to
	// DefaultOrigin.
	AllowedOrigins []string
	// AllowedRate is the WebHook-Allowed-Rate that the handshake answers, in
	// requests per minute. Defaults to 60 times RatePerSecond, or "*" (no
	// limit) when that is off too.
	AllowedRate int
	// AllowCallback makes the handshake honour WebHook-Request-Callback: one
	// GET, after the answer, over https, to a host below eventgrid.azure.net
	// only. Defaults to false; Event Grid does not need it.
	AllowCallback bool

	// Registerer takes the metrics; nil registers them nowhere.
	Registerer prometheus.Registerer
	// Logger defaults to none. Repeated lines are sampled.
	Logger *zap.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

// Subscriber serves the webhooks. It is safe for concurrent use and holds
// nothing to close: a stopped HTTP server is a stopped Subscriber.
type Subscriber struct {
	options  Options
	log      *zap.Logger
	metrics  *metrics
	slots    chan struct{}
	bodies   *bodyReader
	limiter  *rate.Limiter // nil when off
	callback *http.Client
}

// New checks the options, registers the metrics and returns a Subscriber.
func New(o Options) (*Subscriber, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	s := &Subscriber{
		options:  o,
		log:      sampled(o.Logger),
		metrics:  m,
		slots:    make(chan struct{}, o.MaxInFlight),
		bodies:   newBodyReader(o.MaxBody, semaphore.NewWeighted(o.MaxInFlightBytes), o.Timeout/4),
		callback: newCallbackClient(),
	}
	if o.RatePerSecond > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(o.RatePerSecond), o.Burst)
	}
	return s, nil
}

// sampled keeps an outage from filling the disk: of equal messages, ten a
// second are written, then one in a hundred.
func sampled(l *zap.Logger) *zap.Logger {
	return l.Named("ingest").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 10, 100)
	}))
}

func (o Options) withDefaults() Options {
	o.MaxBody = orDefault(o.MaxBody, DefaultMaxBody)
	o.MaxEvents = orDefault(o.MaxEvents, DefaultMaxEvents)
	o.MaxInFlight = orDefault(o.MaxInFlight, DefaultMaxInFlight)
	o.MaxInFlightBytes = orDefault(o.MaxInFlightBytes, DefaultMaxInFlightBytes)
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	o.Burst = orDefault(o.Burst, int(o.RatePerSecond)+1)
	o.AllowedRate = orDefault(o.AllowedRate, int(o.RatePerSecond*60))
	if len(o.AllowedOrigins) == 0 {
		o.AllowedOrigins = []string{DefaultOrigin}
	}
	if o.AlertsAuthenticator == nil {
		o.AlertsAuthenticator = o.Authenticator
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

func (o Options) check() error {
	switch {
	case o.Queue == nil:
		return errors.New("no Queue: events would have nowhere to go")
	case o.Authenticator == nil:
		return errors.New("no Authenticator: use None() on a loopback address, SharedSecret or Entra elsewhere")
	case o.MaxBody < 0, o.MaxEvents < 0, o.MaxInFlight < 0, o.MaxInFlightBytes < 0,
		o.RatePerSecond < 0, o.Burst < 0, o.Timeout < 0, o.AllowedRate < 0:
		return errors.New("limits and times must not be negative")
	case o.MaxInFlightBytes < o.MaxBody:
		return fmt.Errorf("MaxInFlightBytes is %d, less than MaxBody %d: such a body could never be served",
			o.MaxInFlightBytes, o.MaxBody)
	}
	return nil
}

package ingest

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a request ended.
type outcome int

const (
	outcomeAccepted outcome = iota
	outcomeHandshake
	outcomeMethod
	outcomeEmpty
	outcomeUnauthenticated
	outcomeForbidden
	outcomeAuthUnavailable
	outcomeTooLarge
	outcomeTooMany
	outcomeEncoding
	outcomeCorrupt
	outcomeOrigin
	outcomeSlowBody
	outcomeClientGone
	outcomeRate
	outcomeOverload
	outcomeQueue
	outcomeTimeout
	outcomes // their number
)

func (o outcome) String() string {
	return [outcomes]string{
		"accepted", "handshake", "method_not_allowed", "empty_body", "unauthenticated", "forbidden",
		"authentication_unavailable", "body_too_large", "too_many_events", "unsupported_encoding",
		"corrupt_body", "origin_refused", "slow_body", "client_gone", "rate_limited", "overloaded",
		"queue_unavailable", "timeout",
	}[o]
}

// delivery is what Event Grid says in aeg-event-type about a request.
type delivery int

const (
	deliveryNone delivery = iota // no such header: CloudEvents senders, curl
	deliveryNotification
	deliveryValidation
	deliveryDeletion
	deliveryOther
	deliveries // their number
)

func (d delivery) String() string {
	return [deliveries]string{"none", "notification", "validation", "subscription_deletion", "other"}[d]
}

func deliveryOf(header string) delivery {
	switch {
	case header == "":
		return deliveryNone
	case strings.EqualFold(header, "Notification"):
		return deliveryNotification
	case strings.EqualFold(header, "SubscriptionValidation"):
		return deliveryValidation
	case strings.EqualFold(header, "SubscriptionDeletion"):
		return deliveryDeletion
	}
	return deliveryOther
}

const maxSubscriptions = 50

// metrics are the collectors of a Subscriber. Handlers use the children held
// by routeMetrics, never a vector, so that an event costs no lookup by label.
type metrics struct {
	received   *prometheus.CounterVec
	requests   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	subscribed *prometheus.CounterVec
	redelivery *prometheus.CounterVec
	authReason *prometheus.CounterVec
	lag        *prometheus.HistogramVec
	seconds    *prometheus.HistogramVec
	inFlight   prometheus.Gauge

	mu            sync.RWMutex
	subscriptions map[string]*subscriptionMetrics
}

// subscriptionMetrics are the children for one Event Grid subscription.
type subscriptionMetrics struct {
	requests, redelivered prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		received: newReceived(),
		lag:      newLag(),
		requests: counters("ingest_requests_total",
			"Requests to the webhooks by how they ended.", "source", "outcome"),
		deliveries: counters("ingest_deliveries_total",
			"Authenticated requests by the aeg-event-type that Event Grid gave them.", "source", "type"),
		subscribed: counters("ingest_subscription_requests_total",
			"Authenticated requests by Event Grid subscription; names beyond the first 50 count as other.",
			"subscription"),
		redelivery: counters("ingest_subscription_redeliveries_total",
			"Those of them that Event Grid had tried to deliver before.", "subscription"),
		authReason: counters("ingest_refused_credentials_total",
			"Requests refused by authentication, by reason.", "source", "reason"),
		seconds: histograms("ingest_request_seconds",
			"Time from a request's header to its answer.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}, "source"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "modelwarden_ingest_requests_in_flight", Help: "Webhook requests being served."}),
		subscriptions: make(map[string]*subscriptionMetrics),
	}
	return m, m.register(r)
}

func newReceived() *prometheus.CounterVec {
	return counters("events_received_total",
		"Events received, by way in, kind as far as the type tells it, and result (accepted, quarantined).",
		"source", "kind", "result")
}

func newLag() *prometheus.HistogramVec {
	return histograms("event_lag_seconds", "From the time in the event to its acceptance.",
		[]float64{.1, .5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 43200, 86400}, "source")
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_" + name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: "modelwarden_" + name, Help: help, Buckets: buckets}, labels)
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	err := errors.Join(adopt(r, &m.received), adopt(r, &m.lag))
	for _, c := range []prometheus.Collector{
		m.requests, m.deliveries, m.subscribed, m.redelivery, m.authReason, m.seconds, m.inFlight,
	} {
		err = errors.Join(err, r.Register(c))
	}
	return err
}

// adopt registers a collector that several ways in share, or takes the one
// that another registered before.
func adopt[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if !errors.As(err, &already) {
		return err
	}
	existing, ok := already.ExistingCollector.(C)
	if !ok {
		return err
	}
	*c = existing
	return nil
}

// subscription returns the children for a subscription's name. The first 50
// names get their own label value, all others share one.
func (m *metrics) subscription(name string) *subscriptionMetrics {
	m.mu.RLock()
	found := m.subscriptions[name]
	m.mu.RUnlock()
	if found != nil {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.subscriptions) >= maxSubscriptions {
		name = "other"
	}
	if found = m.subscriptions[name]; found == nil {
		found = &subscriptionMetrics{m.subscribed.WithLabelValues(name), m.redelivery.WithLabelValues(name)}
		m.subscriptions[name] = found
	}
	return found
}

// routeMetrics are the children for one way in over HTTP.
type routeMetrics struct {
	*metrics
	arrivals
	source     string
	requests   [outcomes]prometheus.Counter
	deliveries [deliveries]prometheus.Counter
	seconds    prometheus.Observer
}

func (m *metrics) route(source string) *routeMetrics {
	rm := &routeMetrics{
		metrics:  m,
		arrivals: newArrivals(m.received, m.lag, source),
		source:   source,
		seconds:  m.seconds.WithLabelValues(source),
	}
	for o := range outcomes {
		rm.requests[o] = m.requests.WithLabelValues(source, o.String())
	}
	for d := range deliveries {
		rm.deliveries[d] = m.deliveries.WithLabelValues(source, d.String())
	}
	return rm
}

// observe counts a finished request.
func (m *routeMetrics) observe(o outcome, took time.Duration) {
	m.requests[o].Inc()
	m.seconds.Observe(took.Seconds())
}

// refused counts a refused credential; reasons are our own words.
func (m *routeMetrics) refused(reason string) { m.authReason.WithLabelValues(m.source, reason).Inc() }

// arrivals are the children that count the events of one way in.
type arrivals struct {
	accepted   [kinds]prometheus.Counter
	quarantine prometheus.Counter
	age        prometheus.Observer
}

func newArrivals(received *prometheus.CounterVec, lag *prometheus.HistogramVec, source string) arrivals {
	a := arrivals{
		quarantine: received.WithLabelValues(source, kindUnknown.String(), "quarantined"),
		age:        lag.WithLabelValues(source),
	}
	for k := range kinds {
		a.accepted[k] = received.WithLabelValues(source, k.String(), "accepted")
	}
	return a
}

// sent counts a batch that the queue took.
func (a *arrivals) sent(b *batch, received time.Time) {
	for k, n := range b.byKind {
		if n > 0 {
			a.accepted[k].Add(float64(n))
		}
	}
	if b.quarantined > 0 {
		a.quarantine.Add(float64(b.quarantined))
	}
	for _, at := range b.times {
		a.age.Observe(max(0, received.Sub(at).Seconds()))
	}
}

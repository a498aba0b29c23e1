package ingest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Ways in, as PropVia and as the label "source".
const (
	viaWebhook      = "webhook"
	viaAzureMonitor = "azure-monitor"
)

// Events serves Event Grid: POST with one event or an array in either schema,
// OPTIONS for the CloudEvents handshake.
func (s *Subscriber) Events() http.Handler {
	return &route{
		s: s, via: viaWebhook, auth: s.options.Authenticator, handshakes: true,
		allow: "OPTIONS, POST", metrics: s.metrics.route(viaWebhook),
	}
}

// Alerts serves Azure Monitor action groups: POST with the common alert
// schema.
func (s *Subscriber) Alerts() http.Handler {
	return &route{
		s: s, via: viaAzureMonitor, auth: s.options.AlertsAuthenticator,
		allow: "POST", metrics: s.metrics.route(viaAzureMonitor),
	}
}

// route is one way in.
type route struct {
	s          *Subscriber
	via        string
	auth       Authenticator
	handshakes bool
	allow      string
	metrics    *routeMetrics
}

// ServeHTTP implements http.Handler.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := rt.s.options.Now()
	ctx, cancel := context.WithTimeout(r.Context(), rt.s.options.Timeout)
	defer cancel()
	ended := rt.serve(w, r.WithContext(ctx), start)
	rt.metrics.observe(ended, rt.s.options.Now().Sub(start))
}

// serve is the order of things: method, a free slot, who asks, how often, and
// only then a single byte of the body.
func (rt *route) serve(w http.ResponseWriter, r *http.Request, start time.Time) outcome {
	handshake := r.Method == http.MethodOptions && rt.handshakes
	if r.Method != http.MethodPost && !handshake {
		return rt.turnAway(w, refuseMethod(rt.allow))
	}
	select {
	case rt.s.slots <- struct{}{}:
	default:
		return rt.turnAway(w, refuse503(outcomeOverload, retrySoon,
			"Too many requests are being served. Send this one again.", nil))
	}
	rt.metrics.inFlight.Inc()
	defer func() {
		<-rt.s.slots
		rt.metrics.inFlight.Dec()
	}()
	if err := rt.auth.Authenticate(r); err != nil {
		return rt.turnAway(w, refuseAuth(err))
	}
	if rt.s.limiter != nil && !rt.s.limiter.AllowN(start, 1) {
		return rt.turnAway(w, refuse503(outcomeRate, retrySoon,
			"The configured request rate is exceeded. Send this request again.", nil))
	}
	if handshake {
		return rt.agree(w, r)
	}
	return rt.accept(w, r, start)
}

// accept reads and splits a request; a handshake is answered, anything else
// goes to the queue.
func (rt *route) accept(w http.ResponseWriter, r *http.Request, received time.Time) outcome {
	body, err := rt.read(w, r)
	if err != nil {
		return rt.turnAway(w, rt.s.refuseBody(r.Context(), err))
	}
	defer body.release()
	f, delivered := rt.facts(r, received)
	items := split(f, body.data)
	switch {
	case len(items) > rt.s.options.MaxEvents:
		return rt.turnAway(w, refuseBatch(len(items), rt.s.options.MaxEvents))
	case len(items) == 1 && items[0].Problem != nil && items[0].Problem.Reason == event.ReasonEmpty:
		return rt.turnAway(w, refuse(http.StatusBadRequest, outcomeEmpty, "The body is empty: there is no event in it."))
	}
	if code, ok := validationCode(delivered, items); ok && rt.handshakes {
		return rt.validate(w, code)
	}
	return rt.enqueue(w, r, f, items)
}

// enqueue makes the batch durable; only then is it answered.
func (rt *route) enqueue(w http.ResponseWriter, r *http.Request, f *facts, items []event.Item) outcome {
	b := newBatch(f, items)
	if len(b.messages) > 0 {
		if err := rt.s.options.Queue.Send(r.Context(), b.messages); err != nil {
			return rt.turnAway(w, refuseSend(r.Context(), err))
		}
	}
	rt.metrics.sent(b, f.received)
	rt.logBatch(f, b)
	var answer [64]byte
	text := append(answer[:0], `{"accepted":`...)
	text = strconv.AppendInt(text, int64(len(b.messages)-b.quarantined), 10)
	text = append(text, `,"quarantined":`...)
	text = strconv.AppendInt(text, int64(b.quarantined), 10)
	writeJSON(w, append(text, '}'))
	return outcomeAccepted
}

// turnAway counts, logs and writes a refusal.
func (rt *route) turnAway(w http.ResponseWriter, f *refusal) outcome {
	switch f.outcome {
	case outcomeUnauthenticated, outcomeForbidden, outcomeAuthUnavailable:
		rt.metrics.refused(f.reason)
	}
	rt.logRefusal(f)
	f.write(w)
	return f.outcome
}

// read bounds the time that a slow sender may take over its body: a blocked
// read does not see the context.
func (rt *route) read(w http.ResponseWriter, r *http.Request) (*body, error) {
	if deadline, ok := r.Context().Deadline(); ok {
		// A writer without deadlines (a recorder) has no slow sender either.
		_ = http.NewResponseController(w).SetReadDeadline(deadline)
	}
	return rt.s.bodies.read(r)
}

// facts reads Event Grid's headers and counts them.
func (rt *route) facts(r *http.Request, received time.Time) (*facts, delivery) {
	f := &facts{
		via: rt.via, received: received, header: r.Header,
		subscription: clean(r.Header.Get("Aeg-Subscription-Name"), maxHeaderValue),
	}
	attempt, again := attemptOf(r.Header.Get("Aeg-Delivery-Count"))
	f.attempt = attempt
	d := deliveryOf(r.Header.Get("Aeg-Event-Type"))
	rt.metrics.deliveries[d].Inc()
	if f.subscription != "" {
		m := rt.metrics.subscription(f.subscription)
		m.requests.Inc()
		if again {
			m.redelivered.Inc()
		}
	}
	if d == deliveryDeletion {
		rt.s.log.Warn("an Event Grid subscription was deleted: its events no longer come",
			zap.String("subscription", f.subscription))
	}
	return f, d
}

var jsonContent = []string{"application/json"}

func writeJSON(w http.ResponseWriter, text []byte) {
	w.Header()["Content-Type"] = jsonContent
	_, _ = w.Write(text) // the sender may be gone; what is durable stays so
}

// logBatch checks the level first: at the usual one, a good batch costs
// nothing here.
func (rt *route) logBatch(f *facts, b *batch) {
	if b.quarantined > 0 {
		rt.s.log.Warn("part of a request was not understood and goes to quarantine",
			zap.String("source", f.via), zap.Int("quarantined", b.quarantined), zap.Int("of", len(b.messages)),
			zap.String("reason", b.problem.Reason), zap.String("subscription", f.subscription))
	}
	if entry := rt.s.log.Check(zapcore.DebugLevel, "accepted a request"); entry != nil {
		entry.Write(zap.String("source", f.via), zap.Int("events", len(b.messages)),
			zap.String("subscription", f.subscription), zap.String("attempt", f.attempt))
	}
}

// logRefusal: faults of ours are errors, senders' faults are warnings.
func (rt *route) logRefusal(f *refusal) {
	level := zapcore.WarnLevel
	if f.outcome == outcomeQueue || f.outcome == outcomeTimeout || f.outcome == outcomeAuthUnavailable {
		level = zapcore.ErrorLevel
	}
	if entry := rt.s.log.Check(level, "refused a request"); entry != nil {
		entry.Write(zap.String("source", rt.via), zap.String("outcome", f.outcome.String()),
			zap.String("reason", f.reason), zap.Int("status", f.status), zap.Error(f.cause))
	}
}

package worker

import (
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// parse reads the messages of a batch. What nobody understands is marked for
// quarantine; nothing is dropped here.
func (w *Worker) parse(deliveries []lineage.Delivery) *batch {
	b := &batch{jobs: make([]*job, len(deliveries)), policies: w.o.Policies(), page: w.pages.next(w.o.Now(), w.o.Name)}
	b.items = make([]*item, 0, len(deliveries))
	for i, d := range deliveries {
		j := &job{delivery: d}
		b.jobs[i] = j
		switch kind := d.Properties[lineage.PropKind]; kind {
		case lineage.KindWake:
			j.wake = string(d.Body)
		case lineage.KindRaw:
			p := event.Problem{Reason: d.Properties[lineage.PropProblem], Detail: d.Properties[lineage.PropProblemDetail]}
			j.quarantine = append(j.quarantine, quarantined{body: d.Body, problem: p})
		default:
			w.parseEvents(b, j)
		}
	}
	return b
}

// parseEvents reads a body: one canonical event from our own subscriber, or
// whatever Event Grid put into the queue itself.
func (w *Worker) parseEvents(b *batch, j *job) {
	// A body in CloudEvents binary mode, replayed from quarantine, has its
	// attributes among the properties.
	header := func(name string) string { return j.delivery.Properties[strings.ToLower(name)] }
	parts, err := event.Split(j.delivery.Properties[lineage.PropContentType], header, j.delivery.Body)
	if err != nil {
		j.reject(j.delivery.Body, err)
		return
	}
	for _, part := range parts {
		if part.Problem != nil {
			j.reject(part.Raw, part.Problem)
			continue
		}
		if part.Envelope.Time.IsZero() {
			part.Envelope.Time = j.received().UTC()
		}
		ev, err := w.o.Parser.Parse(part.Envelope)
		if err != nil {
			j.reject(part.Raw, err)
			continue
		}
		if p := w.add(b, j, ev); p != nil {
			j.reject(part.Raw, p)
		}
	}
}

// add takes an event into the batch, unless its names can't be kept.
func (w *Worker) add(b *batch, j *job, ev *event.Event) *event.Problem {
	it := &item{job: j, ev: ev, key: ev.Key(), home: lineage.Home(ev), patches: lineage.Patches(ev)}
	if p := lineage.CheckNames(it.home, it.patches); p != nil {
		return p
	}
	it.stamp = lineage.Stamp{At: ev.Time.UTC(), Key: it.key}
	it.canonical = ev.AppendJSON(make([]byte, 0, len(ev.Data)+len(ev.Source)+len(ev.Subject)+300))
	it.finished = w.done.has(it.logKey())
	j.items = append(j.items, it)
	b.items = append(b.items, it)
	w.metrics.event(ev, w.o.Now())
	if ce := w.o.Logger.Check(zap.DebugLevel, "event read"); ce != nil {
		ce.Write(it.logFields(zap.String("kind", string(ev.Kind)))...)
	}
	return nil
}

// reject marks bytes for quarantine with the reason.
func (j *job) reject(raw []byte, err error) {
	q := quarantined{body: raw, problem: event.Problem{Reason: "unreadable", Detail: err.Error()}}
	var p *event.Problem
	if errors.As(err, &p) {
		q.problem = *p
	}
	j.quarantine = append(j.quarantine, q)
}

// received is when the subscriber accepted the message, else the queue.
func (j *job) received() time.Time {
	if t, err := time.Parse(time.RFC3339Nano, j.delivery.Properties[lineage.PropReceived]); err == nil {
		return t
	}
	return j.delivery.Enqueued
}

func (it *item) logFields(more ...zap.Field) []zap.Field {
	f := append(more, zap.String("event", it.logKey()), zap.String("event_id", it.ev.ID))
	if t := it.job.delivery.Properties[lineage.PropTraceParent]; t != "" {
		f = append(f, zap.String("trace_id", traceID(t)))
	}
	return f
}

// traceID is the trace id within a W3C traceparent header.
func traceID(parent string) string {
	if len(parent) >= 35 {
		return parent[3:35]
	}
	return parent
}

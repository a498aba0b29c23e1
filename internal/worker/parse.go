package worker

import (
	"errors"
	"fmt"
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
		case lineage.KindRemind:
			j.remind = string(d.Body)
		case lineage.KindEnrich:
			j.enrich = string(d.Body)
			b.later = true
		case lineage.KindRaw:
			p := event.Problem{Reason: d.Properties[lineage.PropProblem], Detail: d.Properties[lineage.PropProblemDetail]}
			if was := d.Properties[lineage.PropShrunk]; was != "" {
				p.Detail += "; too large for the queue, so this is its beginning; the whole had " + was
			}
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
		notes := append(j.shrunk(), j.plausibleTime(&part.Envelope)...)
		ev, err := w.o.Parser.Parse(part.Envelope)
		if err != nil {
			j.reject(part.Raw, err)
			continue
		}
		if ev.Trimmed > 0 {
			notes = append(notes, fmt.Sprintf("%d entries beyond the bounds of an event were left out of its tags, properties or links; the event itself is kept whole", ev.Trimmed))
		}
		if p := w.add(b, j, ev, notes); p != nil {
			j.reject(part.Raw, p)
		}
	}
}

// shrunk notes what a message lost because it did not fit the queue.
func (j *job) shrunk() []string {
	was := j.delivery.Properties[lineage.PropShrunk]
	if was == "" {
		return nil
	}
	return []string{"the event was too large for the queue: its longest values were cut, each marked with its length and digest; the whole had " + was}
}

// How far a sender's clock may run ahead of ours before that is noted, and
// before the time is taken for garbage.
const (
	maxAhead         = 10 * time.Minute
	implausibleAhead = 2 * 366 * 24 * time.Hour
)

// plausibleTime replaces a time that is missing, or that lies years ahead, by
// that of the reception: as newest news until the year 9999 it would silence
// all that is true. A clock that merely runs ahead is believed, since order is
// by the senders' clocks. The returned notes tell of either.
func (j *job) plausibleTime(e *event.Envelope) []string {
	received := j.received().UTC()
	ahead, claimed := e.Time.Sub(received), e.Time.UTC().Format(time.RFC3339)
	switch {
	case e.Time.IsZero():
		e.Time = received
		return []string{"the event carries no usable time; that of its reception was taken"}
	case ahead > implausibleAhead:
		e.Time = received
		return []string{"the event's time " + claimed + " lies years ahead; that of its reception was taken"}
	case ahead > maxAhead:
		return []string{"the event's time " + claimed + " was ahead of the clock here when it was received; older news will not overwrite it"}
	}
	return nil
}

// add takes an event into the batch, unless its names can't be kept.
func (w *Worker) add(b *batch, j *job, ev *event.Event, notes []string) *event.Problem {
	it := &item{job: j, ev: ev, key: ev.Key(), home: lineage.Home(ev), patches: lineage.Patches(ev), notes: notes}
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

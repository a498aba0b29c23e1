package ingest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// pulled is one delivery and the messages that it became.
type pulled struct {
	lineage.Delivery
	batch *batch
}

// cloudEventsJSON is what pulled events are.
var cloudEventsJSON = http.Header{"Content-Type": {"application/cloudevents+json"}}

// handle queues a page, acknowledges what the queue has and gives back the
// rest. The error is a fault that is worth a pause.
func (p *Pull) handle(c contexts, page []lineage.Delivery) error {
	received := p.o.Now()
	events := p.read(page, received)
	letGo := p.hold(c.settling, events)
	kept, left, err := p.keep(c.queueing, events)
	letGo()
	for _, e := range kept {
		p.metrics.sent(e.batch, received)
	}
	return errors.Join(err, p.acknowledge(c.settling, kept), p.release(c.settling, left))
}

// read turns deliveries into messages, as the subscriber does with a request.
// Messages count deliveries as Event Grid's header does, from 0.
func (p *Pull) read(page []lineage.Delivery, received time.Time) []pulled {
	out := make([]pulled, len(page))
	for i, d := range page {
		f := &facts{
			via: viaPull, received: received, header: cloudEventsJSON,
			subscription: clean(p.o.Name, maxHeaderValue), attempt: strconv.Itoa(d.Attempt - 1),
		}
		b := newBatch(f, split(f, d.Body))
		if b.quarantined > 0 {
			p.log.Warn("a pulled event was not understood and goes to quarantine", zap.String("reason", b.problem.Reason))
		}
		out[i] = pulled{d, b}
	}
	return out
}

// keep makes the events' messages durable. Those of left are not, or not
// known to be; err says why, but is nil when that is their own size.
func (p *Pull) keep(ctx context.Context, events []pulled) (kept, left []pulled, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	err = p.send(ctx, events)
	switch {
	case err == nil:
		return events, nil, nil
	case !errors.Is(err, lineage.ErrTooLarge):
		return nil, events, err
	}
	// One event may be to blame: the others must not suffer for it.
	for i := range events {
		err := p.send(ctx, events[i:i+1])
		switch {
		case err == nil:
			kept = append(kept, events[i])
		case errors.Is(err, lineage.ErrTooLarge):
			left = append(left, events[i])
		default:
			return kept, append(left, events[i:]...), err
		}
	}
	return kept, left, nil
}

func (p *Pull) send(ctx context.Context, events []pulled) error {
	var messages []lineage.Message
	for _, e := range events {
		messages = append(messages, e.batch.messages...)
	}
	if len(messages) == 0 {
		return nil
	}
	err := p.o.Queue.Send(ctx, messages)
	if err != nil {
		p.log.Error("pulled events could not be queued", zap.Int("messages", len(messages)), zap.Error(err))
	}
	return err
}

// extendEvery is a third of the shortest lock that Event Grid allows.
const extendEvery = 20 * time.Second

// hold extends the events' locks until the returned function is called, which
// waits for the last call to end.
func (p *Pull) hold(ctx context.Context, events []pulled) (letGo func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for sleep(ctx, extendEvery) {
			// A lock that can't be extended ends; its event comes again.
			if err := p.o.Source.Extend(ctx, leasesOf(events)); err != nil && ctx.Err() == nil {
				p.log.Warn("locks could not be extended", zap.Error(err))
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func leasesOf(events []pulled) []lineage.Lease {
	out := make([]lineage.Lease, len(events))
	for i, e := range events {
		out[i] = e.Lease
	}
	return out
}

// acknowledge ends what the queue has. What it fails for comes again and
// becomes the same messages: harmless (law 2).
func (p *Pull) acknowledge(ctx context.Context, kept []pulled) error {
	return p.settle(ctx, p.metrics.acknowledged, leasesOf(kept), p.o.Source.Acknowledge)
}

// release gives back what the queue does not have, the longer the more often
// it was delivered. What it fails for comes again when its lock ends.
func (p *Pull) release(ctx context.Context, left []pulled) error {
	byDelay := map[time.Duration][]lineage.Lease{}
	for _, e := range left {
		after := releaseAfter(e.Attempt)
		byDelay[after] = append(byDelay[after], e.Lease)
	}
	var errs []error
	for _, after := range slices.Sorted(maps.Keys(byDelay)) {
		errs = append(errs, p.settle(ctx, p.metrics.released, byDelay[after], func(ctx context.Context, l []lineage.Lease) error {
			return p.o.Source.Release(ctx, l, after)
		}))
	}
	return errors.Join(errs...)
}

package servicebus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// maxWindow bounds what one receive asks for, together with maxPrefetch below
// the SDK's 5,000.
const maxWindow = 2048

// errBroke stands for the link that the SDK lost without a word.
var errBroke = errors.New("the receiving link broke")

// Receive implements lineage.Queue. At most 2,048 messages come at once,
// whatever max says.
func (q queue) Receive(ctx context.Context, max int) ([]lineage.Delivery, error) {
	if max < 1 {
		return nil, fmt.Errorf("receive: cannot receive %d messages, ask for at least 1", max)
	}
	ctx, leave, err := q.c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	// The service closes a link that was idle for ten minutes, so one that
	// broke is no news. Several at short intervals are.
	for broke := 0; ; {
		start := q.c.o.Now()
		b, err := q.c.fetch(ctx, max)
		if q.c.o.Now().Sub(start) > time.Minute {
			broke = 0
		}
		if errors.Is(err, errBroke) && broke < 2 {
			broke++
			continue
		}
		if err != nil {
			return nil, q.c.fault(ctx, "receive from "+q.c.o.Queue, err)
		}
		if ds := q.c.deliver(ctx, b); len(ds) > 0 {
			return ds, nil
		}
	}
}

// fetch gets messages that nobody has seen: fetched ahead, or from the
// broker. None may come: the caller tries again.
func (c *Client) fetch(ctx context.Context, max int) (batch, error) {
	if !c.leases.room(c.o.Now(), max) {
		return batch{}, &fault{meaning{retryable: true}, fmt.Sprintf("service bus: receive: %d deliveries are not settled", maxLeases)}
	}
	if b := c.ahead.take(max); len(b.messages) > 0 {
		return b, nil
	}
	waiting, done := c.ahead.watch(ctx)
	defer done()
	l, err := c.pool.take(waiting)
	var b batch
	if err == nil {
		b, err = await(waiting, c, func(ctx context.Context) (batch, error) { return c.pool.receive(ctx, l, max) }, c.giveBack)
	}
	switch {
	case len(b.messages) > max:
		c.ahead.put(batch{b.messages[max:], b.from})
		b.messages = b.messages[:max]
	case len(b.messages) > 0:
	case ctx.Err() == nil && waiting.Err() != nil:
		return batch{}, nil // something was put ahead
	case err == nil && ctx.Err() == nil:
		return batch{}, errBroke
	case err == nil:
		err = ctx.Err()
	}
	if len(b.messages) > 0 {
		c.health.reached(c.o.Now())
		return b, nil
	}
	return batch{}, err
}

// deliver makes deliveries of messages; those that were handed out too often
// become dead letters instead.
func (c *Client) deliver(ctx context.Context, b batch) []lineage.Delivery {
	var worn []*held
	ds := make([]lineage.Delivery, 0, len(b.messages))
	for _, m := range b.messages {
		h := c.hold(m, b.from)
		if h.attempt > c.o.MaxDeliveries {
			worn = append(worn, h)
			continue
		}
		lease := leaseOf(m)
		c.leases.add(lease, h)
		ds = append(ds, lineage.Delivery{
			Message: h.message, Lease: lease, LeasedUntil: h.until, Attempt: h.attempt, Enqueued: h.enqueued,
		})
	}
	c.buryWorn(ctx, worn)
	return ds
}

// hold reads what a message says.
func (c *Client) hold(m *azservicebus.ReceivedMessage, from *source) *held {
	r := read(m)
	h := &held{raw: m, from: from, message: r.message, attempt: r.before + r.deliveries, enqueued: r.enqueued}
	if h.until = c.o.Now().Add(time.Minute); m.LockedUntil != nil {
		h.until = *m.LockedUntil
	}
	return h
}

// buryWorn makes dead letters of messages that came too often. One that can't
// be buried now comes again when its lock ends, and is then.
func (c *Client) buryWorn(ctx context.Context, worn []*held) {
	each(len(worn), settleWidth, func(i int) {
		h := worn[i]
		h.attempt = min(h.attempt-1, c.o.MaxDeliveries)
		err := c.finish(ctx, h, c.kill(h, reasonWorn, fmt.Sprintf("delivered %d times without being settled", h.attempt)))
		if err != nil && ctx.Err() == nil {
			c.o.Logger.Warn("a message came too often and could not be moved to the dead letters; it comes again",
				zap.String("message", h.message.ID), zap.Error(err))
		}
	})
}

// giveBack lets others have messages at once instead of when their locks end.
func (c *Client) giveBack(b batch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), settleLimit)
	defer cancel()
	each(len(b.messages), settleWidth, func(i int) {
		// In vain, the lock ends by itself.
		_ = b.from.AbandonMessage(ctx, b.messages[i], nil)
	})
}

// abandonByToken lets others have messages whose own link is closed.
func abandonByToken(ctx context.Context, r *azservicebus.Receiver, messages []*azservicebus.ReceivedMessage) {
	each(len(messages), settleWidth, func(i int) {
		// In vain, the lock ends by itself.
		_ = r.AbandonMessage(ctx, &azservicebus.ReceivedMessage{LockToken: messages[i].LockToken}, nil)
	})
}

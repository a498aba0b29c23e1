package servicebus

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// reasonWorn is the reason of a message that was delivered too often, by our
// count or, under another name, by the broker's.
const (
	reasonWorn       = "max_deliveries"
	brokerReasonWorn = "MaxDeliveryCountExceeded"
)

// peekAtOnce bounds the dead letters that come in one answer, which is one
// AMQP message.
const peekAtOnce = 100

// ListDead implements lineage.DeadLetters. The order is that of the dead
// letters' sequence numbers, which are their ids.
func (d deadLetters) ListDead(ctx context.Context, cursor string, limit int) (dead []lineage.DeadMessage, next string, err error) {
	if limit < 1 || limit > 1000 {
		return nil, "", fmt.Errorf("list the dead: a limit of %d is not from 1 to 1000", limit)
	}
	from := int64(0)
	if cursor != "" {
		var ok bool
		if from, ok = parseID(cursor); !ok {
			return nil, "", lineage.ErrBadCursor
		}
	}
	ctx, leave, err := d.c.enter(ctx)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	for len(dead) < limit {
		page, err := d.c.peekDead(ctx, from, min(limit-len(dead), peekAtOnce))
		if err != nil {
			return nil, "", err
		}
		if len(page) == 0 {
			return dead, "", nil
		}
		for _, m := range page {
			dead = append(dead, readDead(m))
			from = max(from, *m.SequenceNumber+1)
		}
	}
	return dead, strconv.FormatInt(from, 10), nil
}

// GetDead implements lineage.DeadLetters.
func (d deadLetters) GetDead(ctx context.Context, id string) (lineage.DeadMessage, error) {
	ctx, leave, err := d.c.enter(ctx)
	if err != nil {
		return lineage.DeadMessage{}, err
	}
	defer leave()
	m, err := d.c.findDead(ctx, id)
	if err != nil {
		return lineage.DeadMessage{}, err
	}
	return readDead(m), nil
}

// findDead looks at a dead letter without locking it.
func (c *Client) findDead(ctx context.Context, id string) (*azservicebus.ReceivedMessage, error) {
	number, ok := parseID(id)
	if !ok {
		return nil, lineage.ErrNotFound
	}
	page, err := c.peekDead(ctx, number, 1)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 || *page[0].SequenceNumber != number {
		return nil, lineage.ErrNotFound
	}
	return page[0], nil
}

// parseID reads a sequence number in the one way that it is written.
func parseID(id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == id
}

// peekDead looks at up to n dead letters from a sequence number on. Without a
// number nobody could find one again, so that is an error.
func (c *Client) peekDead(ctx context.Context, from int64, n int) ([]*azservicebus.ReceivedMessage, error) {
	var page []*azservicebus.ReceivedMessage
	err := c.graveyard.use(ctx, callLimit, func(ctx context.Context, r *azservicebus.Receiver) error {
		got, err := r.PeekMessages(ctx, n, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &from})
		page = got
		return err
	})
	if err != nil {
		return nil, c.fault(ctx, "look at the dead letters of "+c.o.Queue, err)
	}
	c.health.reached(c.o.Now())
	for _, m := range page {
		if m.SequenceNumber == nil {
			return nil, fmt.Errorf("service bus: a dead letter of %s has no sequence number", c.o.Queue)
		}
	}
	return page, nil
}

// readDead reads a dead letter, whoever made it one.
func readDead(m *azservicebus.ReceivedMessage) lineage.DeadMessage {
	r := read(m)
	dead := lineage.DeadMessage{
		ID: strconv.FormatInt(*m.SequenceNumber, 10), Message: r.message,
		Reason: r.meta[brokerReason], Description: r.meta[brokerDescription],
	}
	if dead.Reason == brokerReasonWorn {
		dead.Reason = reasonWorn
	}
	var err error
	if dead.Attempt, err = strconv.Atoi(r.meta[propDeadAttempt]); err != nil {
		// The broker buried it, and then counts failed deliveries alone.
		before, _ := strconv.Atoi(r.meta[propAttempt])
		dead.Attempt = before + r.deliveries - 1
	}
	enqueued, _ := time.Parse(time.RFC3339Nano, r.meta[propDeadEnqueued])
	dead.Enqueued = cmp.Or(enqueued, r.enqueued)
	if dead.Died, err = time.Parse(time.RFC3339Nano, r.meta[propDied]); err != nil && m.EnqueuedTime != nil {
		dead.Died = m.EnqueuedTime.UTC() // not before that
	}
	return dead
}

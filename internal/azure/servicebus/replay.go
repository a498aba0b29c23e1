package servicebus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Bounds of the search for one dead letter. The service locks messages in
// their order only, so all before it are locked with it for a moment.
const (
	maxDug      = 2000
	maxDugBytes = 128 << 20
	// digPatience is how long the next dead letter may be in coming before
	// there is none that is not locked.
	digPatience = 2 * time.Second
)

// Replay implements lineage.DeadLetters. The copy's broker id names the dead
// letter's place, so that a queue with duplicate detection drops the repeat
// after a crash, and no other message.
func (d deadLetters) Replay(ctx context.Context, id string, properties map[string]string) error {
	return d.c.exhume(ctx, id, func(ctx context.Context, m *azservicebus.ReceivedMessage) error {
		message := readDead(m).Message
		message.Properties = maps.Clone(message.Properties)
		maps.Copy(message.Properties, properties)
		return d.c.send(ctx, []outgoing{{message: message, id: brokerID(message.ID, sequence(m, "~replay-"))}})
	})
}

// Discard implements lineage.DeadLetters.
func (d deadLetters) Discard(ctx context.Context, id string) error {
	return d.c.exhume(ctx, id, func(context.Context, *azservicebus.ReceivedMessage) error { return nil })
}

// exhume locks a dead letter, does something with it and, if that succeeded,
// removes it.
func (c *Client) exhume(ctx context.Context, id string, first func(context.Context, *azservicebus.ReceivedMessage) error) error {
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c.digging.take(ctx) != nil { // two who dig lock each other's letters
		return c.ended(ctx)
	}
	defer c.digging.give()
	wanted, err := c.findDead(ctx, id)
	if err != nil {
		return err
	}
	r, err := connected(ctx, c, c.newDeadReceiver, connectReceiver, func(late *azservicebus.Receiver) { c.dismiss(late.Close) })
	if err != nil {
		return c.fault(ctx, "open the dead letters of "+c.o.Queue, err)
	}
	grave := c.newSource(r)
	dug, found, err := c.dig(ctx, grave, *wanted.SequenceNumber)
	defer func() { c.rebury(grave, dug) }()
	switch {
	case err != nil:
		return err
	case found == nil:
		return c.notDug(ctx, id, len(dug))
	}
	if err := first(ctx, found); err != nil {
		dug = append(dug, found)
		return err
	}
	return c.finish(ctx, &held{raw: found, from: grave, manager: &c.graveyard}, complete)
}

// rebury gives back what was locked on the way. The link is closed before: it
// may have credit left, on which all of it would come again.
func (c *Client) rebury(r *source, dug []*azservicebus.ReceivedMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), closeLimit)
	defer cancel()
	_ = c.do(ctx, settleLimit, r.Close)
	r.die()
	if others, err := c.graveyard.get(ctx); err == nil {
		abandonByToken(ctx, others, dug)
	}
}

// dig locks dead letters from the oldest on until it has the wanted one. In
// small steps first: who replays one after the other wants the oldest.
func (c *Client) dig(ctx context.Context, r *source, wanted int64) (dug []*azservicebus.ReceivedMessage, found *azservicebus.ReceivedMessage, err error) {
	for n, size := 1, 0; len(dug) < maxDug && size < maxDugBytes; n = min(8*n, 256) {
		got, err := c.receiveDead(ctx, r, n)
		if err != nil || len(got) == 0 {
			return dug, nil, err
		}
		for _, m := range got {
			size += len(m.Body)
			if m.SequenceNumber != nil && *m.SequenceNumber == wanted {
				found = m
			} else {
				dug = append(dug, m)
			}
		}
		if found != nil {
			return dug, found, nil
		}
	}
	return dug, nil, nil
}

// receiveDead locks up to n dead letters; none after some patience is no
// error.
func (c *Client) receiveDead(ctx context.Context, r *source, n int) ([]*azservicebus.ReceivedMessage, error) {
	waiting, cancel := context.WithTimeout(ctx, digPatience)
	defer cancel()
	b, err := await(waiting, c, func(ctx context.Context) (batch, error) {
		got, err := r.ReceiveMessages(ctx, n, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: linger})
		if err == nil && len(got) == 0 {
			err = errBroke
		}
		return batch{got, r}, err
	}, c.giveBack)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return b.messages, c.fault(ctx, "lock dead letters of "+c.o.Queue, err)
}

// notDug says why a dead letter that was there could not be locked.
func (c *Client) notDug(ctx context.Context, id string, dug int) error {
	if _, err := c.findDead(ctx, id); err != nil {
		return err // somebody was faster
	}
	if dug >= maxDug {
		return fmt.Errorf("service bus: dead letter %s lies behind %d others, and at most %d can be locked to get at it: replay or discard older ones first", id, dug, maxDug)
	}
	return errors.New("service bus: dead letter " + id + " is locked by somebody else at the moment; try again when the lock is over, in a few minutes at most")
}

package servicebus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// settleWidth is how many verdicts of one call are under way at once.
const settleWidth = 64

// settleLimit bounds one verdict on one way. The SDK's settle calls ignore
// its RetryOptions: on a dead link they wait 3.2 s at least and then open it
// anew, for ever if it was closed meanwhile. They must not get there.
const settleLimit = 3 * time.Second

// Limits of texts in a dead letter, in bytes; the service allows 4,096
// characters each.
const (
	maxReason      = 256
	maxDescription = 4096
)

// verdict carries out a verdict on a message over a receiver.
type verdict func(ctx context.Context, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) error

func complete(ctx context.Context, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) error {
	return r.CompleteMessage(ctx, m, nil)
}

func abandon(ctx context.Context, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) error {
	return r.AbandonMessage(ctx, m, nil)
}

// kill dead-letters with all that a dead letter must tell.
func (c *Client) kill(h *held, reason, description string) verdict {
	o := &azservicebus.DeadLetterOptions{
		Reason:           to.Ptr(clip(reason, maxReason)),
		ErrorDescription: to.Ptr(clip(description, maxDescription)),
		PropertiesToModify: map[string]any{
			propDeadAttempt:  strconv.Itoa(h.attempt),
			propDeadEnqueued: stamp(h.enqueued),
			propDied:         stamp(c.o.Now()),
		},
	}
	return func(ctx context.Context, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) error {
		return r.DeadLetterMessage(ctx, m, o)
	}
}

// Settle implements lineage.Queue. A delayed retry is a scheduled copy and
// then the end of the original; if the end fails, both come.
func (q queue) Settle(ctx context.Context, settlements []lineage.Settlement) error {
	ctx, leave, err := q.c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	all := make([]settling, len(settlements))
	for i, s := range settlements {
		all[i] = settling{Settlement: s, held: q.c.leases.take(s.Lease)}
		if all[i].held == nil {
			all[i].err = lineage.ErrLeaseLost
		}
	}
	q.c.sendCopies(ctx, all)
	each(len(all), settleWidth, func(i int) { q.c.settle(ctx, &all[i]) })
	if err := q.c.ended(ctx); err != nil {
		return err
	}
	failed := map[int]error{}
	for i := range all {
		if all[i].err != nil {
			failed[i] = all[i].err
		}
	}
	return settleError(failed)
}

func settleError(failed map[int]error) error {
	if len(failed) == 0 {
		return nil
	}
	return &lineage.SettleError{Failed: failed}
}

// settling is a settlement on its way.
type settling struct {
	lineage.Settlement
	held *held
	// copied means that a copy of the message comes later.
	copied bool
	err    error
}

func (s *settling) delayed() bool {
	return s.held != nil && s.Verdict == lineage.Retry && s.After > 0
}

// sendCopies sends the copies for delayed retries, all in one go. A copy that
// does not fit, though its original did, is the only one that goes without:
// that retry comes at once.
func (c *Client) sendCopies(ctx context.Context, all []settling) {
	var delayed []*settling
	var copies []outgoing
	for i := range all {
		if s := &all[i]; s.delayed() {
			delayed, copies = append(delayed, s), append(copies, c.copyOf(s))
		}
	}
	if len(copies) == 0 {
		return
	}
	err := c.send(ctx, copies)
	for i, s := range delayed {
		failed := err
		if errors.Is(err, lineage.ErrTooLarge) && len(copies) > 1 {
			failed = c.send(ctx, copies[i:i+1])
		}
		switch s.copied = failed == nil; {
		case errors.Is(failed, lineage.ErrTooLarge):
			c.o.Logger.Warn("a copy for a delayed retry is too large; retrying at once", zap.String("message", s.held.message.ID))
		case failed != nil:
			s.err = failed
		}
	}
}

// copyOf is the message as it comes later. Its broker id names the original's
// place in the queue, so that a repeat is the same copy, and no other is.
func (c *Client) copyOf(s *settling) outgoing {
	h := s.held
	m := h.message
	m.NotBefore = c.o.Now().Add(s.After)
	return outgoing{message: m, id: brokerID(h.message.ID, sequence(h.raw, "~")), attempt: h.attempt, enqueued: h.enqueued}
}

// settle carries out one verdict.
func (c *Client) settle(ctx context.Context, s *settling) {
	if s.err == nil {
		switch {
		case s.Verdict == lineage.Done, s.copied:
			s.err = c.finish(ctx, s.held, complete)
		case s.Verdict == lineage.Retry:
			s.err = c.finish(ctx, s.held, abandon)
		case s.Verdict == lineage.Dead:
			s.err = c.finish(ctx, s.held, c.kill(s.held, s.Reason, s.Description))
		default:
			s.err = fmt.Errorf("settle: %d is no verdict", s.Verdict)
		}
	}
	if s.err != nil && !errors.Is(s.err, lineage.ErrLeaseLost) {
		c.leases.add(s.Lease, s.held) // the caller may try again
	}
}

// finish carries out a verdict over the link that the message came by, or, if
// that fails, by its lock token.
func (c *Client) finish(ctx context.Context, h *held, carryOut verdict) error {
	if !h.adrift && !h.from.dead() {
		err := c.finishOverLink(ctx, h, carryOut)
		if err == nil {
			return nil
		}
		if ended := c.ended(ctx); ended != nil {
			h.adrift = true // whether it was settled is not known
			return ended
		}
		m := classify(err)
		if !m.retryable {
			return c.leaseFault(ctx, err)
		}
		h.adrift = true
		if m.relink {
			h.from.die()
		}
	}
	manager := &c.manager
	if h.manager != nil {
		manager = h.manager
	}
	return c.finishByToken(ctx, manager, h.raw.LockToken, carryOut)
}

// finishOverLink gives up as soon as the link is dead.
func (c *Client) finishOverLink(ctx context.Context, h *held, carryOut verdict) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.from.alive, cancel)()
	return c.do(ctx, settleLimit, func(ctx context.Context) error { return carryOut(ctx, h.from.Receiver, h.raw) })
}

// finishByToken settles over a queue's management node. The lock is renewed
// first: unlike a verdict, that call says at once that a link is broken, and it
// tells whether there still is a lock.
func (c *Client) finishByToken(ctx context.Context, manager *slot[*azservicebus.Receiver], token [16]byte, carryOut verdict) error {
	return c.leaseFault(ctx, manager.use(ctx, settleLimit, func(ctx context.Context, r *azservicebus.Receiver) error {
		bare := &azservicebus.ReceivedMessage{LockToken: token}
		if err := r.RenewMessageLock(ctx, bare, nil); err != nil {
			return err
		}
		return carryOut(ctx, r, bare)
	}))
}

// leaseFault is fault for calls on a lease, where a lost one is the caller's
// plain ErrLeaseLost.
func (c *Client) leaseFault(ctx context.Context, err error) error {
	if err = c.fault(ctx, "settle in "+c.o.Queue, err); errors.Is(err, lineage.ErrLeaseLost) {
		return lineage.ErrLeaseLost
	}
	return err
}

// Extend implements lineage.Queue.
func (q queue) Extend(ctx context.Context, leases []lineage.Lease) error {
	ctx, leave, err := q.c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	errs := make([]error, len(leases))
	each(len(leases), settleWidth, func(i int) { errs[i] = q.c.extend(ctx, leases[i]) })
	if err := q.c.ended(ctx); err != nil {
		return err
	}
	failed := map[int]error{}
	for i, err := range errs {
		if err != nil {
			failed[i] = err
		}
	}
	return settleError(failed)
}

func (c *Client) extend(ctx context.Context, lease lineage.Lease) error {
	token, ok := c.leases.token(lease)
	if !ok {
		return lineage.ErrLeaseLost
	}
	m := &azservicebus.ReceivedMessage{LockToken: token}
	err := c.leaseFault(ctx, c.manager.use(ctx, settleLimit, func(ctx context.Context, r *azservicebus.Receiver) error {
		return r.RenewMessageLock(ctx, m, nil)
	}))
	switch {
	case err == nil:
		c.leases.extended(lease, *m.LockedUntil)
	case errors.Is(err, lineage.ErrLeaseLost):
		c.leases.take(lease)
	}
	return err
}

package servicebus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

// shortestLock is the lock duration below which the worker could not extend
// its locks in time.
const shortestLock = 15 * time.Second

// The roles that the service needs on the queue ("Azure built-in roles",
// Microsoft Learn).
const (
	roleSender   = "Azure Service Bus Data Sender"
	roleReceiver = "Azure Service Bus Data Receiver"
)

// Check tries all that the service will do with the queue, without sending
// or locking anything, and says of each thing that it may not do which role
// is missing. Where the identity may read the queue's settings (it need not),
// those are checked too.
func (c *Client) Check(ctx context.Context) error {
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	peek := func(create func() (*azservicebus.Receiver, error)) func(context.Context) error {
		return func(ctx context.Context) error { return try(ctx, c, create, connectReceiver) }
	}
	var failures []error
	for _, trial := range []struct {
		what, role string
		try        func(context.Context) error
	}{
		{"send to it", roleSender, c.trySending},
		{"receive from it", roleReceiver, peek(c.newReceiver)},
		{"read its dead letters", roleReceiver, peek(c.newDeadReceiver)},
	} {
		err := trial.try(ctx)
		if ended := c.ended(ctx); ended != nil {
			return ended
		}
		if err != nil {
			failures = append(failures, c.checkFault(ctx, trial.what, trial.role, err))
		}
		if err != nil && classify(err).why != unauthorized.why {
			break // the others would fail the same way
		}
	}
	return errors.Join(append(failures, c.checkSettings(ctx)...)...)
}

func (c *Client) checkFault(ctx context.Context, what, role string, err error) error {
	switch classify(err).why {
	case unauthorized.why:
		return fmt.Errorf("service bus: the queue %s in %s: not allowed to %s; the identity needs the role %q on the queue or its namespace (a connection string: the claim of the same name)", c.o.Queue, c.host, what, role)
	case noQueue.why:
		return fmt.Errorf("service bus: there is no queue %s in %s; create it, or correct the setting", c.o.Queue, c.host)
	}
	return c.fault(ctx, what, err)
}

// checkSettings finds settings of the queue that would break the service's
// promises. Not being allowed to read them is no failure.
func (c *Client) checkSettings(ctx context.Context) (failures []error) {
	if c.admin == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	got, err := await(ctx, c, func(ctx context.Context) (*admin.GetQueueResponse, error) {
		return c.admin.GetQueue(ctx, c.o.Queue, nil)
	}, nil)
	if err != nil || got == nil {
		return nil
	}
	complain := func(format string, args ...any) {
		failures = append(failures, fmt.Errorf("service bus: the queue %s in %s "+format, append([]any{c.o.Queue, c.host}, args...)...))
	}
	if is(got.RequiresSession) {
		complain("requires sessions, which Event Grid and this service do not use; create it without")
	}
	if n := got.MaxDeliveryCount; n != nil && int(*n) < c.o.MaxDeliveries {
		complain("gives up after %d deliveries, before the %d that are configured here: raise its MaxDeliveryCount", *n, c.o.MaxDeliveries)
	}
	if d, ok := isoDuration(got.LockDuration); ok && d < shortestLock {
		complain("locks messages for %v only; set its LockDuration to a minute", d)
	}
	if got.Status != nil && *got.Status != admin.EntityStatusActive {
		complain("is %s", *got.Status)
	}
	return failures
}

func is(b *bool) bool { return b != nil && *b }

var isoPattern = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// isoDuration reads an ISO 8601 duration as the management API writes it.
func isoDuration(s *string) (time.Duration, bool) {
	if s == nil {
		return 0, false
	}
	parts := isoPattern.FindStringSubmatch(*s)
	if parts == nil {
		return 0, false
	}
	var d float64
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.ParseFloat(parts[i+1], 64) // "" is 0
		d += n * float64(unit)
	}
	return time.Duration(d), true
}

package lineage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is what travels through a Queue. A Queue never looks into Body:
// any bytes, zero length included, arrive as they were sent.
type Message struct {
	// ID names the message for people and for brokers that drop repeats by
	// it. A Queue does not promise to drop repeats: consumers must not need it.
	ID string
	// Body is owned by the Queue from Send on; the caller must not change it.
	Body []byte
	// Properties are few and small: at most 32, together at most 16 KiB.
	Properties map[string]string
	// NotBefore delays delivery until that time; zero means at once.
	NotBefore time.Time
}

// Lease is the right to settle one delivery. It is opaque, comparable and
// worth nothing after LeasedUntil.
type Lease string

// Delivery is one received message under a lease.
type Delivery struct {
	Message
	Lease Lease
	// LeasedUntil is when the queue gives the message to somebody else unless
	// the lease is extended or the delivery settled.
	LeasedUntil time.Time
	// Attempt counts deliveries of this message, this one included, over
	// restarts and retries: 1 on the first.
	Attempt int
	// Enqueued is when the queue accepted the message.
	Enqueued time.Time
}

// Verdict says what becomes of a delivery.
type Verdict int

// Verdicts of a Settlement.
const (
	// Done removes the message for good.
	Done Verdict = iota
	// Retry gives the message back, to be delivered not before After from now.
	Retry
	// Dead moves the message to the dead letters with Reason and Description.
	Dead
)

// Settlement is the verdict on one delivery.
type Settlement struct {
	Lease   Lease
	Verdict Verdict
	// After delays the redelivery of a Retry; zero means at once.
	After time.Duration
	// Reason is a short stable word for a Dead message
	// ("max_deliveries", "unreadable"); Description is for people.
	Reason, Description string
}

// Errors of a Queue. Everything else that a Queue returns is a fault of its
// own (or of the network): the caller may try again.
var (
	// ErrLeaseLost means that the lease expired, or was settled before: the
	// message may be somebody else's now and the caller must let go of it.
	ErrLeaseLost = errors.New("lease lost")
	// ErrTooLarge means that a message can never fit; sending again is vain.
	ErrTooLarge = errors.New("message too large for the queue")
	// ErrClosed means that the Queue or Store was closed.
	ErrClosed = errors.New("closed")
)

// SettleError reports which settlements of a Settle or Extend call failed.
type SettleError struct {
	// Failed maps the index in the call's arguments to its error.
	Failed map[int]error
}

// Error implements error.
func (e *SettleError) Error() string {
	for i, err := range e.Failed {
		return fmt.Sprintf("%d of the leases failed, among them number %d: %v", len(e.Failed), i, err)
	}
	return "no lease failed"
}

// Is makes errors.Is(err, ErrLeaseLost) true when one of the failures is.
func (e *SettleError) Is(target error) bool {
	for _, err := range e.Failed {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// Queue carries messages from those who accept events to those who work on
// them: at least once, in no particular order, under leases.
//
// Every method is safe for concurrent use and returns promptly with the
// context's error when its context ends; what was asked for may then have
// happened or not. A Queue does not retry for its caller.
//
// The laws that every implementation keeps are executable: porttest.Queue.
type Queue interface {
	// Send makes all messages durable, or returns an error and the caller
	// must assume that any subset of them was sent. A nil error means that
	// they survive the death of this process and of its machine's memory.
	Send(ctx context.Context, messages []Message) error

	// Receive waits until at least one message is deliverable, then returns
	// at once with up to max (at least 1) of them, each under a fresh lease
	// of the queue's own duration. It does not wait to fill up. The delivery
	// is counted durably before it is handed out, so that a message which
	// kills its reader runs out of attempts. A message that was delivered
	// more often than the queue's limit allows becomes a dead letter with
	// reason "max_deliveries" instead of being delivered.
	Receive(ctx context.Context, max int) ([]Delivery, error)

	// Extend renews leases to the queue's full duration from now. It returns
	// nil, or a *SettleError with ErrLeaseLost for those that were lost.
	Extend(ctx context.Context, leases []Lease) error

	// Settle ends deliveries. It returns nil when every verdict is durable,
	// or a *SettleError that names those that are not: ErrLeaseLost where the
	// lease had expired or was settled before, whatever happened since.
	Settle(ctx context.Context, settlements []Settlement) error

	// Depth counts messages as well as the backend cheaply can: counts are
	// -1 where it can't tell, which is not an error.
	Depth(ctx context.Context) (Depth, error)
}

// Depth counts a queue's messages by state; -1 is "unknown".
type Depth struct {
	Ready, Leased, Delayed, Dead int64
}

// DeadMessage is a message that was taken out of circulation.
type DeadMessage struct {
	// ID is the dead letter's own id, unique among the dead.
	ID string
	Message
	Attempt             int
	Reason, Description string
	Enqueued, Died      time.Time
}

// ErrNotFound means that what was named does not exist.
var ErrNotFound = errors.New("not found")

// DeadLetters is the second face of a queue: what was taken out of
// circulation, readable and replayable. Same rules on contexts and
// concurrency as Queue; laws in porttest.DeadLetters.
type DeadLetters interface {
	// ListDead pages through the dead in a stable order, oldest first.
	// cursor is "" at the start and what the previous call returned after;
	// next is "" at the end. At most limit (1 to 1000) come back.
	ListDead(ctx context.Context, cursor string, limit int) (dead []DeadMessage, next string, err error)
	// GetDead returns one, or ErrNotFound.
	GetDead(ctx context.Context, id string) (DeadMessage, error)
	// Replay sends the dead message again with a fresh attempt count and the
	// given properties added to its own, then removes it from the dead. A
	// crash between the two leaves it in both places, never in none.
	Replay(ctx context.Context, id string, properties map[string]string) error
	// Discard removes a dead letter for good, or returns ErrNotFound.
	Discard(ctx context.Context, id string) error
}

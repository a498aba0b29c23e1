package porttest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// QueueOptions is what a law asks of the queue that it opens.
type QueueOptions struct {
	Lease         time.Duration
	MaxDeliveries int
}

// QueueHarness is one open queue of the backend under test.
type QueueHarness interface {
	// Queue and DeadLetters are the two faces of the open queue.
	Queue() lineage.Queue
	DeadLetters() lineage.DeadLetters
	// Advance lets time pass for the backend.
	Advance(d time.Duration)
	// Reopen closes the queue and opens the same one again, as a process
	// does that was restarted. Queue and DeadLetters are new afterwards.
	Reopen(t *testing.T)
	// Close closes the queue; the law goes on using it.
	Close(t *testing.T)
}

// QueueBackend is how the suites open a queue. Open registers its own
// clean-up with t.
type QueueBackend struct {
	Around Around
	Open   func(t *testing.T, o QueueOptions) QueueHarness
}

// queueLaw is what a law works with.
type queueLaw struct {
	*testing.T
	QueueHarness
	ctx context.Context
}

const (
	lawLease      = time.Minute
	lawDeliveries = 3
)

type queueLaws []struct {
	name string
	law  func(*queueLaw)
}

func (laws queueLaws) run(t *testing.T, backend QueueBackend) {
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			backend.Around.run(t, func(t *testing.T) {
				o := QueueOptions{Lease: lawLease, MaxDeliveries: lawDeliveries}
				l.law(&queueLaw{T: t, QueueHarness: backend.Open(t, o), ctx: t.Context()})
			})
		})
	}
}

// Queue holds a backend to the contract of lineage.Queue.
func Queue(t *testing.T, backend QueueBackend) {
	queueLaws{
		{"a sent message arrives as it was sent", lawArrives},
		{"arbitrary bytes survive", lawBytes},
		{"a message of a megabyte survives", lawLarge},
		{"a batch at its limit arrives whole", lawBatch},
		{"an empty send is no send", lawEmptySend},
		{"receive waits for a message", lawReceiveWaits},
		{"receive never exceeds max", lawReceiveMax},
		{"receive refuses a max below one", lawReceiveZero},
		{"every waiting receiver is served", lawReceiversServed},
		{"done is for good", lawDone},
		{"a leased message is nobody else's", lawLeased},
		{"an expired lease means redelivery", lawRedelivery},
		{"attempts count deliveries", lawAttempts},
		{"attempts count over a reopen", lawAttemptsReopen},
		{"a late settle loses", lawLateSettle},
		{"a late extend loses", lawLateExtend},
		{"a second settle loses", lawDoubleSettle},
		{"the same lease twice in one settle loses once", lawSameLease},
		{"an unknown lease loses", lawUnknownLease},
		{"a lost lease spoils no other", lawMixedSettle},
		{"a lease from before a redelivery is worth nothing", lawStaleLease},
		{"extend keeps the lease", lawExtend},
		{"retry gives back at once", lawRetryNow},
		{"retry with a delay gives back later", lawRetryLater},
		{"a delayed send arrives when due and not before", lawDelayed},
		{"a delayed send survives a reopen", lawDelayedReopen},
		{"a delay that is over is none", lawPastDelay},
		{"what was sent survives a reopen", lawReopen},
		{"what was done does not come back after a reopen", lawReopenDone},
		{"depth counts what it knows", lawDepth},
		{"concurrent receivers lose nothing and do nothing twice", lawConcurrent},
		{"a cancelled context ends every call", lawCancelled},
		{"cancel ends a waiting receive", lawCancelReceive},
		{"a cancelled receive keeps no message for good", lawCancelKeepsNothing},
		{"a closed queue says so", lawClosed},
	}.run(t, backend)
}

// DeadLetters holds a backend to the contract of lineage.DeadLetters.
func DeadLetters(t *testing.T, backend QueueBackend) {
	queueLaws{
		{"a dead letter keeps all there is to know", lawDeadKeeps},
		{"too many deliveries are deadly", lawMaxDeliveries},
		{"too many deliveries are deadly by retry too", lawMaxRetries},
		{"attempts of delayed retries add up", lawMaxDelayedRetries},
		{"a dead letter survives a reopen", lawDeadReopen},
		{"a list is paged, oldest first, each once", lawDeadPages},
		{"an empty list is empty", lawDeadEmpty},
		{"a list refuses bad limits", lawDeadLimits},
		{"replay begins afresh", lawReplay},
		{"discard removes", lawDiscard},
		{"what is not there is not found", lawDeadNotFound},
	}.run(t, backend)
}

func (l *queueLaw) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// send sends messages with the given ids as bodies.
func (l *queueLaw) send(ids ...string) {
	l.Helper()
	var all []lineage.Message
	for _, id := range ids {
		all = append(all, lineage.Message{ID: id, Body: []byte(id)})
	}
	l.must(l.Queue().Send(l.ctx, all))
}

// receive takes exactly n messages.
func (l *queueLaw) receive(n int) []lineage.Delivery {
	l.Helper()
	var all []lineage.Delivery
	for len(all) < n {
		ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
		ds, err := l.Queue().Receive(ctx, n-len(all))
		cancel()
		if err != nil {
			l.Fatalf("received %d of %d messages, then: %v", len(all), n, err)
		}
		if len(ds) == 0 || len(ds) > n-len(all) {
			l.Fatalf("a receive of at most %d gave %d", n-len(all), len(ds))
		}
		all = append(all, ds...)
	}
	return all
}

func (l *queueLaw) one() lineage.Delivery {
	l.Helper()
	return l.receive(1)[0]
}

// nothing checks that no message is deliverable.
func (l *queueLaw) nothing() {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, moment)
	defer cancel()
	if ds, err := l.Queue().Receive(ctx, 1); err == nil {
		l.Fatalf("received %s (attempt %d) where nothing was to come", ds[0].ID, ds[0].Attempt)
	}
}

func (l *queueLaw) settle(settlements ...lineage.Settlement) {
	l.Helper()
	l.must(l.Queue().Settle(l.ctx, settlements))
}

func (l *queueLaw) done(d lineage.Delivery) {
	l.Helper()
	l.settle(lineage.Settlement{Lease: d.Lease})
}

// lost checks that err says of exactly the calls' arguments at indexes that
// their lease was lost.
func (l *queueLaw) lost(err error, indexes ...int) {
	l.Helper()
	failed, ok := asSettleError(err)
	if !ok {
		l.Fatalf("got %v, want a *SettleError", err)
	}
	want := map[int]error{}
	for _, i := range indexes {
		want[i] = lineage.ErrLeaseLost
	}
	if fmt.Sprint(failed) != fmt.Sprint(want) {
		l.Fatalf("failed are %v, want %v", failed, want)
	}
}

package servicebus

import (
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// maxLeases bounds deliveries that are neither settled nor forgotten.
const maxLeases = 50_000

// forgetAfter is how long after its end a lease is remembered: longer than
// clocks differ.
const forgetAfter = 10 * time.Minute

// held is a delivery that was handed out.
type held struct {
	raw      *azservicebus.ReceivedMessage
	from     *source
	message  lineage.Message
	attempt  int
	enqueued time.Time
	until    time.Time
	// manager settles by lock token at the management node of the queue that
	// the message came from; nil is the main queue's.
	manager *slot[*azservicebus.Receiver]
	// adrift means that a verdict over its source came to an unknown end: only
	// the lock token is left.
	adrift bool
}

// leaseOf is the lock token as text.
func leaseOf(m *azservicebus.ReceivedMessage) lineage.Lease {
	return lineage.Lease(amqp.UUID(m.LockToken).String())
}

// leases are the deliveries in the hands of callers. The zero value is empty.
type leases struct {
	mu   sync.Mutex
	held map[lineage.Lease]*held
}

// room tells whether n more fit, and forgets what ended long ago if not.
func (l *leases) room(now time.Time, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held)+min(n, maxWindow) <= maxLeases {
		return true
	}
	for lease, h := range l.held {
		if h.until.Add(forgetAfter).Before(now) {
			delete(l.held, lease)
		}
	}
	return len(l.held)+min(n, maxWindow) <= maxLeases
}

func (l *leases) add(lease lineage.Lease, h *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[lineage.Lease]*held{}
	}
	l.held[lease] = h
}

// take removes a delivery: whoever takes it settles it. nil means that the
// lease is unknown or was settled.
func (l *leases) take(lease lineage.Lease) *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[lease]
	delete(l.held, lease)
	return h
}

// token is the lock token of a lease, false when it is unknown or was
// settled.
func (l *leases) token(lease lineage.Lease) (token [16]byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.held[lease]
	if ok {
		token = h.raw.LockToken
	}
	return token, ok
}

// extended notes the new end of a lease.
func (l *leases) extended(lease lineage.Lease, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[lease]; h != nil {
		h.until = until
	}
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

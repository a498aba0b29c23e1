package servicebus

import (
	"maps"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

// Options configure a Server; the zero value is a server without queues.
type Options struct {
	// Clock is what locks, schedules, lifetimes and tokens go by. Defaults to
	// clock.Real{}.
	Clock clock.Clock
	// Queues by name. More can be created through Admin.
	Queues map[string]Queue
	// Keys are the namespace's shared access policies by name. Defaults to one
	// named RootManageSharedAccessKey with all rights and a random key.
	Keys map[string]Key
	// Token checks an Entra token that a client puts with type "jwt", and says
	// what it allows. Defaults to refusing all.
	Token func(jwt string) (Rights, error)
	// Faults to inject. Defaults to none.
	Faults *Faults
	// Log gets a line for each frame and for each connection that ends badly;
	// testing.T's Logf will do. Defaults to none.
	Log func(format string, args ...any)
}

// Key is a shared access policy.
type Key struct {
	// Key is the secret that tokens are signed with, as it stands in a
	// connection string.
	Key string
	// Rights are what a token signed with it allows.
	Rights Rights
}

// Rights are what a token allows on an entity.
type Rights uint8

// Rights of a shared access policy.
const (
	Send Rights = 1 << iota
	Listen
	Manage
	All = Send | Listen | Manage
)

// Has reports whether every right in want is there. Manage includes the other
// two, as it does in Azure.
func (r Rights) Has(want Rights) bool {
	if r&Manage != 0 {
		r = All
	}
	return r&want == want
}

// Queue describes a queue. Zero fields mean the default, which is Azure's for
// the Standard tier unless said otherwise.
type Queue struct {
	// LockDuration is how long a delivery stays locked. Defaults to 1 minute.
	LockDuration time.Duration
	// MaxDeliveryCount is the number of failed deliveries after which a
	// message goes to the dead letters. Defaults to 10.
	MaxDeliveryCount int
	// MaxMessageSize in bytes, of a message or a batch as encoded. Defaults to
	// 256 KiB.
	MaxMessageSize int
	// MaxSize in bytes of all messages, dead letters included. Defaults to
	// 256 MiB (Azure: 1 GiB), because they are held in memory.
	MaxSize int64
	// DuplicateDetection is the time within which a repeated message id is
	// accepted and dropped. Defaults to 0: off.
	DuplicateDetection time.Duration
	// DefaultTTL is the longest and the usual lifetime of a message. Defaults
	// to 0: for ever.
	DefaultTTL time.Duration
	// DeadLetterOnExpiry sends expired messages to the dead letters instead of
	// dropping them.
	DeadLetterOnExpiry bool
}

// withDefaults fills in what was left out.
func (q Queue) withDefaults() Queue {
	if q.LockDuration <= 0 {
		q.LockDuration = time.Minute
	}
	if q.MaxDeliveryCount <= 0 {
		q.MaxDeliveryCount = 10
	}
	if q.MaxMessageSize <= 0 {
		q.MaxMessageSize = 256 << 10
	}
	if q.MaxSize <= 0 {
		q.MaxSize = 256 << 20
	}
	return q
}

// Message is what Server.Deliver puts into a queue.
type Message struct {
	Body []byte
	// MessageID and ContentType are left out when empty.
	MessageID, ContentType string
	// Properties are the application properties: booleans, numbers, strings,
	// byte slices and times.
	Properties map[string]any
}

// Counts of a queue's messages by state. Locked ones are not in Active here,
// while Azure's management interface counts them there.
type Counts struct {
	Active, Locked, Scheduled, Deferred, DeadLetter int
}

// Stats count what happened since the server was made.
type Stats struct {
	// Connections that got as far as an AMQP open frame.
	Connections int64
	// TransfersIn and TransfersOut are frames, DispositionsIn and
	// DispositionsOut too; $cbs and $management are included.
	TransfersIn, TransfersOut       int64
	DispositionsIn, DispositionsOut int64
	// ManagementRequests came over $management links, TokensPut over $cbs.
	ManagementRequests, TokensPut int64
	// MessagesIn were stored: each of a batch counts, a dropped duplicate does
	// not. MessagesOut were handed to receivers, each delivery counts.
	MessagesIn, MessagesOut int64
	// LocksExpired and DeadLettered count messages; DuplicatesDropped those
	// that duplicate detection swallowed.
	LocksExpired, DeadLettered, DuplicatesDropped int64
}

// withDefaults fills in what was left out and copies what the caller may
// change later.
func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	o.Keys = maps.Clone(o.Keys)
	if len(o.Keys) == 0 {
		o.Keys = map[string]Key{rootKey: {Key: randomKey(), Rights: All}}
	}
	return o
}

package eventgrid

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
)

// Fault is one way in which an operation goes wrong.
type Fault int

// The faults. Those that make no sense for an operation let it through.
const (
	// None lets the operation through.
	None Fault = iota
	// Throttle answers 429 with Retry-After, without effect.
	Throttle
	// Unavailable answers 503, without effect.
	Unavailable
	// Stall never answers and has no effect: the client's patience ends. For
	// a delivery it is a timeout that takes no time.
	Stall
	// DropBefore breaks the connection before there is an effect.
	DropBefore
	// DropAfter performs the operation and breaks the connection instead of
	// answering.
	DropAfter
	// Junk puts an event into the page of a receive that is not a CloudEvent.
	Junk
	// LoseLocks ends the locks of a receive before its page is answered.
	LoseLocks
	// Duplicate makes a topic deliver an event twice.
	Duplicate
	// Shuffle changes the order of what a topic has to deliver.
	Shuffle
)

// Operations, as Faults.Only sees them.
const (
	OpPublish     = "publish"
	OpReceive     = "receive"
	OpAcknowledge = "acknowledge"
	OpRelease     = "release"
	OpReject      = "reject"
	OpRenew       = "renewLock"
	// OpDeliver is one delivery of a topic to a subscription.
	OpDeliver = "deliver"
	// OpEnqueue is one event that a subscription of a topic takes.
	OpEnqueue = "enqueue"
)

// Faults decides which operations go wrong. A nil *Faults lets everything
// through. One value may serve several topics and namespaces.
//
// Decisions depend on Seed and the order of operations alone, so a sequential
// test that failed fails again with the same seed.
type Faults struct {
	// Seed begins the random decisions.
	Seed uint64
	// Script decides the first operations, one entry each; afterwards Rates
	// does.
	Script []Fault
	// Rates are probabilities from 0 to 1, together at most 1.
	Rates map[Fault]float64
	// Only, if not nil, says by its name whether an operation may go wrong
	// at all. An operation that may not uses up no entry of Script.
	Only func(operation string) bool
	// RetryAfter is what Throttle asks for, in seconds. Defaults to 2.
	RetryAfter int

	mu   sync.Mutex
	rng  *rand.Rand
	seen int
	off  bool
}

// Stop lets every later operation through.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// next decides about an operation.
func (f *Faults) next(operation string) Fault {
	if f == nil {
		return None
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off || f.Only != nil && !f.Only(operation) {
		return None
	}
	f.seen++
	if f.seen <= len(f.Script) {
		return f.Script[f.seen-1]
	}
	p := f.random().Float64()
	for fault := Throttle; fault <= Shuffle; fault++ {
		if p < f.Rates[fault] {
			return fault
		}
		p -= f.Rates[fault]
	}
	return None
}

// random is called with the lock held.
func (f *Faults) random() *rand.Rand {
	if f.rng == nil {
		f.rng = rand.New(rand.NewPCG(f.Seed, f.Seed^0x9e3779b97f4a7c15))
	}
	return f.rng
}

// shuffle permutes n things by the seed.
func (f *Faults) shuffle(n int, swap func(i, j int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.random().Shuffle(n, swap)
}

// around performs an operation of the HTTP side with its fate. What do has to
// do about Junk and LoseLocks it is told.
func (f *Faults) around(w http.ResponseWriter, r *http.Request, operation string, do func(http.ResponseWriter, Fault)) {
	fault := f.next(operation)
	switch fault {
	case Throttle:
		w.Header().Set("Retry-After", f.retryAfter())
		writeError(w, http.StatusTooManyRequests, "TooManyRequests", "Too many requests: try again later.")
	case Unavailable:
		writeError(w, http.StatusServiceUnavailable, "ServiceUnavailable", "The service is busy: try again.")
	case Stall:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case DropBefore:
		panic(http.ErrAbortHandler)
	case DropAfter:
		do(discard{http.Header{}}, fault)
		panic(http.ErrAbortHandler)
	default:
		do(w, fault)
	}
}

func (f *Faults) retryAfter() string {
	if f.RetryAfter > 0 {
		return strconv.Itoa(f.RetryAfter)
	}
	return "2"
}

// discard is a ResponseWriter whose answer nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

package cosmos

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Fault is one way in which a request goes wrong. The zero Fault is none.
type Fault struct {
	// Status is answered instead of the true answer: 408, 410, 429, 449, 500,
	// 503, or any other.
	Status int
	// Substatus goes with it as x-ms-substatus, RetryAfter as
	// x-ms-retry-after-ms.
	Substatus  int
	RetryAfter time.Duration
	// Drop cuts the connection instead of answering.
	Drop bool
	// AfterEffect performs the request before Status or Drop: the answer is
	// lost and the client does not know. A Status of 408 or 503 may be like
	// that in the service; 429 and 449 never are.
	AfterEffect bool
	// Delay holds the request up before anything happens.
	Delay time.Duration
	// EmptyPage answers a query or a listing with no items and a continuation
	// token; ShortPage with at most one.
	EmptyPage, ShortPage bool
}

func (f Fault) broken() bool { return f.Status != 0 || f.Drop }

// instead says whether the fault comes in the place of the effect.
func (f Fault) instead() bool { return f.broken() && !f.AfterEffect }

// Rate is a fault that comes with a probability.
type Rate struct {
	Fault       Fault
	Probability float64 // 0 to 1
}

// Faults decides which requests go wrong: first as Script says, one entry a
// request, then by Rates. The zero value lets everything through. Decisions
// depend on Seed and the order of requests alone, so that a sequential test
// that failed fails again.
//
// The fields must not be changed once the server serves; Add and Stop may be
// called at any time.
type Faults struct {
	Seed   uint64
	Script []Fault
	Rates  []Rate
	// Only, if not nil, says which requests may go wrong; others take neither
	// from the script nor from the dice. By way of Transport the request has
	// the context of the client's call.
	Only func(Operation, *http.Request) bool

	mu   sync.Mutex
	rand *rand.Rand
	off  bool
}

// Add appends to the script.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Script = append(f.Script, faults...)
}

// Stop lets every later request through.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// next decides about a request.
func (f *Faults) next(op Operation, r *http.Request) Fault {
	if f.Only != nil && !f.Only(op, r) { // may make requests of its own
		return Fault{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return Fault{}
	}
	if len(f.Script) > 0 {
		first := f.Script[0]
		f.Script = f.Script[1:]
		return first
	}
	if len(f.Rates) == 0 {
		return Fault{}
	}
	if f.rand == nil {
		f.rand = rand.New(rand.NewPCG(f.Seed, f.Seed^0x9e3779b97f4a7c15))
	}
	p := f.rand.Float64()
	for _, r := range f.Rates {
		if p < r.Probability {
			return r.Fault
		}
		p -= r.Probability
	}
	return Fault{}
}

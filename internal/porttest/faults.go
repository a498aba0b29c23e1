package porttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrInjected is the fault that the wrappers inject; it looks like no error
// of a contract.
var ErrInjected = errors.New("injected fault")

// Fault is one way in which a call goes wrong.
type Fault int

const (
	// None lets the call through.
	None Fault = iota
	// Before fails the call without performing it.
	Before
	// After performs the call and loses the answer: what was asked for has
	// happened and the caller does not know.
	After
	// Conflict answers a commit with a conflict that is none, as a store
	// does whose caller lost a race; other calls pass.
	Conflict
)

// Faults decides which calls fail. The zero value lets everything through.
// One value may be shared by several wrappers.
//
// Decisions depend on Seed and the order of calls alone, so a sequential test
// that failed fails again with the same seed.
type Faults struct {
	// Seed begins the random decisions.
	Seed uint64
	// Script decides the first calls, one entry each; afterwards the
	// probabilities do.
	Script []Fault
	// Before, After and Conflict are probabilities from 0 to 1.
	Before, After, Conflict float64
	// Delay is the longest time a call is held up; each waits a random part
	// of it.
	Delay time.Duration
	// Only, if not nil, says by its name (as "Store.Commit") whether a call
	// may fail at all.
	Only func(call string) bool

	mu    sync.Mutex
	rand  *rand.Rand
	calls int
	off   bool
}

// Stop lets every later call through: the world is whole again.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// injected makes the error for a call.
func injected(call string, number int) error {
	return fmt.Errorf("%w: %s (call %d)", ErrInjected, call, number)
}

// next decides about a call.
func (f *Faults) next(call string) (fault Fault, delay time.Duration, number int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off || f.Only != nil && !f.Only(call) {
		return None, 0, f.calls
	}
	if f.rand == nil {
		f.rand = rand.New(rand.NewPCG(f.Seed, f.Seed^0x9e3779b97f4a7c15))
	}
	f.calls++
	if f.Delay > 0 {
		delay = time.Duration(f.rand.Int64N(int64(f.Delay)))
	}
	if f.calls <= len(f.Script) {
		return f.Script[f.calls-1], delay, f.calls
	}
	return f.draw(), delay, f.calls
}

func (f *Faults) draw() Fault {
	p := f.rand.Float64()
	for _, c := range []struct {
		fault       Fault
		probability float64
	}{{Before, f.Before}, {After, f.After}, {Conflict, f.Conflict}} {
		if p < c.probability {
			return c.fault
		}
		p -= c.probability
	}
	return None
}

// around performs a call with its fate. conflict is the answer to a Conflict;
// without one the call passes.
func (f *Faults) around(ctx context.Context, call string, conflict error, do func() error) error {
	fault, delay, number := f.next(call)
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case fault == Before:
		return injected(call, number)
	case fault == Conflict && conflict != nil:
		return conflict
	}
	err := do()
	if err == nil && fault == After {
		return injected(call, number)
	}
	return err
}

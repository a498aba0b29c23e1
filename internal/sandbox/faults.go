package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault makes the next requests of a route go wrong.
type Fault struct {
	// Method and Path select requests: the method exactly, the path by a part
	// of it, without regard to case: "/jobs/", "metrics/get-history". Empty
	// selects all.
	Method, Path string
	// Times is how many requests it meets. Defaults to 1.
	Times int
	// After lets the request take effect first, so that the client does not
	// learn of something that has happened.
	After bool
	// Delay holds the answer back.
	Delay time.Duration
	// Drop closes the connection without an answer.
	Drop bool
	// Status answers with that status and an error body. With no Status and
	// no Drop the request goes on as usual after the Delay.
	Status int
	// RetryAfter goes with Status, in whole seconds.
	RetryAfter time.Duration
}

// faultScript holds the faults to come, first in, first met.
type faultScript struct {
	mu     sync.Mutex
	faults []Fault
}

// maxFaults bounds the script.
const maxFaults = 1000

// Inject adds a fault to the script of Handler. Of the faults that select a
// request the oldest meets it. Beyond 1,000 pending ones the oldest is
// forgotten.
func (w *Workspace) Inject(f Fault) {
	f.Times = orElse(max(f.Times, 0), 1)
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	if len(w.faults.faults) >= maxFaults {
		w.faults.faults = slices.Delete(w.faults.faults, 0, 1)
	}
	w.faults.faults = append(w.faults.faults, f)
}

// take finds and uses up the fault that meets a request.
func (s *faultScript) take(method, path string) (Fault, bool) {
	path = strings.ToLower(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if (f.Method != "" && f.Method != method) || !strings.Contains(path, strings.ToLower(f.Path)) {
			continue
		}
		met := *f
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return met, true
	}
	return Fault{}, false
}

// apply serves a request under a fault.
func (f Fault) apply(next http.Handler, rw http.ResponseWriter, r *http.Request) {
	if f.After {
		next.ServeHTTP(&answer{header: http.Header{}}, r)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler) // net/http's way to drop a connection
	case f.Status != 0:
		if f.RetryAfter > 0 {
			rw.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Round(time.Second)/time.Second)))
		}
		armError(rw, f.Status, armCode(f.Status), "The sandbox was told to fail this request.")
	case !f.After:
		next.ServeHTTP(rw, r)
	default:
		armError(rw, http.StatusInternalServerError, "InternalServerError", "The sandbox was told to fail this request.")
	}
}

package review

import (
	"sync"
	"time"
)

// hands are the tickets that calls in this process are at. Their records can't
// tell those calls from each other: all of them bear the process's name, so that
// it gets at a ticket again which it could not release.
type hands struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// take reports whether the ticket was free; it is then taken until a time.
func (h *hands) take(ticket string, now, until time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Before(h.until[ticket]) {
		return false
	}
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	h.until[ticket] = until
	return true
}

func (h *hands) drop(ticket string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.until, ticket)
}

package servicebus

import "time"

// history remembers message ids for duplicate detection.
type history struct {
	until map[string]time.Time
	order []memory
}

type memory struct {
	id    string
	until time.Time
}

// repeats reports whether an id came within the window; if not it is
// remembered from now on. An empty id never repeats.
func (h *history) repeats(id string, now time.Time, window time.Duration) bool {
	if id == "" {
		return false
	}
	for len(h.order) > 0 && !h.order[0].until.After(now) {
		delete(h.until, h.order[0].id)
		h.order = h.order[1:]
	}
	if _, known := h.until[id]; known {
		return true
	}
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	h.until[id] = now.Add(window)
	h.order = append(h.order, memory{id, now.Add(window)})
	return false
}

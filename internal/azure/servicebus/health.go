package servicebus

import (
	"context"
	"sync"
	"time"
)

// healthServes is how long a call that reached the broker says that it can be
// reached.
const healthServes = 30 * time.Second

// health remembers how the last calls went. A broker that refuses something
// was reached.
type health struct {
	mu   sync.Mutex
	last time.Time
	bad  bool
}

func (h *health) reached(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.bad = now, false
}

func (h *health) failed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bad = true
}

func (h *health) good(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.bad && !h.last.IsZero() && now.Sub(h.last) < healthServes
}

// Healthy tells whether the broker can be reached: at once if the last calls
// did, or else by opening a sending link.
func (c *Client) Healthy(ctx context.Context) error {
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c.health.good(c.o.Now()) {
		return nil
	}
	return c.fault(ctx, "reach the queue "+c.o.Queue, c.trySending(ctx))
}

// trySending opens a link of its own: one that exists may be dead without
// anybody knowing.
func (c *Client) trySending(ctx context.Context) error {
	return try(ctx, c, c.newSender, connectSender)
}

// try opens an object of the SDK to see whether that works.
func try[T linked](ctx context.Context, c *Client, create func() (T, error), connect func(context.Context, T) error) error {
	dismiss := func(object T) { c.dismiss(object.Close) }
	object, err := connected(ctx, c, create, connect, dismiss)
	if err == nil {
		dismiss(object)
	}
	return err
}

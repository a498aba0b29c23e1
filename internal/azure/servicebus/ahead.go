package servicebus

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// ahead keeps messages that were fetched before anybody asked. A message
// leaves in one of three ways: to a receiver, back to the broker once half of
// its lock is over, or back when the client is closed.
type ahead struct {
	c *Client

	mu       sync.Mutex
	kept     []early
	watchers map[*context.CancelFunc]struct{}
	timer    *time.Timer
}

// early is a message that waits for a receiver until it is stale.
type early struct {
	message *azservicebus.ReceivedMessage
	from    *source
	stale   time.Time
}

func newAhead(c *Client) *ahead {
	return &ahead{c: c, watchers: map[*context.CancelFunc]struct{}{}}
}

// watch gives a context that also ends when messages are put. done must be
// called.
func (a *ahead) watch(ctx context.Context) (watching context.Context, done func()) {
	watching, cancel := context.WithCancel(ctx)
	if a.c.o.Prefetch == 0 {
		return watching, cancel
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers[&cancel] = struct{}{}
	if len(a.kept) > 0 { // put since the caller looked
		cancel()
	}
	return watching, func() {
		a.mu.Lock()
		delete(a.watchers, &cancel)
		a.mu.Unlock()
		cancel()
	}
}

// put keeps messages and wakes the watchers.
func (a *ahead) put(b batch) {
	now := a.c.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range b.messages {
		e := early{m, b.from, now}
		if m.LockedUntil != nil {
			e.stale = now.Add(m.LockedUntil.Sub(now) / 2)
		}
		a.kept = append(a.kept, e)
	}
	for cancel := range a.watchers {
		(*cancel)()
	}
	a.arm(now)
}

// take hands out up to max messages, all of one receiver, oldest first.
func (a *ahead) take(max int) (b batch) {
	now := a.c.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := a.kept[:0]
	for _, e := range a.kept {
		if len(b.messages) == max || !e.stale.After(now) || b.from != nil && b.from != e.from {
			rest = append(rest, e)
			continue
		}
		b.from, b.messages = e.from, append(b.messages, e.message)
	}
	clear(a.kept[len(rest):])
	a.kept = rest
	return b
}

// arm sets the timer to when the next message is stale.
func (a *ahead) arm(now time.Time) {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if len(a.kept) == 0 {
		return
	}
	next := a.kept[0].stale
	for _, e := range a.kept {
		if e.stale.Before(next) {
			next = e.stale
		}
	}
	a.timer = time.AfterFunc(max(0, next.Sub(now)), a.sweep)
}

// sweep gives back what is stale.
func (a *ahead) sweep() {
	_, leave, err := a.c.enter(context.Background())
	if err != nil {
		return // Close gives back all
	}
	defer leave()
	now := a.c.o.Now()
	stale := map[*source][]*azservicebus.ReceivedMessage{}
	a.mu.Lock()
	rest := a.kept[:0]
	for _, e := range a.kept {
		if e.stale.After(now) {
			rest = append(rest, e)
		} else {
			stale[e.from] = append(stale[e.from], e.message)
		}
	}
	clear(a.kept[len(rest):])
	a.kept = rest
	a.arm(now)
	a.mu.Unlock()
	for from, messages := range stale {
		a.c.giveBack(batch{messages, from})
	}
}

// empty takes out everything.
func (a *ahead) empty() (all []*azservicebus.ReceivedMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.kept {
		all = append(all, e.message)
	}
	a.kept = nil
	a.arm(time.Time{})
	return all
}

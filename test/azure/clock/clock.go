// Package clock is the time that the in-process Azure servers go by: real, or
// moved by hand. Under testing/synctest the real one is virtual already.
package clock

import (
	"slices"
	"sync"
	"time"
)

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine once d has passed. stop prevents
	// a call that has not begun; it may be called more than once.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// Real is the machine's clock.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (Real) AfterFunc(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// Manual stands still until it is advanced. It is safe for concurrent use.
type Manual struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	at time.Time
	f  func()
}

// NewManual starts a clock at a time.
func NewManual(start time.Time) *Manual { return &Manual{now: start} }

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc implements Clock. A delay that is over already runs at the next
// Advance.
func (m *Manual) AfterFunc(d time.Duration, f func()) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &timer{at: m.now.Add(d), f: f}
	m.timers = append(m.timers, t)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.timers = slices.DeleteFunc(m.timers, func(o *timer) bool { return o == t })
	}
}

// Advance moves the clock and runs, one after the other and in order of time,
// everything that falls due on the way; it returns when all of it has run.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.now.Add(d)
	for {
		t := m.nextDue(end)
		if t == nil {
			break
		}
		m.now = t.at
		m.mu.Unlock()
		t.f()
		m.mu.Lock()
	}
	m.now = end
	m.mu.Unlock()
}

// nextDue takes out the first timer that is due by end.
func (m *Manual) nextDue(end time.Time) *timer {
	if len(m.timers) == 0 {
		return nil
	}
	first := slices.MinFunc(m.timers, func(a, b *timer) int { return a.at.Compare(b.at) })
	if first.at.After(end) {
		return nil
	}
	m.timers = slices.DeleteFunc(m.timers, func(o *timer) bool { return o == first })
	if first.at.Before(m.now) {
		first.at = m.now
	}
	return first
}

package sandbox

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// subscriber delivers the events of one subscription.
//
// Events pass through: enqueue → window (Shuffle) → ready → parcel → request.
// A parcel that fails goes to the retries with the time it is next due. One
// goroutine picks what is sent next; at most Parallel more wait for answers.
type subscriber struct {
	Subscription
	topic  string
	client *http.Client
	log    *zap.Logger
	wake   chan struct{} // something to send may have come up

	mu        sync.Mutex
	ids       *identities
	rng       *rand.Rand
	window    []letter
	windowDue time.Time
	ready     []letter
	retries   retryHeap
	seq       uint64
	failures  int       // consecutive
	holdUntil time.Time // a failing endpoint is left alone until then
	goodbye   *letter   // the deletion notice, once asked for
	gone      bool      // no event is taken any more
	dead      []DeadLetter
	stats     DeliveryStats
	changed   chan struct{} // closed and replaced when Waiting reaches zero
}

// letter is one rendered event.
type letter struct {
	id   string
	body []byte
	kind string // the aeg-event-type
}

// parcel is what one request carries; it succeeds or fails as a whole.
type parcel struct {
	letters  []letter
	attempts int
	first    time.Time // of its first attempt
	due      time.Time
	seq      uint64
	status   int
}

type retryHeap []*parcel

func (h retryHeap) Len() int { return len(h) }
func (h retryHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].seq < h[j].seq
	}
	return h[i].due.Before(h[j].due)
}
func (h retryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *retryHeap) Push(x any) { *h = append(*h, x.(*parcel)) }

// Pop implements heap.Interface.
func (h *retryHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

// enqueue takes an event for delivery: its copies, drops and its place in the
// order are decided here, by the seed and the order of emission alone.
func (s *subscriber) enqueue(o occurrence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	l := letter{id: o.id, body: o.render(s.topic, s.Schema, s.Casing), kind: "Notification"}
	for range s.Copies {
		s.stats.Emitted++
		switch {
		case s.Drop > 0 && s.rng.Float64() < s.Drop:
			s.stats.Dropped++
		case s.stats.Waiting >= s.QueueLimit:
			s.bury(l, "overflow", 0, 0)
		default:
			s.stats.Waiting++
			s.place(l)
		}
	}
	s.nudge()
}

func (s *subscriber) place(l letter) {
	if s.Shuffle < 2 {
		s.ready = append(s.ready, l)
		return
	}
	if len(s.window) == 0 {
		s.windowDue = time.Now().Add(shuffleLinger)
	}
	s.window = append(s.window, l)
	if len(s.window) >= s.Shuffle {
		s.releaseWindow()
	}
}

func (s *subscriber) releaseWindow() {
	s.rng.Shuffle(len(s.window), func(i, j int) { s.window[i], s.window[j] = s.window[j], s.window[i] })
	s.ready = append(s.ready, s.window...)
	s.window = nil
}

// farewell asks for the deletion notice, to be sent last. False if it was
// asked for before.
func (s *subscriber) farewell(o occurrence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.gone = true
	s.stats.Emitted++
	s.stats.Waiting++
	s.goodbye = &letter{id: o.id, body: o.render(s.topic, s.Schema, Camel), kind: "SubscriptionDeletion"}
	s.nudge()
	return true
}

func (s *subscriber) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// start sets deliveries going until ctx ends.
func (s *subscriber) start(ctx context.Context, group *sync.WaitGroup) {
	group.Go(func() {
		if s.handshake(ctx) == nil {
			s.run(ctx)
		}
	})
}

func (s *subscriber) run(ctx context.Context) {
	var senders sync.WaitGroup
	defer senders.Wait()
	slots := make(chan struct{}, s.Parallel)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		p, wait := s.next()
		if p != nil {
			senders.Go(func() {
				s.attempt(ctx, p)
				<-slots
			})
			continue
		}
		<-slots
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// next picks what to send now, else tells how long nothing is due.
func (s *subscriber) next() (*parcel, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.holdUntil) {
		return nil, s.holdUntil.Sub(now)
	}
	if len(s.retries) > 0 && !s.retries[0].due.After(now) {
		return heap.Pop(&s.retries).(*parcel), 0
	}
	if len(s.window) > 0 && (s.gone || !s.windowDue.After(now)) {
		s.releaseWindow()
	}
	if len(s.ready) > 0 {
		return s.pack(now), 0
	}
	if s.goodbye != nil && s.stats.Waiting == 1 {
		p := &parcel{letters: []letter{*s.goodbye}, first: now, seq: s.seq}
		s.goodbye = nil
		return p, 0
	}
	return nil, s.untilDue(now)
}

func (s *subscriber) untilDue(now time.Time) time.Duration {
	wait := time.Hour
	if len(s.retries) > 0 {
		wait = min(wait, s.retries[0].due.Sub(now))
	}
	if len(s.window) > 0 {
		wait = min(wait, s.windowDue.Sub(now))
	}
	return wait
}

// pack makes a parcel of what is ready, within the batch's limits. An event
// too big for them goes alone.
func (s *subscriber) pack(now time.Time) *parcel {
	n, size := 0, 2
	for n < len(s.ready) && n < s.BatchEvents {
		size += len(s.ready[n].body) + 1
		if n > 0 && size > s.BatchBytes {
			break
		}
		n++
	}
	s.seq++
	p := &parcel{letters: append([]letter(nil), s.ready[:n]...), first: now, seq: s.seq}
	clear(s.ready[:n])
	if s.ready = s.ready[n:]; len(s.ready) == 0 {
		s.ready = nil // let the array go
	}
	return p
}

// attempt sends a parcel once and files what came of it. An attempt that the
// end of ctx cut short counts for nothing.
func (s *subscriber) attempt(ctx context.Context, p *parcel) {
	status, err := s.send(ctx, p)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.nudge()
	s.stats.Requests++
	p.attempts++
	p.status = status
	if err == nil {
		s.failures, s.holdUntil = 0, time.Time{}
		s.stats.Delivered += len(p.letters)
		s.settle(len(p.letters))
		return
	}
	s.stats.Failures++
	s.failures++
	s.log.Debug("sandbox delivery failed", zap.String("subscription", s.Name),
		zap.Int("status", status), zap.Int("attempt", p.attempts), zap.Error(err))
	s.retry(p)
}

// retry files a failed parcel: due again, or dead.
func (s *subscriber) retry(p *parcel) {
	now := time.Now()
	due := now.Add(s.scaled(retryDelay(p.attempts, p.status)))
	reason := ""
	switch {
	case !retryable(p.status):
		reason = "rejected"
	case p.attempts >= maxAttempts:
		reason = "attempts"
	case due.Sub(p.first) > s.scaled(timeToLive):
		reason = "expired"
	}
	if reason != "" {
		for _, l := range p.letters {
			s.bury(l, reason, p.status, p.attempts)
		}
		s.settle(len(p.letters))
		return
	}
	p.due = due
	heap.Push(&s.retries, p)
	if s.failures >= patience {
		s.holdUntil = due
	}
}

// bury keeps a dead letter, the newest DeadLetterLimit of them.
func (s *subscriber) bury(l letter, reason string, status, attempts int) {
	s.stats.Dead++
	if len(s.dead) >= s.DeadLetterLimit {
		s.dead = append(s.dead[:0], s.dead[1:]...)
	}
	s.dead = append(s.dead, DeadLetter{Subscription: s.Name, Event: l.body, Reason: reason, Status: status, Attempts: attempts})
}

func (s *subscriber) settle(n int) {
	s.stats.Waiting -= n
	if s.stats.Waiting == 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Flush waits until every event emitted so far, and meanwhile, is delivered
// or dead. It does not wait for jobs; see WaitJob.
func (w *Workspace) Flush(ctx context.Context) error {
	for _, s := range w.subscribers() {
		if err := s.flush(ctx, w.ctx.Done()); err != nil {
			return fmt.Errorf("flush subscription %q: %w", s.Name, err)
		}
	}
	return nil
}

func (s *subscriber) flush(ctx context.Context, closed <-chan struct{}) error {
	for {
		s.mu.Lock()
		waiting, changed := s.stats.Waiting, s.changed
		s.windowDue = time.Time{}
		s.mu.Unlock()
		if waiting == 0 {
			return nil
		}
		s.nudge()
		select {
		case <-changed:
		case <-closed:
			return fmt.Errorf("%d events undelivered: the sandbox was closed: %w", waiting, ErrState)
		case <-ctx.Done():
			return fmt.Errorf("%d events undelivered: %w", waiting, ctx.Err())
		}
	}
}

// scaled applies the subscription's TimeScale.
func (s *subscriber) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.TimeScale)
}

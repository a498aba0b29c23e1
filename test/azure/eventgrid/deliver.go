package eventgrid

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// subscriber delivers the events of one subscription, a batch at a time.
type subscriber struct {
	Subscription
	topic *Topic

	mu       sync.Mutex
	pending  []*letter
	busy     bool // run is under way
	stop     func()
	wakeAt   time.Time // when stop's timer goes off; zero for none
	closed   bool
	failures int // in a row
	stats    Stats
}

// letter is an event on its way.
type letter struct {
	event     Event
	messageID string
	published time.Time
	due       time.Time
	attempts  int
	last      time.Time
	outcome   string
}

// enqueue takes an event.
func (s *subscriber) enqueue(e Event) {
	fault := s.topic.o.Faults.next(OpEnqueue)
	s.mu.Lock()
	defer s.mu.Unlock()
	copies := 1
	if fault == Duplicate {
		copies = 2
	}
	now := s.topic.o.Clock.Now()
	for range copies {
		s.pending = append(s.pending, &letter{event: e, messageID: newID(), published: now, due: now})
	}
	if fault == Shuffle {
		s.shuffle()
	}
	s.schedule()
}

// shuffle is called with the lock held.
func (s *subscriber) shuffle() {
	s.topic.o.Faults.shuffle(len(s.pending), func(i, j int) { s.pending[i], s.pending[j] = s.pending[j], s.pending[i] })
}

// schedule sets the timer for what is due next. It is called with the lock
// held.
func (s *subscriber) schedule() {
	if s.busy || s.closed || len(s.pending) == 0 || s.stop != nil && !s.wakeAt.After(s.topic.o.Clock.Now()) {
		return
	}
	first := slices.MinFunc(s.pending, func(a, b *letter) int { return a.due.Compare(b.due) }).due
	if first.Before(s.stats.HeldUntil) {
		first = s.stats.HeldUntil
	}
	if s.stop != nil {
		if !s.wakeAt.After(first) {
			return
		}
		s.stop()
	}
	s.wakeAt = first
	s.stop = s.topic.o.Clock.AfterFunc(first.Sub(s.topic.o.Clock.Now()), s.run)
}

// run delivers everything that is due.
func (s *subscriber) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = nil
	if s.busy {
		return
	}
	s.busy = true
	for batch := s.take(); len(batch) > 0; batch = s.take() {
		s.mu.Unlock()
		status, outcome := s.attempt(batch)
		s.mu.Lock()
		s.settle(batch, status, outcome)
	}
	s.busy = false
	s.schedule()
}

// take picks the next batch and gives up what is too old. It is called with
// the lock held.
func (s *subscriber) take() []*letter {
	now := s.topic.o.Clock.Now()
	if s.closed || now.Before(s.stats.HeldUntil) {
		return nil
	}
	var batch, expired []*letter
	for size, i := 0, 0; i < len(s.pending) && len(batch) < s.MaxEvents; i++ {
		l := s.pending[i]
		if l.due.After(now) {
			continue
		}
		if now.Sub(l.published) >= s.TTL {
			expired = append(expired, l)
			continue
		}
		if size += len(l.event.render(s.Schema)); len(batch) > 0 && size > s.PreferredKilobytes<<10 {
			break
		}
		batch = append(batch, l)
	}
	for _, l := range expired {
		s.giveUp(l, "TimeToLiveExceeded")
	}
	return batch
}

// attempt makes one delivery with its fate; status is 0 for no answer.
func (s *subscriber) attempt(batch []*letter) (status int, outcome string) {
	fault := s.topic.o.Faults.next(OpDeliver)
	switch fault {
	case Throttle:
		return http.StatusTooManyRequests, "Busy"
	case Unavailable:
		return http.StatusServiceUnavailable, "Busy"
	case Stall:
		return 0, "TimedOut"
	case DropBefore:
		return 0, "SocketError"
	case Shuffle:
		s.mu.Lock()
		s.shuffle()
		s.mu.Unlock()
	}
	status, outcome = s.send(batch)
	if fault == DropAfter {
		return 0, "SocketError"
	}
	return status, outcome
}

func (s *subscriber) send(batch []*letter) (status int, outcome string) {
	events := make([]Event, len(batch))
	for i, l := range batch {
		events[i] = l.event
	}
	header := s.headers("Notification", batch[0].attempts)
	header.Set("aeg-output-event-id", batch[0].messageID)
	header.Set("aeg-data-version", batch[0].event.DataVersion)
	if s.Queue != nil {
		return s.put(batch[0].messageID, header, s.body(events, s.QueueArray || len(events) > 1))
	}
	answer, _, err := s.request(http.MethodPost, header, s.body(events, s.Schema == EventGrid || s.MaxEvents > 1))
	var lost *url.Error
	switch {
	case err == nil:
		return answer.StatusCode, outcomeOf(answer.StatusCode)
	case errors.As(err, &lost) && errors.Is(err, context.Canceled): // by our own timer
		return 0, "TimedOut"
	}
	return 0, "SocketError"
}

// put hands a batch to the queue.
func (s *subscriber) put(id string, header http.Header, body []byte) (status int, outcome string) {
	m := Message{ID: id, Body: body, Properties: map[string]string{}}
	for name, values := range header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "aeg-") {
			m.Properties[name] = values[0]
		}
	}
	for name, values := range s.Headers {
		m.Properties[name] = values[0]
	}
	err := s.Queue(m)
	switch {
	case errors.Is(err, ErrRejected):
		return http.StatusBadRequest, "BadRequest"
	case err != nil:
		return http.StatusServiceUnavailable, "Busy"
	}
	return http.StatusOK, ""
}

// headers are Event Grid's own ("Delivery headers").
func (s *subscriber) headers(kind string, attempts int) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	if s.Schema == CloudEvents {
		h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
		if s.MaxEvents > 1 {
			h.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
		}
	}
	h.Set("aeg-event-type", kind)
	h.Set("aeg-subscription-name", strings.ToUpper(s.Name))
	h.Set("aeg-delivery-count", strconv.Itoa(attempts))
	h.Set("aeg-metadata-version", "1")
	return h
}

// body writes events in the subscription's schema.
func (s *subscriber) body(events []Event, array bool) []byte {
	parts := make([][]byte, len(events))
	for i, e := range events {
		parts[i] = e.render(s.Schema)
	}
	all := bytes.Join(parts, []byte(","))
	if array {
		return append(append([]byte("["), all...), ']')
	}
	return all
}

// settle files what came of a delivery. It is called with the lock held.
func (s *subscriber) settle(batch []*letter, status int, outcome string) {
	now := s.topic.o.Clock.Now()
	s.stats.Attempts++
	if success(status) {
		s.failures, s.stats.HeldUntil = 0, time.Time{}
		for _, l := range batch {
			s.remove(l)
		}
		s.stats.Delivered += len(batch)
		return
	}
	s.failures++
	if s.failures >= patience {
		s.stats.HeldUntil = now.Add(hold(s.failures))
	}
	for _, l := range batch {
		l.attempts++
		l.last, l.outcome, l.due = now, outcome, now.Add(wait(l.attempts, status))
		if end := l.published.Add(s.TTL); l.due.After(end) {
			l.due = end
		}
		switch {
		case final(status):
			s.giveUp(l, "Undeliverable")
		case l.attempts >= s.MaxAttempts:
			s.giveUp(l, "MaxDeliveryAttemptsExceeded")
		}
	}
}

// giveUp dead-letters a letter. It is called with the lock held.
func (s *subscriber) giveUp(l *letter, reason string) {
	s.remove(l)
	s.stats.Dead++
	if s.DeadLetter != nil {
		s.DeadLetter(DeadLetter{Subscription: s.Name, Event: l.event, Schema: s.Schema, Reason: reason, Outcome: l.outcome,
			Attempts: l.attempts, Published: l.published, LastAttempt: l.last})
	}
}

func (s *subscriber) remove(l *letter) {
	if s.pending[0] == l { // mostly so, and then it costs nothing
		s.pending = s.pending[1:]
		return
	}
	s.pending = slices.DeleteFunc(s.pending, func(o *letter) bool { return o == l })
}

func (s *subscriber) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.pending = true, nil
	if s.stop != nil {
		s.stop()
	}
}

func (s *subscriber) read() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Pending = len(s.pending)
	return out
}

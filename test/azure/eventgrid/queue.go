package eventgrid

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

// QueueSubscription is an event subscription with pull delivery ("Pull
// delivery with HTTP").
type QueueSubscription struct {
	Name string
	// LockDuration is receiveLockDurationInSeconds: 60 to 300 s. Defaults to
	// 60 s.
	LockDuration time.Duration
	// MaxDeliveryCount is how often an event is handed out: 1 to 10.
	// Defaults to 10.
	MaxDeliveryCount int
	// TTL is eventTimeToLive: 1 minute to 7 days. Defaults to 7 days.
	TTL time.Duration
	// DeadLetter gets what is given up. Nil drops it. It must not call back
	// into the namespace.
	DeadLetter func(QueueDeadLetter)
}

// QueueDeadLetter is an event that a queue subscription gave up.
type QueueDeadLetter struct {
	Event json.RawMessage
	// Reason is "Rejected", "MaxDeliveryAttemptsExceeded" or
	// "TimeToLiveExceeded".
	Reason        string
	DeliveryCount int
}

// QueueStats counts what became of a subscription's events.
type QueueStats struct {
	// Ready events can be received, Locked ones are with somebody, Delayed
	// ones were released for later.
	Ready, Locked, Delayed int
	Acknowledged, Dead     int
}

func (o QueueSubscription) withDefaults() (QueueSubscription, error) {
	o.LockDuration = orElse(o.LockDuration, time.Minute)
	o.MaxDeliveryCount = orElse(o.MaxDeliveryCount, 10)
	o.TTL = orElse(o.TTL, 7*24*time.Hour)
	switch {
	case o.Name == "":
		return o, errors.New("a subscription needs a name")
	case o.LockDuration < time.Minute || o.LockDuration > 5*time.Minute:
		return o, errors.New("LockDuration is 60 to 300 seconds")
	case o.MaxDeliveryCount < 1 || o.MaxDeliveryCount > 10:
		return o, errors.New("MaxDeliveryCount is 1 to 10")
	case o.TTL < time.Minute || o.TTL > 7*24*time.Hour:
		return o, errors.New("TTL is 1 minute to 7 days")
	}
	return o, nil
}

// queue is the state of one subscription.
type queue struct {
	QueueSubscription
	clock clock.Clock

	mu      sync.Mutex
	held    []*parcel
	tokens  int
	stats   QueueStats
	changed chan struct{} // closed and replaced when something may be ready
}

// parcel is one event and who has it.
type parcel struct {
	event     json.RawMessage
	published time.Time
	count     int
	// token is the current lock's, "" for none. A lock, or a delay, ends at
	// until.
	token string
	until time.Time
}

func newQueue(o QueueSubscription, c clock.Clock) *queue {
	return &queue{QueueSubscription: o, clock: c, changed: make(chan struct{})}
}

func (q *queue) add(events []json.RawMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		q.held = append(q.held, &parcel{event: e, published: q.clock.Now()})
	}
	q.wake()
}

// wake tells those who wait to look again. It is called with the lock held.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// wakeIn wakes once d has passed.
func (q *queue) wakeIn(d time.Duration) {
	q.clock.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.tidy()
		q.wake()
	})
}

// tidy ends locks and delays that are over, and gives up what is too old or
// was handed out too often. It is called with the lock held.
func (q *queue) tidy() {
	now := q.clock.Now()
	for _, p := range slices.Clone(q.held) {
		if p.token != "" && !p.until.After(now) {
			p.token = ""
		}
		switch {
		case p.token != "":
		case now.Sub(p.published) >= q.TTL:
			q.giveUp(p, "TimeToLiveExceeded")
		case p.count >= q.MaxDeliveryCount:
			q.giveUp(p, "MaxDeliveryAttemptsExceeded")
		}
	}
}

func (q *queue) giveUp(p *parcel, reason string) {
	q.remove(p)
	q.stats.Dead++
	if q.DeadLetter != nil {
		q.DeadLetter(QueueDeadLetter{Event: p.event, Reason: reason, DeliveryCount: p.count})
	}
}

func (q *queue) remove(p *parcel) {
	q.held = slices.DeleteFunc(q.held, func(o *parcel) bool { return o == p })
}

// take locks up to n events that are ready. When there are none it returns
// what to wait for.
func (q *queue) take(n int) ([]taken, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	now := q.clock.Now()
	var out []taken
	for _, p := range q.held {
		if p.token != "" || p.until.After(now) {
			continue
		}
		if len(out) == n {
			break
		}
		q.tokens++
		p.count++
		p.token, p.until = tokenPrefix+strconv.Itoa(q.tokens), now.Add(q.LockDuration)
		out = append(out, taken{Broker: broker{LockToken: p.token, DeliveryCount: p.count}, Event: p.event})
	}
	if len(out) > 0 {
		q.wakeIn(q.LockDuration)
	}
	return out, q.changed
}

// loseLocks ends all locks of a page.
func (q *queue) loseLocks(page []taken) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range page {
		if p := q.find(t.Broker.LockToken); p != nil {
			p.token, p.until = "", time.Time{}
		}
	}
	q.wake()
}

// find returns who has a lock by its token; nil when it is over.
func (q *queue) find(token string) *parcel {
	for _, p := range q.held {
		if token != "" && p.token == token {
			return p
		}
	}
	return nil
}

func (q *queue) read() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	out, now := q.stats, q.clock.Now()
	for _, p := range q.held {
		switch {
		case p.token != "":
			out.Locked++
		case p.until.After(now):
			out.Delayed++
		default:
			out.Ready++
		}
	}
	return out
}

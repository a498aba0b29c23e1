package servicebus

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// queue holds messages: a queue, or the dead letters of one. All of it is
// guarded by Server.mu.
type queue struct {
	s      *Server
	path   string
	o      Queue
	parent *queue // nil but for dead letters
	dead   *queue // nil for dead letters
	made   time.Time

	last    int64 // sequence number given last
	size    int64 // bytes of all entries
	entries map[int64]*entry
	ready   readyHeap
	locks   map[amqp.UUID]*entry
	seen    history
	takers  []*outLink
	turn    int // of the takers
}

// phase is what becomes of an entry that is not locked.
type phase int

const (
	active phase = iota
	deferred
	scheduled
)

// Values of the annotation x-opt-message-state.
var messageStates = map[phase]int32{active: 0, deferred: 1, scheduled: 2}

// entry is a message in a queue.
type entry struct {
	seq        int64
	msg        *amqp.Message // as sent, without header and annotations of the broker's
	size       int64
	phase      phase
	enqueued   time.Time
	ttl        time.Duration // zero: for ever
	deliveries uint32        // that failed
	lock       *lock
	source     string // the queue that it was a dead letter of
	waiting    bool   // is in the ready heap
	gone       bool   // is in no queue any more
	stop       func() // ends the wait for its schedule or its expiry
}

// lock is a receiver's exclusive hold on an entry.
type lock struct {
	token amqp.UUID
	until time.Time
	stop  func()
}

func newQueue(s *Server, path string, o Queue) *queue {
	q := bareQueue(s, path, o)
	q.dead = bareQueue(s, path+"/$DeadLetterQueue", o)
	q.dead.parent = q
	return q
}

func bareQueue(s *Server, path string, o Queue) *queue {
	return &queue{
		s: s, path: path, o: o.withDefaults(), made: s.now(),
		entries: map[int64]*entry{},
		locks:   map[amqp.UUID]*entry{},
	}
}

// accept stores messages, all or none.
func (q *queue) accept(messages []*amqp.Message) *amqp.Error {
	_, refused := q.schedule(messages)
	return refused
}

// schedule stores messages, all or none, and returns their sequence numbers,
// 0 for a dropped duplicate. A message may carry the time from which on it is
// to be delivered.
func (q *queue) schedule(messages []*amqp.Message) ([]int64, *amqp.Error) {
	added := make([]*entry, len(messages))
	var size int64
	for i, m := range messages {
		added[i] = newEntry(m)
		size += added[i].size
	}
	if q.total()+size > q.o.MaxSize {
		return nil, newError(condResourceLimit, fmt.Sprintf(
			"The maximum entity size has been reached or exceeded for Queue: '%s'. Size of entity in bytes: %d, Max entity size in bytes: %d.",
			q.path, q.total(), q.o.MaxSize))
	}
	numbers := make([]int64, len(added))
	for i, e := range added {
		numbers[i] = q.insert(e)
	}
	q.dispatch()
	return numbers, nil
}

// repeat stores messages once more, past duplicate detection.
func (q *queue) repeat(messages []*amqp.Message) {
	for _, m := range messages {
		q.store(newEntry(m))
	}
	q.dispatch()
}

// insert stores an entry unless it is a duplicate.
func (q *queue) insert(e *entry) int64 {
	if q.o.DuplicateDetection > 0 && q.seen.repeats(messageID(e.msg), q.s.now(), q.o.DuplicateDetection) {
		q.s.stats.DuplicatesDropped++
		return 0
	}
	return q.store(e)
}

// store gives an entry its number and starts its life.
func (q *queue) store(e *entry) int64 {
	q.last++
	e.seq = q.last
	e.ttl = lifetime(e.msg, q.o.DefaultTTL)
	q.s.stats.MessagesIn++
	q.put(e)
	now := q.s.now()
	at := scheduledFor(e.msg)
	if at == nil || !at.After(now) {
		q.activate(e)
		return e.seq
	}
	e.phase, e.enqueued = scheduled, now
	e.stop = q.s.after(at.Sub(now), func() {
		q.activate(e)
		q.dispatch()
	})
	return e.seq
}

// activate makes an entry deliverable, and mortal.
func (q *queue) activate(e *entry) {
	e.phase, e.enqueued = active, q.s.now()
	if e.ttl > 0 {
		e.stop = q.s.after(e.ttl, func() {
			if e.lock == nil {
				q.expire(e)
			}
		})
	}
	q.offer(e)
}

// offer puts an entry that is free to be delivered into line, where its number
// says: one that comes back is not behind those that came later.
func (q *queue) offer(e *entry) {
	if e.phase == active && !e.waiting {
		e.waiting = true
		heap.Push(&q.ready, e)
	}
}

// put and remove keep the books.
func (q *queue) put(e *entry) {
	q.entries[e.seq] = e
	q.size += e.size
}

func (q *queue) remove(e *entry) {
	e.gone = true
	e.stop()
	q.unlock(e)
	delete(q.entries, e.seq)
	q.size -= e.size
}

// total counts the bytes of a queue together with its dead letters.
func (q *queue) total() int64 {
	if q.dead != nil {
		return q.size + q.dead.size
	}
	return q.size
}

// next is the entry whose turn it is, or nil.
func (q *queue) next() *entry {
	for len(q.ready) > 0 {
		e := q.ready[0]
		if !e.gone && e.lock == nil && e.phase == active {
			return e
		}
		heap.Pop(&q.ready)
		e.waiting = false
	}
	return nil
}

// dispatch delivers while there are messages and receivers that take them.
func (q *queue) dispatch() {
	for {
		e := q.next()
		if e == nil {
			return
		}
		l := q.taker()
		if l == nil {
			return
		}
		q.deliver(e, l)
	}
}

// taker is the receiver whose turn it is among those that can take a message.
func (q *queue) taker() *outLink {
	for range q.takers {
		q.turn = (q.turn + 1) % len(q.takers)
		if l := q.takers[q.turn]; l.ready() {
			return l
		}
	}
	return nil
}

// leave takes a receiver out of the round.
func (q *queue) leave(l *outLink) {
	q.takers = slices.DeleteFunc(q.takers, func(o *outLink) bool { return o == l })
}

// deliver hands an entry to a receiver: under a lock, or for good.
func (q *queue) deliver(e *entry, l *outLink) {
	c := l.s.c
	hit := q.s.o.Faults.strike(Delivering, q.path)
	switch {
	case hit.drop:
		c.drop()
		return
	case hit.detach != nil:
		l.detach(hit.detach)
		return
	}
	q.s.stats.MessagesOut++
	if l.settled {
		l.transfer(q.compose(e, nil).Append(nil), newToken(), true)
		q.remove(e)
	} else {
		k := q.hold(e)
		id := l.transfer(q.compose(e, k).Append(nil), k.token, false)
		l.s.deliveries[id] = &delivery{id: id, l: l, token: k.token}
	}
	if hit.dropAfter {
		c.drop()
	}
}

// counts of what is in the queue.
func (q *queue) counts() Counts {
	c := q.ownCounts()
	if q.dead != nil {
		c.DeadLetter = len(q.dead.entries)
	}
	return c
}

func (q *queue) ownCounts() (c Counts) {
	for _, e := range q.entries {
		switch {
		case e.lock != nil:
			c.Locked++
		case e.phase == deferred:
			c.Deferred++
		case e.phase == scheduled:
			c.Scheduled++
		default:
			c.Active++
		}
	}
	return c
}

// sorted are all entries by sequence number from one on.
func (q *queue) sorted(from int64) []*entry {
	var out []*entry
	for _, e := range q.entries {
		if e.seq >= from {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return int(a.seq - b.seq) })
	return out
}

// readyHeap orders entries by sequence number.
type readyHeap []*entry

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(e any)        { *h = append(*h, e.(*entry)) }
func (h *readyHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

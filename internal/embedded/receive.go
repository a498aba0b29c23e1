package embedded

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds of one Receive.
const (
	receiveCount = 4096
	receiveBytes = 8 << 20
)

// Where a receiveJob is. The caller may leave at any time; whoever comes
// second, caller or writer, sees what the first did.
const (
	receiving int32 = iota
	answered
	left
)

// receiveJob is a Receive that waits for messages.
type receiveJob struct {
	call
	max    int
	where  atomic.Int32
	picked []pick
	until  time.Time
}

// pick is a message in the hands of a receiver; its entry is shared with the
// queue and must be copied.
type pick struct {
	lease   uint64
	attempt int
	entry   []byte
}

func (j *receiveJob) size() int { return 0 }

// apply only takes a place in the line: receivers are served when all else
// of the group is done.
func (j *receiveJob) apply(w *writer) error {
	w.queue.park(j)
	return nil
}

// answer to a parked job comes later, unless its group failed.
func (j *receiveJob) answer(err error) {
	if err != nil {
		j.settle(err)
	}
}

// settle ends the caller's wait; false when the caller has left or was
// answered before.
func (j *receiveJob) settle(err error) bool {
	if !j.where.CompareAndSwap(receiving, answered) {
		return false
	}
	j.call.answer(err)
	return true
}

// leave withdraws the caller; false when the answer was first.
func (j *receiveJob) leave() bool { return j.where.CompareAndSwap(receiving, left) }

// park appends to the line. Those who left are cleaned out each time the line
// has doubled.
func (q *queue) park(j *receiveJob) {
	if len(q.waiting) >= max(q.crowd, 64) {
		q.dismiss()
		q.crowd = 2 * len(q.waiting)
	}
	q.waiting = append(q.waiting, j)
}

// dismiss drops those who left or were answered.
func (q *queue) dismiss() {
	stay := q.waiting[:0]
	for _, j := range q.waiting {
		if j.where.Load() == receiving {
			stay = append(stay, j)
		}
	}
	clear(q.waiting[len(stay):])
	q.waiting = stay
}

// serve gives ready messages to those who wait, in the order they came.
func (q *queue) serve() error {
	n := 0
	for n < len(q.waiting) {
		j := q.waiting[n]
		if j.where.Load() == receiving {
			if err := q.pick(j); err != nil {
				return err
			}
			if len(j.picked) == 0 {
				break
			}
			q.served = append(q.served, j)
		}
		n++
	}
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	return nil
}

// suspectAfter is the number of deliveries from which on a message is handed
// out alone.
const suspectAfter = 3

// suspect means that a message may be what kills its receivers: each time it
// was handed out the end was a crash, an expired lease or a retry.
func (q *queue) suspect(at ref) bool {
	return at.attempts() >= suspectAfter && at.attempts() < q.maxDeliveries
}

// pick takes messages for one receiver and counts the deliveries. The count
// is durable before a receiver can die of a message, and it goes up for all
// that were handed out with it. A suspect therefore comes alone, lest it use
// up the deliveries of its neighbours: what was picked before it is a batch,
// and the suspect waits for the next Receive.
func (q *queue) pick(j *receiveJob) error {
	size := 0
	j.until = q.now.Add(q.lease)
	for len(j.picked) < j.max && size < receiveBytes && len(q.leases.byID) < q.maxLeased {
		at, ok, err := q.next()
		if err != nil || !ok {
			return err
		}
		alone := q.suspect(at)
		if alone && len(j.picked) > 0 {
			return nil
		}
		n, err := q.take(j, at)
		if err != nil || alone {
			return err
		}
		size += n
	}
	return nil
}

// take gives the head of the line to a receiver and returns its size, or
// buries it when it was delivered too often.
func (q *queue) take(j *receiveJob, at ref) (size int, err error) {
	q.ready.pop()
	if err := q.fetch(at.seg); err != nil {
		return 0, err
	}
	defer q.letGo(at.seg)
	entry := at.seg.entry(at.index)
	at.seg.ready--
	if at.attempts() >= q.maxDeliveries {
		return 0, q.bury(at, entry, "max_deliveries", fmt.Sprintf("delivered %d times without being settled", at.attempts()))
	}
	at.seg.state[at.index]++
	q.touch(at.seg)
	j.picked = append(j.picked, pick{q.leases.take(at, j.until), at.attempts(), entry})
	return len(entry), nil
}

// answer ends the waits of those whom the group served. A message for
// somebody who left is ready again at once.
func (q *queue) answer(err error) {
	for i, j := range q.served {
		q.served[i] = nil
		if j.settle(err) || err != nil {
			continue
		}
		for _, p := range j.picked {
			if at, ok := q.leases.end(p.lease); ok {
				q.makeReady(at)
			}
		}
	}
	q.served = q.served[:0]
}

// abandon answers everybody who waits.
func (q *queue) abandon(err error) {
	for _, j := range q.waiting {
		j.settle(err)
	}
	q.waiting = nil
}

// faultPause is how long waiting receivers wait after a failed group.
const faultPause = time.Second

// arm sets the timer to when something happens that waiting receivers wait
// for. Without receivers time is caught up with in the next group.
func (q *queue) arm(t *time.Timer, now time.Time, fault error) {
	if len(q.waiting) == 0 {
		t.Stop()
		return
	}
	next := now.Add(time.Hour)
	if q.leases.oldest != nil && q.leases.oldest.until.Before(next) {
		next = q.leases.oldest.until
	}
	if !q.nextDue.IsZero() && q.nextDue.Before(next) {
		next = q.nextDue
	}
	switch {
	case fault != nil:
		next = now.Add(faultPause)
	case q.ready.count > 0 && len(q.leases.byID) < q.maxLeased:
		next = now
	}
	t.Reset(max(0, time.Until(next)))
}

// Receive implements lineage.Queue. At most 4,096 messages or about 8 MiB
// come at once, whatever max says. A message that was delivered three times
// or more already comes alone, in a batch of exactly one.
func (q *Queue) Receive(ctx context.Context, max int) ([]lineage.Delivery, error) {
	if max < 1 {
		return nil, fmt.Errorf("receive: cannot receive %d messages, ask for at least 1", max)
	}
	j := &receiveJob{call: newCall(), max: min(max, receiveCount)}
	err := q.db.writer.submit(ctx, j)
	if err != nil && !j.leave() {
		<-j.done // the answer was first
		err = j.err
	}
	if err != nil {
		return nil, err
	}
	return j.deliveries()
}

// deliveries copies what was picked, into one piece of memory.
func (j *receiveJob) deliveries() ([]lineage.Delivery, error) {
	size := 0
	for _, p := range j.picked {
		size += len(p.entry)
	}
	memory := make([]byte, 0, size)
	names := leaseNames(j.picked)
	all := make([]lineage.Delivery, len(j.picked))
	for i, p := range j.picked {
		start := len(memory)
		memory = append(memory, p.entry...)
		m, enqueued, err := decodeEntry(memory[start:len(memory):len(memory)])
		if err != nil {
			return nil, err
		}
		all[i] = lineage.Delivery{
			Message: m, Lease: names[i], LeasedUntil: j.until, Attempt: p.attempt, Enqueued: enqueued,
		}
	}
	return all, nil
}

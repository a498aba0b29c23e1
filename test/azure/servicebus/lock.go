package servicebus

import (
	"time"

	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

func newToken() amqp.UUID { return amqp.UUID(uuid.New()) }

// errLockLost is the answer to whoever comes too late.
func errLockLost() *amqp.Error {
	return newError(condLockLost, "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.")
}

// hold locks an entry.
func (q *queue) hold(e *entry) *lock {
	k := &lock{token: newToken()}
	e.lock = k
	q.locks[k.token] = e
	q.arm(e)
	return k
}

// arm gives a lock its full duration from now.
func (q *queue) arm(e *entry) time.Time {
	k := e.lock
	k.until = q.s.now().Add(q.o.LockDuration)
	k.stop = q.s.after(q.o.LockDuration, func() { q.expireLock(e) })
	return k.until
}

// renew extends a lock and returns the time until which it holds.
func (q *queue) renew(token amqp.UUID) (time.Time, *amqp.Error) {
	e := q.locks[token]
	if e == nil {
		return time.Time{}, errLockLost()
	}
	e.lock.stop()
	return q.arm(e), nil
}

// unlock takes the lock off an entry, if it has one.
func (q *queue) unlock(e *entry) {
	if e.lock == nil {
		return
	}
	e.lock.stop()
	delete(q.locks, e.lock.token)
	e.lock = nil
}

// expireLock gives an entry to others.
func (q *queue) expireLock(e *entry) {
	q.s.stats.LocksExpired++
	q.failed(e)
	q.dispatch()
}

// expireLocks lets all locks expire now.
func (q *queue) expireLocks() int {
	n := len(q.locks)
	for _, e := range q.sorted(0) {
		if e.lock != nil {
			q.s.stats.LocksExpired++
			q.failed(e)
		}
	}
	q.dispatch()
	return n
}

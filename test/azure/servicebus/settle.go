package servicebus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// verdict is what a receiver makes of a message.
type verdict int

const (
	complete verdict = iota
	abandon          // back, and the delivery counts as failed
	release          // back, as if it had not been delivered
	postpone         // defer
	bury             // to the dead letters
)

// outcome is a verdict with its details.
type outcome struct {
	verdict             verdict
	reason, description string
	modify              amqp.Map // properties to change
}

// Application properties of a dead letter.
const (
	propertyReason      = "DeadLetterReason"
	propertyDescription = "DeadLetterErrorDescription"
)

// outcomeOf reads a delivery state. ok is false for a state that is none of
// the outcomes.
func outcomeOf(state any) (o outcome, ok bool) {
	switch state := state.(type) {
	case *amqp.Accepted:
		return outcome{verdict: complete}, true
	case *amqp.Released:
		return outcome{verdict: release}, true
	case *amqp.Modified:
		o = outcome{verdict: abandon, modify: state.MessageAnnotations}
		if state.UndeliverableHere {
			o.verdict = postpone
		}
		return o, true
	case *amqp.Rejected:
		return rejection(state.Error), true
	}
	return outcome{}, false
}

// rejection reads reason and description from the error's info, as the SDKs
// put them, or else takes the error itself for them.
func rejection(err *amqp.Error) outcome {
	o := outcome{verdict: bury}
	if err == nil {
		return o
	}
	if err.Condition != condDeadLetter {
		o.reason, o.description = string(err.Condition), err.Description
	}
	for _, e := range err.Info {
		switch amqp.Text(e.Key) {
		case propertyReason:
			o.reason = amqp.Text(e.Value)
		case propertyDescription:
			o.description = amqp.Text(e.Value)
		default:
			o.modify = append(o.modify, e)
		}
	}
	return o
}

// disposition takes the client's word on deliveries that it received.
func (s *session) disposition(d *amqp.Disposition) {
	s.c.s.stats.DispositionsIn++
	if d.Role == amqp.RoleSender {
		return
	}
	for _, dl := range s.between(d) {
		if s.c.dead {
			return
		}
		s.settle(dl, d)
	}
}

// between are the unsettled deliveries that a disposition speaks of, in order.
func (s *session) between(d *amqp.Disposition) []*delivery {
	last := d.First
	if d.Last != nil {
		last = *d.Last
	}
	if last == d.First {
		if dl := s.deliveries[last]; dl != nil {
			return []*delivery{dl}
		}
		return nil
	}
	var out []*delivery
	for id, dl := range s.deliveries {
		if id-d.First <= last-d.First {
			out = append(out, dl)
		}
	}
	slices.SortFunc(out, func(a, b *delivery) int { return int(int32(a.id - b.id)) })
	return out
}

// settle settles one delivery and, if the client waits for that, answers.
func (s *session) settle(dl *delivery, d *amqp.Disposition) {
	o, final := outcomeOf(d.State)
	if !final {
		s.undecided(dl, d)
		return
	}
	q := dl.l.at.queue
	hit := s.c.s.o.Faults.strike(Settling, q.path)
	switch {
	case hit.drop:
		s.c.drop()
		return
	case hit.detach != nil:
		dl.l.detach(hit.detach)
		return
	case hit.dropAfter:
		s.c.drop() // what follows takes effect, its answer is not sent
	case hit.expire:
		q.expireToken(dl.token)
	}
	refused := hit.refusal
	if refused == nil {
		refused = q.settle(dl.token, o)
	}
	delete(s.deliveries, dl.id)
	if !d.Settled {
		s.confirm(dl, d.State, refused)
	}
}

// undecided takes a disposition that carries no outcome: progress, which is
// ignored; settled without a word, after which the lock will expire; or a
// transaction's, which are not simulated.
func (s *session) undecided(dl *delivery, d *amqp.Disposition) {
	if d.Settled {
		delete(s.deliveries, dl.id)
		return
	}
	if _, unknown := d.State.(*amqp.Described); unknown {
		delete(s.deliveries, dl.id)
		s.confirm(dl, d.State, newError(condNotImplemented, "Transactions are not simulated."))
	}
}

// confirm repeats the outcome to the client, or says why it was refused.
func (s *session) confirm(dl *delivery, state any, refused *amqp.Error) {
	if _, ok := state.(*amqp.Rejected); ok || refused != nil {
		// The error of a rejection is not repeated: the client would take it
		// for a refusal.
		state = &amqp.Rejected{Error: refused}
	}
	s.c.send(s.channel, &amqp.Disposition{
		Role: amqp.RoleSender, First: dl.id, Last: new(dl.id), Settled: true, State: state,
	}, nil)
}

// expireToken lets one lock expire, if it still holds.
func (q *queue) expireToken(token amqp.UUID) {
	if e := q.locks[token]; e != nil {
		q.expireLock(e)
	}
}

// settle applies an outcome to a locked message.
func (q *queue) settle(token amqp.UUID, o outcome) *amqp.Error {
	e := q.locks[token]
	if e == nil {
		return errLockLost()
	}
	if o.verdict == bury && q.dead == nil {
		return newError(condNotAllowed, "A dead letter can not be dead-lettered again.")
	}
	e.modify(o.modify)
	switch o.verdict {
	case complete:
		q.remove(e)
	case abandon:
		q.failed(e)
	case release:
		q.back(e)
	case postpone:
		e.phase = deferred
		q.back(e)
	case bury:
		q.bury(e, o.reason, o.description)
	}
	q.dispatch()
	return nil
}

// back returns an entry to where it came from, or ends it if its time is up.
func (q *queue) back(e *entry) {
	q.unlock(e)
	if q.overdue(e) {
		q.expire(e)
		return
	}
	q.offer(e)
}

// failed returns an entry after a delivery that came to nothing. Dead letters
// stay where they are however often that happens.
func (q *queue) failed(e *entry) {
	e.deliveries++
	if q.dead != nil && int(e.deliveries) >= q.o.MaxDeliveryCount {
		q.bury(e, "MaxDeliveryCountExceeded", fmt.Sprintf(
			"Message could not be consumed after %d delivery attempts.", e.deliveries))
		return
	}
	q.back(e)
}

// bury moves an entry to the dead letters.
func (q *queue) bury(e *entry, reason, description string) {
	q.remove(e)
	q.s.stats.DeadLettered++
	dead := *e
	dead.gone, dead.waiting, dead.phase, dead.ttl, dead.stop = false, false, active, 0, func() {}
	dead.source = q.path
	dead.modify(amqp.Map{
		{Key: propertyReason, Value: reason},
		{Key: propertyDescription, Value: description},
	})
	q.dead.put(&dead)
	q.dead.offer(&dead)
	q.dead.dispatch()
}

// overdue reports whether a message has outlived its time to live.
func (q *queue) overdue(e *entry) bool {
	return e.ttl > 0 && e.phase != scheduled && !q.s.now().Before(e.enqueued.Add(e.ttl))
}

// expire ends a message whose time is up.
func (q *queue) expire(e *entry) {
	if q.o.DeadLetterOnExpiry {
		q.bury(e, "TTLExpiredException", "The message expired and was dead lettered.")
		return
	}
	q.remove(e)
}

// modify changes application properties, or annotations where the name is that
// of one.
func (e *entry) modify(changes amqp.Map) {
	if len(changes) == 0 {
		return
	}
	m := *e.msg
	m.ApplicationProperties, m.Annotations = m.ApplicationProperties.Clone(), m.Annotations.Clone()
	for _, change := range changes {
		name := amqp.Text(change.Key)
		switch {
		case systemAnnotations[name]:
		case strings.HasPrefix(name, "x-opt-"):
			m.Annotations.Set(amqp.Symbol(name), change.Value)
		default:
			m.ApplicationProperties.Set(name, change.Value)
		}
	}
	e.msg = &m
}

package servicebus

import (
	"maps"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// maxBacklog bounds the answers that wait for credit on a link.
const maxBacklog = 1000

// outLink is a link on which the client receives.
type outLink struct {
	linkEnd
	settled       bool // deliveries are settled as they are sent
	credit        uint32
	deliveryCount uint32
	draining      bool

	replyTo []string // addresses under which answers find this link
	backlog [][]byte // answers without credit
}

// delivery is a message that the client has not settled.
type delivery struct {
	id    uint32
	l     *outLink
	token amqp.UUID
}

func (l *outLink) wants() Rights { return wanted(l.at, amqp.RoleReceiver) }

// takes reports whether the link is one of a queue's receivers.
func (l *outLink) takes() bool { return l.at.kind == nodeQueue && l.at.queue != nil }

// join makes the link known to what it carries messages from.
func (l *outLink) join() {
	if l.takes() {
		l.at.queue.takers = append(l.at.queue.takers, l)
		return
	}
	for _, address := range l.replyTo {
		if address != "" {
			l.s.c.replies[address] = l
		}
	}
}

func (l *outLink) detach(err *amqp.Error) {
	l.sendDetach(err)
	l.forget()
}

func (l *outLink) forget() {
	l.credit, l.backlog = 0, nil
	maps.DeleteFunc(l.s.deliveries, func(_ uint32, d *delivery) bool { return d.l == l })
	if l.takes() {
		l.at.queue.leave(l)
		return
	}
	for _, address := range l.replyTo {
		if l.s.c.replies[address] == l {
			delete(l.s.c.replies, address)
		}
	}
}

// flow takes the credit that the client gives.
func (l *outLink) flow(f *amqp.Flow) {
	if l.gone {
		return
	}
	if f.LinkCredit != nil {
		limit := *f.LinkCredit
		if f.DeliveryCount != nil {
			limit += *f.DeliveryCount
		}
		l.credit = uint32(max(0, int32(limit-l.deliveryCount)))
	}
	l.draining = f.Drain
	l.resume()
	if f.Echo && !f.Drain {
		l.sendState(false)
	}
}

// resume delivers what can be delivered now.
func (l *outLink) resume() {
	if l.gone {
		return
	}
	if l.takes() {
		l.at.queue.dispatch()
	} else {
		for len(l.backlog) > 0 && l.ready() {
			payload := l.backlog[0]
			l.backlog = l.backlog[1:]
			l.transfer(payload, amqp.UUID{}, true)
		}
	}
	if l.draining && (l.credit == 0 || !l.s.blocked() || !l.more()) {
		l.draining = false
		l.deliveryCount += l.credit
		l.credit = 0
		l.sendState(true)
	}
}

// more reports whether there is something that the link could carry.
func (l *outLink) more() bool {
	if l.takes() {
		return l.at.queue.next() != nil
	}
	return len(l.backlog) > 0
}

// sendState tells the client how we count.
func (l *outLink) sendState(drained bool) {
	l.s.sendFlow(&amqp.Flow{
		Handle:        new(l.handle),
		DeliveryCount: new(l.deliveryCount),
		LinkCredit:    new(l.credit),
		Drain:         drained,
	})
}

// ready reports whether a message may be sent now.
func (l *outLink) ready() bool { return !l.gone && l.credit > 0 && !l.s.blocked() }

// reply sends an answer, now or when there is credit.
func (l *outLink) reply(payload []byte) {
	if len(l.backlog) >= maxBacklog {
		l.detach(newError(condResourceLimit, "too many answers wait for credit"))
		return
	}
	l.backlog = append(l.backlog, payload)
	l.resume()
}

// transfer sends a message in as many frames as it takes.
func (l *outLink) transfer(payload []byte, token amqp.UUID, settled bool) (id uint32) {
	id = l.s.nextDelivery
	l.s.nextDelivery++
	l.credit--
	l.deliveryCount++
	tag := swap(token)
	t := &amqp.Transfer{
		Handle: l.handle, DeliveryID: new(id), DeliveryTag: tag[:], MessageFormat: new(uint32(0)),
		Settled: new(settled), More: true,
	}
	room := int(l.s.c.peerFrame) - len(amqp.AppendFrame(nil, amqp.Frame{Body: t}))
	for {
		n := min(room, len(payload))
		t.More = n < len(payload)
		l.s.sendTransfer(t, payload[:n])
		if payload = payload[n:]; !t.More {
			return id
		}
		t = &amqp.Transfer{Handle: l.handle, DeliveryID: new(id), Settled: new(settled), More: true}
	}
}

// swap turns a lock token, a UUID in RFC 4122 order, into a delivery tag, the
// bytes of a .NET GUID; and back.
func swap(u amqp.UUID) amqp.UUID {
	u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
	u[4], u[5] = u[5], u[4]
	u[6], u[7] = u[7], u[6]
	return u
}

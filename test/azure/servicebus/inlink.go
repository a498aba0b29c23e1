package servicebus

import (
	"fmt"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

const (
	// inCredit is how many messages a client may send ahead on a link.
	inCredit = 1000
	// controlSize bounds a request to $cbs or $management: a batch of messages
	// to be scheduled may be as large as Azure's largest batch.
	controlSize = 1 << 20
	// batchFormat marks a message whose data sections are messages.
	batchFormat = 0x80013700
)

// inLink is a link on which the client sends.
type inLink struct {
	linkEnd
	maxSize       int
	credit        uint32
	deliveryCount uint32
	incoming      *incoming
}

// incoming is a delivery that is not complete yet.
type incoming struct {
	id      uint32
	format  uint32
	settled bool
	size    int
	payload []byte // nil once size is beyond the link's limit
}

func (l *inLink) wants() Rights { return wanted(l.at, amqp.RoleSender) }

func (l *inLink) detach(err *amqp.Error) {
	l.sendDetach(err)
	l.forget()
}

func (l *inLink) forget() { l.incoming = nil }

// grant gives the client full credit.
func (l *inLink) grant() {
	l.credit = inCredit
	l.s.sendFlow(&amqp.Flow{
		Handle:        new(l.handle),
		DeliveryCount: new(l.deliveryCount),
		LinkCredit:    new(l.credit),
	})
}

// flow takes the client's count, which it may have advanced to give up credit.
func (l *inLink) flow(f *amqp.Flow) {
	if l.gone {
		return
	}
	if f.DeliveryCount != nil && *f.DeliveryCount != l.deliveryCount {
		l.deliveryCount = *f.DeliveryCount
		l.grant()
	} else if f.Echo {
		l.grant()
	}
}

// transfer takes a transfer frame of any link of the session.
func (s *session) transfer(t *amqp.Transfer, payload []byte) {
	s.received()
	l, ok := s.links[t.Handle].(*inLink)
	if !ok {
		s.end(newError(condUnattached, "transfer on a handle that no sender has"))
		return
	}
	if l.gone {
		return
	}
	if refused := l.collect(t, payload); refused != nil {
		l.detach(refused)
		return
	}
	if d := l.incoming; d != nil && !t.More {
		l.incoming = nil
		l.complete(d)
	}
}

// collect adds a frame to the delivery that it belongs to.
func (l *inLink) collect(t *amqp.Transfer, payload []byte) *amqp.Error {
	if l.incoming == nil {
		if t.DeliveryID == nil {
			return newError(condInvalidField, "the first transfer of a delivery has no delivery id")
		}
		l.incoming = &incoming{id: *t.DeliveryID}
	}
	if t.Aborted {
		l.incoming = nil
		return nil
	}
	d := l.incoming
	if t.MessageFormat != nil {
		d.format = *t.MessageFormat
	}
	d.settled = d.settled || t.Settled != nil && *t.Settled
	if d.size += len(payload); d.size > l.maxSize {
		d.payload = nil
	} else {
		d.payload = append(d.payload, payload...)
	}
	return nil
}

// complete handles a whole delivery and tells the client its outcome. Credit
// is given anew when half of it is used up.
func (l *inLink) complete(d *incoming) {
	l.deliveryCount++
	l.credit--
	if l.credit < inCredit/2 {
		l.grant()
	}
	switch {
	case d.size > l.maxSize:
		// Azure rejects the message and keeps the link, against the letter of
		// the standard.
		l.answer(d, newError(condSizeExceeded, fmt.Sprintf(
			"The received message (delivery-id:%d, size:%d bytes) exceeds the limit (%d bytes) currently allowed on the link.",
			d.id, d.size, l.maxSize)))
	case l.at.kind == nodeQueue:
		l.store(d)
	default:
		l.answer(d, nil)
		l.request(d)
	}
}

// answer settles a delivery: accepted, or rejected with an error.
func (l *inLink) answer(d *incoming, refused *amqp.Error) {
	if d.settled {
		return
	}
	var state any = &amqp.Accepted{}
	if refused != nil {
		state = &amqp.Rejected{Error: refused}
	}
	l.s.c.send(l.s.channel, &amqp.Disposition{
		Role: amqp.RoleReceiver, First: d.id, Last: new(d.id), Settled: true, State: state,
	}, nil)
}

// store puts what arrived into the queue, all of it or nothing.
func (l *inLink) store(d *incoming) {
	hit := l.s.c.s.o.Faults.strike(Sending, l.at.queue.path)
	switch {
	case hit.drop:
		l.s.c.drop()
		return
	case hit.detach != nil:
		l.detach(hit.detach)
		return
	case hit.refusal != nil:
		l.answer(d, hit.refusal)
		return
	}
	messages, refused := unpack(d.format, d.payload)
	if refused == nil {
		if hit.dropAfter {
			l.s.c.drop() // before a receiver on this connection gets hold of it
		}
		refused = l.at.queue.accept(messages)
	}
	if refused == nil && hit.twice {
		l.at.queue.repeat(messages)
	}
	l.answer(d, refused)
}

// unpack decodes a message or a batch of them.
func unpack(format uint32, payload []byte) ([]*amqp.Message, *amqp.Error) {
	m, err := amqp.ParseMessage(payload)
	if err != nil {
		return nil, newError(condDecode, err.Error())
	}
	if format != batchFormat {
		return []*amqp.Message{m}, nil
	}
	var batch []*amqp.Message
	for _, section := range m.Sections() {
		encoded, ok := section.([]byte)
		if !ok {
			return nil, newError(condDecode, "a batch consists of data sections")
		}
		one, err := amqp.ParseMessage(encoded)
		if err != nil {
			return nil, newError(condDecode, err.Error())
		}
		batch = append(batch, one)
	}
	if len(batch) == 0 {
		return nil, newError(condInvalidField, "an empty batch")
	}
	return batch, nil
}

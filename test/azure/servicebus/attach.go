package servicebus

import (
	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// sessionFilter is what a receiver asks for that wants a message session.
const sessionFilter = "com.microsoft:session-filter"

// linkEnd is what both kinds of link have in common.
type linkEnd struct {
	s      *session
	handle uint32
	at     node
	// gone means that we have sent a detach; what still arrives is ignored.
	gone bool
}

func (e *linkEnd) node() node { return e.at }

// sendDetach says, once, that the link is over.
func (e *linkEnd) sendDetach(err *amqp.Error) {
	if e.gone {
		return
	}
	e.gone = true
	e.s.c.send(e.s.channel, &amqp.Detach{Handle: e.handle, Closed: true, Error: err}, nil)
}

// attach answers the client's attach frame: with a link, or with an attach
// that has no terminus followed by a detach that says why.
func (s *session) attach(a *amqp.Attach) {
	if a.Handle > handleMax || s.links[a.Handle] != nil {
		s.end(newError(condHandleInUse, "the handle is out of range or in use"))
		return
	}
	e := linkEnd{s: s, handle: a.Handle}
	hit, refused := s.admit(a, &e)
	if hit.drop || hit.dropAfter {
		s.c.drop() // what follows takes effect, its answer is not sent
	}
	switch {
	case hit.drop:
	case refused != nil:
		s.refuse(a, e, refused)
	case a.Role == amqp.RoleSender:
		s.attachIn(a, e)
	default:
		s.attachOut(a, e)
	}
}

// admit finds the node that the link is for and checks that the client may
// attach to it in this way.
func (s *session) admit(a *amqp.Attach, e *linkEnd) (hit strike, refused *amqp.Error) {
	address, refused := terminus(a)
	if refused != nil || address == "" {
		return hit, refused
	}
	var unknown *amqp.Error
	e.at, unknown = s.c.s.resolve(address)
	hit = s.c.s.o.Faults.strike(Attaching, e.at.path)
	if hit.refusal != nil {
		return hit, hit.refusal
	}
	if err := s.c.authorize(e.at, wanted(e.at, a.Role)); err != nil {
		return hit, err
	}
	if unknown != nil {
		return hit, unknown
	}
	return hit, e.at.allows(a)
}

// terminus is the address of our end of the link; "" asks for a dynamic one.
func terminus(a *amqp.Attach) (string, *amqp.Error) {
	if a.Role == amqp.RoleReceiver {
		if a.Source == nil {
			return "", newError(condInvalidField, "a receiver needs a source")
		}
		if a.Source.Dynamic {
			return "", nil
		}
		return needAddress(a.Source.Address)
	}
	switch target := a.Target.(type) {
	case *amqp.Target:
		return needAddress(target.Address)
	case *amqp.Coordinator:
		return "", newError(condNotImplemented, "Transactions are not simulated.")
	}
	return "", newError(condInvalidField, "a sender needs a target")
}

func needAddress(address any) (string, *amqp.Error) {
	text := amqp.Text(address)
	if text == "" {
		return "", newError(condInvalidField, "the address is missing")
	}
	return text, nil
}

// wanted are the rights that a link needs. For $management it depends on what
// is asked.
func wanted(n node, role bool) Rights {
	switch {
	case n.kind != nodeQueue:
		return 0
	case role == amqp.RoleSender:
		return Send
	}
	return Listen
}

// allows refuses links that no queue can have.
func (n node) allows(a *amqp.Attach) *amqp.Error {
	if n.kind != nodeQueue {
		return nil
	}
	if a.Role == amqp.RoleSender && n.queue.parent != nil {
		return newError(condNotAllowed, "Messages cannot be sent to '"+n.path+"' directly.")
	}
	if a.Role == amqp.RoleReceiver && hasKey(a.Source.Filter, sessionFilter) {
		return newError(condNotAllowed, "It is not possible for an entity that doesn't require sessions to create a session receiver.")
	}
	return nil
}

func hasKey(m amqp.Map, key string) bool {
	for _, e := range m {
		if amqp.Text(e.Key) == key {
			return true
		}
	}
	return false
}

// refuse lets the link come into being without a terminus and ends it.
func (s *session) refuse(a *amqp.Attach, e linkEnd, err *amqp.Error) {
	answer := &amqp.Attach{Name: a.Name, Handle: a.Handle, Role: !a.Role, SndSettleMode: a.SndSettleMode, RcvSettleMode: a.RcvSettleMode}
	if a.Role == amqp.RoleSender {
		answer.Source = a.Source
	} else {
		answer.Target = a.Target
		answer.InitialDeliveryCount = new(uint32(0))
	}
	s.c.send(s.channel, answer, nil)
	l := &inLink{linkEnd: e}
	s.links[a.Handle] = l
	l.detach(err)
}

// attachIn makes a link on which the client sends, and lets it.
func (s *session) attachIn(a *amqp.Attach, e linkEnd) {
	l := &inLink{linkEnd: e, maxSize: controlSize}
	if e.at.kind == nodeQueue {
		l.maxSize = e.at.queue.o.MaxMessageSize
	}
	if a.InitialDeliveryCount != nil {
		l.deliveryCount = *a.InitialDeliveryCount
	}
	s.links[a.Handle] = l
	s.c.send(s.channel, &amqp.Attach{
		Name: a.Name, Handle: a.Handle, Role: amqp.RoleReceiver,
		SndSettleMode: a.SndSettleMode, RcvSettleMode: amqp.ReceiverFirst,
		Source: a.Source, Target: a.Target,
		MaxMessageSize: new(uint64(l.maxSize)),
		Properties:     a.Properties,
	}, nil)
	l.grant()
}

// attachOut makes a link on which the client receives: messages of a queue, or
// answers to what it asks of $cbs or $management.
func (s *session) attachOut(a *amqp.Attach, e linkEnd) {
	l := &outLink{linkEnd: e, settled: a.SndSettleMode != nil && *a.SndSettleMode == amqp.SenderSettled}
	source := *a.Source
	if source.Dynamic {
		source.Address = uuid.NewString()
		l.at.kind = nodeCBS // needs no rights of its own
	}
	// Clients call the place for answers by one of these.
	l.replyTo = []string{a.Name, amqp.Text(source.Address)}
	if target, ok := a.Target.(*amqp.Target); ok {
		l.replyTo = append(l.replyTo, amqp.Text(target.Address))
	}
	s.links[a.Handle] = l
	s.c.send(s.channel, &amqp.Attach{
		Name: a.Name, Handle: a.Handle, Role: amqp.RoleSender,
		SndSettleMode: a.SndSettleMode, RcvSettleMode: a.RcvSettleMode,
		Source: &source, Target: a.Target,
		InitialDeliveryCount: new(uint32(0)),
		Properties:           a.Properties,
	}, nil)
	l.join()
}

package servicebus

import (
	"errors"
	"fmt"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// sessionWindow is how many transfer frames the client may send ahead.
const sessionWindow = 5000

// session is a session of a connection; its channel is the number that the
// client chose.
type session struct {
	c       *conn
	channel uint16
	links   map[uint32]link // by the client's handle, which we use as ours too
	left    map[uint32]bool // handles that the client detached

	nextIncoming   uint32 // transfer id that the client uses next
	incomingWindow uint32 // how many more it may send
	nextOutgoing   uint32 // transfer id that we use next
	outgoingRoom   uint32 // how many more we may send
	pending        []transferFrame

	nextDelivery uint32
	deliveries   map[uint32]*delivery // sent and not settled

	ending bool // we ended it and wait for the client's end frame
}

// transferFrame waits for the session's window to open.
type transferFrame struct {
	transfer *amqp.Transfer
	payload  []byte
}

// link is either end of a link: *inLink or *outLink.
type link interface {
	// node is what the link is attached to, wants what it must be allowed.
	node() node
	wants() Rights
	// flow takes the client's link state.
	flow(*amqp.Flow)
	// detach ends the link because of an error, or in answer to the client
	// with none.
	detach(*amqp.Error)
	// forget takes the link out of what it is attached to.
	forget()
}

// begin answers a session.
func (c *conn) begin(channel uint16, b *amqp.Begin) error {
	if !c.opened {
		return errors.New("begin before open")
	}
	if channel > channelMax || c.sessions[channel] != nil {
		return fmt.Errorf("channel %d is out of range or in use", channel)
	}
	session := &session{
		c: c, channel: channel,
		links:          map[uint32]link{},
		left:           map[uint32]bool{},
		nextIncoming:   b.NextOutgoingID,
		incomingWindow: sessionWindow,
		outgoingRoom:   b.IncomingWindow,
		deliveries:     map[uint32]*delivery{},
	}
	c.sessions[channel] = session
	c.send(channel, &amqp.Begin{
		RemoteChannel:  new(channel),
		IncomingWindow: sessionWindow,
		OutgoingWindow: sessionWindow,
		HandleMax:      new(uint32(handleMax)),
	}, nil)
	return nil
}

// handle handles a frame of the session. An error ends the connection.
func (s *session) handle(f amqp.Frame) error {
	if _, isEnd := f.Body.(*amqp.End); s.ending && !isEnd {
		return nil
	}
	switch body := f.Body.(type) {
	case *amqp.Attach:
		s.attach(body)
	case *amqp.Flow:
		s.flow(body)
	case *amqp.Transfer:
		s.transfer(body, f.Payload)
	case *amqp.Disposition:
		s.disposition(body)
	case *amqp.Detach:
		s.detached(body)
	case *amqp.End:
		s.end(nil)
	default:
		return fmt.Errorf("unexpected %T", body)
	}
	return nil
}

// end ends the session: because of an error, and then frames that are on the
// way are ignored until the client's end frame comes; or in answer to that.
func (s *session) end(err *amqp.Error) {
	if err == nil {
		delete(s.c.sessions, s.channel)
	}
	if !s.ending {
		s.c.send(s.channel, &amqp.End{Error: err}, nil)
	}
	s.ending = true
	s.forget()
}

// forget drops all links. Deliveries stay locked until that expires.
func (s *session) forget() {
	for _, l := range s.links {
		l.forget()
	}
	clear(s.links)
	clear(s.deliveries)
	s.pending = nil
}

// detached takes the client's detach, or its answer to ours.
func (s *session) detached(d *amqp.Detach) {
	l := s.links[d.Handle]
	if l == nil {
		return
	}
	l.detach(nil)
	delete(s.links, d.Handle)
	s.left[d.Handle] = true
}

// flow takes the client's view of the session, and of a link if it names one.
// A flow for a link that the client has left is ignored: go-amqp may give
// credit for a message just after it sent its detach (Azure/go-amqp#367), and
// the session of a client that is leaving anyway is no loss to keep.
func (s *session) flow(f *amqp.Flow) {
	s.outgoingRoom = room(f, s.nextOutgoing)
	s.flush()
	if f.Handle != nil {
		l := s.links[*f.Handle]
		switch {
		case l != nil:
			l.flow(f)
		case !s.left[*f.Handle]:
			s.end(newError(condUnattached, "flow for a link that is not attached"))
			return
		}
	} else if f.Echo {
		s.sendFlow(&amqp.Flow{})
	}
	s.resume()
}

// room is how many transfers the client takes beyond those that are on the way
// (AMQP 1.0 part 2, 2.5.6).
func room(f *amqp.Flow, nextOutgoing uint32) uint32 {
	var from uint32
	if f.NextIncomingID != nil {
		from = *f.NextIncomingID
	}
	if n := int32(from + f.IncomingWindow - nextOutgoing); n > 0 {
		return uint32(n)
	}
	return 0
}

// sendFlow adds the session's state to a flow and sends it.
func (s *session) sendFlow(f *amqp.Flow) {
	f.NextIncomingID = new(s.nextIncoming)
	f.IncomingWindow = s.incomingWindow
	f.NextOutgoingID = s.nextOutgoing
	f.OutgoingWindow = sessionWindow
	s.c.send(s.channel, f, nil)
}

// received counts an incoming transfer and opens the window again when half
// of it is used up. Frames are handled as they come, so the window never has
// to stay closed.
func (s *session) received() {
	s.c.s.stats.TransfersIn++
	s.nextIncoming++
	s.incomingWindow--
	if s.incomingWindow < sessionWindow/2 {
		s.incomingWindow = sessionWindow
		s.sendFlow(&amqp.Flow{})
	}
}

// sendTransfer sends a transfer frame, or keeps it until the window opens.
func (s *session) sendTransfer(t *amqp.Transfer, payload []byte) {
	s.pending = append(s.pending, transferFrame{t, payload})
	s.flush()
}

// flush sends what the window allows.
func (s *session) flush() {
	n := 0
	for ; n < len(s.pending) && s.outgoingRoom > 0; n++ {
		s.outgoingRoom--
		s.nextOutgoing++
		s.c.send(s.channel, s.pending[n].transfer, s.pending[n].payload)
	}
	s.pending = s.pending[n:]
	if len(s.pending) == 0 {
		s.pending = nil
	}
}

// blocked means that another delivery would have to wait here.
func (s *session) blocked() bool {
	return s.c.dead || s.outgoingRoom == 0 || len(s.pending) > 0 || s.c.out.full()
}

// resume delivers on all links again, now that something was in the way.
func (s *session) resume() {
	for _, l := range s.links {
		if out, ok := l.(*outLink); ok {
			out.resume()
		}
	}
}

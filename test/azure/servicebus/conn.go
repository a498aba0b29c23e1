package servicebus

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// What the server announces in its open and begin frames; Azure's values.
const (
	maxFrameSize = 65536
	channelMax   = 4999
	handleMax    = 255
	idleTimeout  = 4 * time.Minute
)

// conn is a connection. Its fields are guarded by Server.mu, but for those
// that only the reading goroutine uses.
type conn struct {
	s   *Server
	nc  net.Conn
	in  *bufio.Reader
	out *outbox

	opened    bool
	dead      bool // nothing more will be handled or delivered
	peerFrame uint32
	sessions  map[uint16]*session
	claims    map[string]*claim
	replies   map[string]*outLink // links that carry answers, by address
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		s: s, nc: nc, in: bufio.NewReaderSize(nc, 32<<10),
		peerFrame: amqp.MinMaxFrameSize,
		sessions:  map[uint16]*session{},
		claims:    map[string]*claim{},
		replies:   map[string]*outLink{},
	}
	c.out = newOutbox(c, nc)
	return c
}

// read is the goroutine that serves the connection until it ends.
func (c *conn) read() {
	if err := c.negotiate(); err != nil {
		c.s.logf("connection: %v", err)
	} else if err := c.frames(); !errors.Is(err, io.EOF) {
		c.s.logf("connection: %v", err)
		c.s.mu.Lock()
		c.close(farewell(err))
		c.s.mu.Unlock()
	}
	c.out.finish()
	<-c.out.ended
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.forget()
}

// farewell tells the client why its connection ends.
func farewell(err error) *amqp.Error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newError(condForced, "The connection was inactive for too long.")
	}
	return newError(condFraming, err.Error())
}

// frames reads frames and handles them one by one.
func (c *conn) frames() error {
	for {
		c.out.awaitRoom()
		_ = c.nc.SetReadDeadline(time.Now().Add(2 * idleTimeout))
		f, err := amqp.ReadFrame(c.in, maxFrameSize)
		if err != nil {
			return err
		}
		if !c.strike(FrameIn) {
			return io.EOF
		}
		if err := c.handleLocked(f); err != nil {
			return err
		}
	}
}

// outgoing asks the faults about the next frame to be written; false if the
// connection was dropped.
func (c *conn) outgoing() bool { return c.strike(FrameOut) }

// strike applies the faults of frames: delays and drops.
func (c *conn) strike(point Point) bool {
	hit := c.s.o.Faults.strike(point, "")
	if hit.delay > 0 {
		passed := make(chan struct{})
		stop := c.s.o.Clock.AfterFunc(hit.delay, func() { close(passed) })
		defer stop()
		select {
		case <-passed:
		case <-c.out.stopping:
		}
	}
	if hit.drop {
		c.cut()
	}
	return !hit.drop
}

// handleLocked handles a frame under the server's lock. io.EOF ends the
// connection in order.
func (c *conn) handleLocked(f amqp.Frame) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.dead {
		return io.EOF
	}
	if f.Type != amqp.FrameAMQP {
		return fmt.Errorf("frame of type %d", f.Type)
	}
	if f.Body == nil {
		return nil
	}
	if c.s.o.Log != nil {
		c.s.o.Log("<- %d %s +%d", f.Channel, amqp.Format(f.Body), len(f.Payload))
	}
	if err := c.handle(f); err != nil {
		return err
	}
	if c.dead {
		return io.EOF
	}
	return nil
}

func (c *conn) handle(f amqp.Frame) error {
	switch body := f.Body.(type) {
	case *amqp.Open:
		return c.open(body)
	case *amqp.Close:
		c.close(nil)
		return nil
	case *amqp.Begin:
		return c.begin(f.Channel, body)
	}
	session := c.sessions[f.Channel]
	if session == nil {
		return fmt.Errorf("%T on channel %d, where no session is", f.Body, f.Channel)
	}
	return session.handle(f)
}

// open answers the client's open frame.
func (c *conn) open(o *amqp.Open) error {
	if c.opened {
		return errors.New("a second open frame")
	}
	c.opened = true
	c.s.stats.Connections++
	c.peerFrame = 1 << 31
	if o.MaxFrameSize != nil {
		c.peerFrame = max(*o.MaxFrameSize, amqp.MinMaxFrameSize)
	}
	if o.IdleTimeout != nil && *o.IdleTimeout > 0 {
		c.out.heartbeats(time.Duration(*o.IdleTimeout) * time.Millisecond / 2)
	}
	c.send(0, &amqp.Open{
		ContainerID:  c.s.id,
		MaxFrameSize: new(uint32(maxFrameSize)),
		ChannelMax:   new(uint16(channelMax)),
		IdleTimeout:  new(uint32(idleTimeout / time.Millisecond)),
		Properties:   amqp.Map{{Key: amqp.Symbol("product"), Value: "modelwarden test/azure/servicebus"}},
	}, nil)
	return nil
}

// send queues a frame.
func (c *conn) send(channel uint16, body any, payload []byte) {
	if c.dead {
		return
	}
	if c.s.o.Log != nil {
		c.s.o.Log("-> %d %s +%d", channel, amqp.Format(body), len(payload))
	}
	switch body.(type) {
	case *amqp.Transfer:
		c.s.stats.TransfersOut++
	case *amqp.Disposition:
		c.s.stats.DispositionsOut++
	}
	c.out.add(amqp.AppendFrame(nil, amqp.Frame{Channel: channel, Body: body, Payload: payload}))
}

// close says goodbye, with an error or without, and lets the connection end
// once that is written.
func (c *conn) close(err *amqp.Error) {
	if c.dead {
		return
	}
	if c.opened {
		c.send(0, &amqp.Close{Error: err}, nil)
	}
	c.dead = true
	c.out.finish()
}

// drop ends the connection without a word, as a broken network does.
func (c *conn) drop() {
	c.dead = true
	c.cut()
	c.out.finish()
}

// cut closes the network connection, without TLS's goodbye, for which it would
// have to wait.
func (c *conn) cut() {
	if secured, ok := c.nc.(*tls.Conn); ok {
		_ = secured.NetConn().Close()
		return
	}
	_ = c.nc.Close()
}

// forget takes everything that belongs to the connection out of the server.
// Locks stay until they expire, as in Azure.
func (c *conn) forget() {
	c.dead = true
	for _, session := range c.sessions {
		session.forget()
	}
	for _, claim := range c.claims {
		claim.stop()
	}
	delete(c.s.conns, c)
}

// resume delivers again after the outbox was full.
func (c *conn) resume() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.dead {
		return
	}
	for _, session := range c.sessions {
		session.resume()
	}
}

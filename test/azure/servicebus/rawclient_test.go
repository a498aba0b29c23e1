package servicebus_test

import (
	"io"
	"net"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// raw is a client that sends what a test wants and shows what comes, frame by
// frame.
type raw struct {
	*desk
	net.Conn
	frames chan amqp.Frame // closed at the end of the connection
}

// raw opens a connection with all rights and a session with an incoming
// window.
func (d *desk) raw(window uint32) *raw {
	d.Helper()
	r := d.rawConn()
	r.send(&amqp.Open{ContainerID: "raw", MaxFrameSize: new(uint32(512))}, nil)
	expect[*amqp.Open](r)
	r.send(&amqp.Begin{NextOutgoingID: 4294967290, IncomingWindow: window, OutgoingWindow: 100}, nil) // ids will wrap
	expect[*amqp.Begin](r)
	return r
}

// rawConn gets as far as the AMQP header.
func (d *desk) rawConn() *raw {
	d.Helper()
	r := &raw{desk: d, Conn: d.s.Pipe(), frames: make(chan amqp.Frame, 10_000)}
	d.Cleanup(func() { _ = r.Close() })
	name, key := credentials(d.s)
	r.write([]byte(amqp.ProtocolSASL))
	r.write(amqp.AppendFrame(nil, amqp.Frame{Type: amqp.FrameSASL, Body: &amqp.SASLInit{
		Mechanism: "PLAIN", InitialResponse: []byte("\x00" + name + "\x00" + key)}}))
	r.write([]byte(amqp.ProtocolAMQP))
	if got := r.header(); got != amqp.ProtocolSASL {
		d.Fatalf("header %q", got)
	}
	for _, want := range []any{&amqp.SASLMechanisms{}, &amqp.SASLOutcome{}} {
		f, err := amqp.ReadFrame(r.Conn, 1<<20)
		d.must(err)
		if outcome, ok := f.Body.(*amqp.SASLOutcome); ok && outcome.Code != 0 {
			d.Fatalf("outcome %d, want %T", outcome.Code, want)
		}
	}
	if got := r.header(); got != amqp.ProtocolAMQP {
		d.Fatalf("header %q", got)
	}
	go r.read()
	return r
}

func (r *raw) header() string {
	b := make([]byte, 8)
	_, err := io.ReadFull(r.Conn, b)
	r.must(err)
	return string(b)
}

func (r *raw) read() {
	defer close(r.frames)
	for {
		f, err := amqp.ReadFrame(r.Conn, 1<<20)
		if err != nil {
			return
		}
		if f.Body != nil {
			r.frames <- f
		}
	}
}

func (r *raw) write(b []byte) {
	r.Helper()
	_, err := r.Write(b)
	r.must(err)
}

func (r *raw) send(body any, payload []byte) {
	r.Helper()
	r.write(amqp.AppendFrame(nil, amqp.Frame{Body: body, Payload: payload}))
}

// expect is the next frame, which must be of this kind.
func expect[T any](r *raw) T {
	r.Helper()
	body, _ := expectFrame[T](r)
	return body
}

func expectFrame[T any](r *raw) (T, []byte) {
	r.Helper()
	select {
	case f, ok := <-r.frames:
		body, fits := f.Body.(T)
		if !ok || !fits {
			r.Fatalf("frame %T %+v, want %T", f.Body, f.Body, body)
		}
		return body, f.Payload
	case <-time.After(time.Minute):
		var want T
		r.Fatalf("no frame came, want %T", want)
	}
	panic("unreachable")
}

// quiet makes sure that the server has nothing more to say.
func (r *raw) quiet() {
	r.Helper()
	synctest.Wait()
	select {
	case f := <-r.frames:
		r.Fatalf("unexpected frame %T %+v", f.Body, f.Body)
	default:
	}
}

// ended makes sure that the server closes the connection with a condition.
func (r *raw) ended(condition amqp.Symbol) {
	r.Helper()
	for f := range r.frames {
		if c, ok := f.Body.(*amqp.Close); ok && c.Error != nil && c.Error.Condition == condition {
			return
		}
	}
	r.Fatalf("the connection ended without %s", condition)
}

// attachReceiver attaches a link from the queue, with credit.
func (r *raw) attachReceiver(handle, credit uint32) {
	r.Helper()
	r.send(&amqp.Attach{Name: "in", Handle: handle, Role: amqp.RoleReceiver, RcvSettleMode: 1,
		Source: &amqp.Source{Address: "events"}, Target: &amqp.Target{}}, nil)
	expect[*amqp.Attach](r)
	r.send(&amqp.Flow{NextIncomingID: new(uint32(0)), IncomingWindow: 1000, Handle: &handle, DeliveryCount: new(uint32(0)), LinkCredit: &credit}, nil)
}

func (r *raw) attachSender(handle uint32) {
	r.Helper()
	r.send(&amqp.Attach{Name: "out", Handle: handle, Role: amqp.RoleSender, Source: &amqp.Source{},
		Target: &amqp.Target{Address: "events"}, InitialDeliveryCount: new(uint32(0))}, nil)
	expect[*amqp.Attach](r)
	if f := expect[*amqp.Flow](r); f.LinkCredit == nil || *f.LinkCredit == 0 {
		r.Fatalf("no credit: %+v", f)
	}
}

// transfer sends a message on handle 0 in parts of the given sizes.
func (r *raw) transfer(id uint32, parts ...[]byte) {
	r.Helper()
	for i, part := range parts {
		tr := &amqp.Transfer{Handle: 0, More: i < len(parts)-1}
		if i == 0 {
			tr.DeliveryID, tr.DeliveryTag = new(id), []byte{byte(id)}
		}
		r.send(tr, part)
	}
}

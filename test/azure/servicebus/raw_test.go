package servicebus_test

import (
	"bytes"
	"io"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
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

// The client's incoming window bounds what is on the way, frame by frame.
func TestSessionWindowIsHonoured(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		for _, b := range []byte("ab") {
			d.must(d.s.Deliver("events", servicebus.Message{Body: bytes.Repeat([]byte{b}, 1000)}))
		}
		r := d.raw(2)
		handle := uint32(3)
		r.send(&amqp.Attach{Name: "in", Handle: handle, Role: amqp.RoleReceiver, Source: &amqp.Source{Address: "events"}, Target: &amqp.Target{}}, nil)
		expect[*amqp.Attach](r)
		r.send(&amqp.Flow{IncomingWindow: 2, Handle: &handle, LinkCredit: new(uint32(10))}, nil) // no next-incoming-id yet
		var got []byte
		next := uint32(0)
		for {
			for range 2 {
				tr, payload := expectFrame[*amqp.Transfer](r)
				next++
				got = append(got, payload...)
				if !tr.More && bytes.Contains(got, bytes.Repeat([]byte("b"), 1000)) {
					r.quiet()
					return
				}
			}
			r.quiet()
			r.send(&amqp.Flow{NextIncomingID: &next, IncomingWindow: 2}, nil)
		}
	})
}

// Frames are no larger than the client takes.
func TestFrameSizeIsHonoured(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.must(d.s.Deliver("events", servicebus.Message{Body: make([]byte, 5000)}))
		r := d.raw(1000)
		r.attachReceiver(0, 1)
		for n := 1; ; n++ {
			tr, payload := expectFrame[*amqp.Transfer](r)
			if size := len(amqp.AppendFrame(nil, amqp.Frame{Body: tr, Payload: payload})); size > 512 {
				t.Fatalf("a frame of %d bytes", size)
			}
			if !tr.More {
				if n < 10 {
					t.Errorf("only %d frames", n)
				}
				return
			}
		}
	})
}

func TestDispositionOfARange(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		for range 5 {
			d.must(d.s.Deliver("events", servicebus.Message{}))
		}
		r := d.raw(1000)
		r.attachReceiver(0, 5)
		var tags [][]byte
		for range 5 {
			tags = append(tags, expect[*amqp.Transfer](r).DeliveryTag)
		}
		if len(tags[0]) != 16 || bytes.Equal(tags[0], tags[1]) {
			t.Errorf("tags %x, %x", tags[0], tags[1])
		}
		r.send(&amqp.Disposition{Role: amqp.RoleReceiver, First: 1, Last: new(uint32(3)), State: &amqp.Accepted{}}, nil)
		for want := uint32(1); want <= 3; {
			a := expect[*amqp.Disposition](r)
			if a.Role != amqp.RoleSender || !a.Settled || a.First != want {
				t.Fatalf("answer %+v, want first %d", a, want)
			}
			want = *a.Last + 1
		}
		d.counts(servicebus.Counts{Locked: 2})
		// Settled by the client: no answer.
		r.send(&amqp.Disposition{Role: amqp.RoleReceiver, First: 0, Last: new(uint32(4)), Settled: true, State: &amqp.Accepted{}}, nil)
		r.quiet()
		d.counts(servicebus.Counts{})
	})
}

// Nothing but an outcome settles.
func TestDispositionsThatSettleNothing(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.must(d.s.Deliver("events", servicebus.Message{}))
		r := d.raw(1000)
		r.attachReceiver(0, 1)
		expect[*amqp.Transfer](r)
		for _, quiet := range []*amqp.Disposition{
			{Role: amqp.RoleReceiver, First: 0, State: &amqp.Received{}},
			{Role: amqp.RoleReceiver, First: 7, State: &amqp.Accepted{}},
			{Role: amqp.RoleSender, First: 0, State: &amqp.Accepted{}},
			{Role: amqp.RoleReceiver, First: 0, Settled: true},
			{Role: amqp.RoleReceiver, First: 0, State: &amqp.Accepted{}}, // forgotten by the one before
		} {
			r.send(quiet, nil)
			r.quiet()
			d.counts(servicebus.Counts{Locked: 1})
		}
	})
}

func TestTransactionsAreRefused(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.must(d.s.Deliver("events", servicebus.Message{}))
		r := d.raw(1000)
		r.attachReceiver(0, 1)
		expect[*amqp.Transfer](r)
		r.send(&amqp.Disposition{Role: amqp.RoleReceiver, State: &amqp.Described{Descriptor: uint64(0x34), Value: amqp.List{[]byte("txn")}}}, nil)
		a := expect[*amqp.Disposition](r)
		if rejected, ok := a.State.(*amqp.Rejected); !ok || rejected.Error.Condition != "amqp:not-implemented" {
			t.Errorf("answer %+v", a.State)
		}
		d.counts(servicebus.Counts{Locked: 1})
	})
}

func TestLockLostIsTheAnswer(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.must(d.s.Deliver("events", servicebus.Message{}))
		r := d.raw(1000)
		r.attachReceiver(0, 1)
		expect[*amqp.Transfer](r)
		d.s.ExpireLocks("events")
		r.send(&amqp.Disposition{Role: amqp.RoleReceiver, First: 0, State: &amqp.Accepted{}}, nil)
		a := expect[*amqp.Disposition](r)
		if rejected, ok := a.State.(*amqp.Rejected); !ok || rejected.Error.Condition != "com.microsoft:message-lock-lost" {
			t.Errorf("answer %+v", a.State)
		}
	})
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

func TestTransferInParts(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(1000)
		r.attachSender(0)
		body := amqp.DataBody([]byte("hello"))
		r.transfer(0, body[:3], nil, body[3:])
		a := expect[*amqp.Disposition](r)
		if _, ok := a.State.(*amqp.Accepted); !ok || a.Role != amqp.RoleReceiver || !a.Settled {
			t.Errorf("answer %+v", a)
		}
		r.send(&amqp.Transfer{DeliveryID: new(uint32(1)), DeliveryTag: []byte("x"), More: true}, body)
		r.send(&amqp.Transfer{Aborted: true}, nil)
		r.transfer(2, body)
		if a := expect[*amqp.Disposition](r); a.First != 2 {
			t.Errorf("answer to delivery %d", a.First)
		}
		d.counts(servicebus.Counts{Active: 2})
	})
}

func TestMalformedMessagesAreRejected(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(1000)
		r.attachSender(0)
		batch := func(sections ...any) []byte {
			var b []byte
			for _, s := range sections {
				b = append(b, amqp.Append(nil, &amqp.Described{Descriptor: uint64(0x75), Value: s})...)
			}
			return b
		}
		good := amqp.DataBody([]byte("good"))
		for id, c := range []struct {
			format  uint32
			payload []byte
			want    amqp.Symbol
		}{
			{0, []byte{0xff}, "amqp:decode-error"},
			{0, amqp.Append(nil, "bare"), "amqp:decode-error"},
			{0x80013700, batch(good, []byte{1}), "amqp:decode-error"}, // all or nothing
			{0x80013700, batch(good, "text"), "amqp:decode-error"},
			{0x80013700, nil, "amqp:invalid-field"},
		} {
			r.send(&amqp.Transfer{DeliveryID: new(uint32(id)), DeliveryTag: []byte{1}, MessageFormat: &c.format}, c.payload)
			a := expect[*amqp.Disposition](r)
			if rejected, ok := a.State.(*amqp.Rejected); !ok || rejected.Error.Condition != c.want {
				t.Errorf("case %d: %+v, want %s", id, a.State, c.want)
			}
		}
		d.counts(servicebus.Counts{})
	})
}

func TestTooLargeIsRejected(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxMessageSize: 1000}), func(d *desk) {
		r := d.raw(1000)
		r.attachSender(0)
		body := amqp.DataBody(make([]byte, 900))
		r.transfer(0, body, body, body)
		a := expect[*amqp.Disposition](r)
		if rejected, ok := a.State.(*amqp.Rejected); !ok || rejected.Error.Condition != "amqp:link:message-size-exceeded" {
			t.Errorf("answer %+v", a.State)
		}
		r.transfer(1, body) // the link goes on
		if _, ok := expect[*amqp.Disposition](r).State.(*amqp.Accepted); !ok {
			t.Error("a message of the right size was refused")
		}
		d.counts(servicebus.Counts{Active: 1})
	})
}

// A link that was detached ignores what is on its way; then its handle is free.
func TestDetachedLink(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(1000)
		r.attachSender(0)
		r.send(&amqp.Transfer{}, amqp.DataBody(nil)) // has no delivery id
		if a := expect[*amqp.Detach](r); a.Error == nil || a.Error.Condition != "amqp:invalid-field" || !a.Closed {
			t.Errorf("detach %+v", a)
		}
		r.transfer(1, amqp.DataBody(nil))
		r.send(&amqp.Flow{Handle: new(uint32(0)), Echo: true}, nil)
		r.quiet()
		r.send(&amqp.Detach{Handle: 0, Closed: true}, nil)
		r.quiet()
		r.attachSender(0)
		r.transfer(2, amqp.DataBody(nil))
		expect[*amqp.Disposition](r)
		d.counts(servicebus.Counts{Active: 1})
	})
}

func TestQuota(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxSize: 4000}), func(d *desk) {
		r := d.raw(1000)
		r.attachSender(0)
		var last any
		for id := range uint32(10) {
			r.transfer(id, amqp.DataBody(make([]byte, 900)))
			last = expect[*amqp.Disposition](r).State
		}
		if rejected, ok := last.(*amqp.Rejected); !ok || rejected.Error.Condition != "amqp:resource-limit-exceeded" {
			t.Errorf("the tenth: %+v", last)
		}
		d.counts(servicebus.Counts{Active: 3})
		mr := d.receiver()
		d.must(mr.CompleteMessage(d.ctx, d.take(mr, 1)[0], nil))
		r.transfer(10, amqp.DataBody(make([]byte, 900)))
		if _, ok := expect[*amqp.Disposition](r).State.(*amqp.Accepted); !ok {
			t.Error("there is room again")
		}
	})
}

func TestViolationsOfTheProtocol(t *testing.T) {
	begin := &amqp.Begin{IncomingWindow: 10, OutgoingWindow: 10}
	for what, c := range map[string]struct {
		send []any
		want any // *amqp.End or *amqp.Close
	}{
		"second open":             {[]any{&amqp.Open{}}, &amqp.Close{}},
		"channel in use":          {[]any{begin}, &amqp.Close{}},
		"handle out of range":     {[]any{&amqp.Attach{Handle: 256}}, &amqp.End{}},
		"flow without link":       {[]any{&amqp.Flow{Handle: new(uint32(9))}}, &amqp.End{}},
		"transfer without link":   {[]any{&amqp.Transfer{Handle: 9, DeliveryID: new(uint32(0))}}, &amqp.End{}},
		"body of another layer":   {[]any{&amqp.SASLInit{Mechanism: "PLAIN"}}, &amqp.Close{}},
		"a state is no frame":     {[]any{&amqp.Accepted{}}, &amqp.Close{}},
		"transaction coordinator": {[]any{&amqp.Attach{Source: &amqp.Source{}, Target: &amqp.Coordinator{}}}, &amqp.Detach{}},
		"no target":               {[]any{&amqp.Attach{Source: &amqp.Source{}}}, &amqp.Detach{}},
		"no source":               {[]any{&amqp.Attach{Role: amqp.RoleReceiver}}, &amqp.Detach{}},
		"no address":              {[]any{&amqp.Attach{Role: amqp.RoleReceiver, Source: &amqp.Source{}}}, &amqp.Detach{}},
	} {
		t.Run(what, func(t *testing.T) {
			within(t, servicebus.Options{}, func(d *desk) {
				r := d.raw(10)
				for _, body := range c.send {
					r.send(body, nil)
				}
				for f := range r.frames {
					var err *amqp.Error
					switch body := f.Body.(type) {
					case *amqp.Attach:
						continue // with no terminus, before the detach
					case *amqp.End:
						err = body.Error
					case *amqp.Detach:
						err = body.Error
					case *amqp.Close:
						err = body.Error
					}
					if err == nil || reflect.TypeOf(f.Body) != reflect.TypeOf(c.want) {
						t.Errorf("%T: %v, want %T", f.Body, err, c.want)
					}
					return
				}
				t.Error("the connection ended without a word")
			})
		})
	}
}

// After an error a session ignores what is on the way until the client's end
// frame; then its channel can be used again.
func TestSessionEndsAndComesBack(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(10)
		r.send(&amqp.Flow{Handle: new(uint32(9))}, nil)
		expect[*amqp.End](r)
		r.send(&amqp.Flow{Handle: new(uint32(9))}, nil)
		r.quiet()
		r.send(&amqp.End{}, nil)
		r.send(&amqp.Begin{IncomingWindow: 10, OutgoingWindow: 10}, nil)
		expect[*amqp.Begin](r)
		r.send(&amqp.Flow{Echo: true}, nil)
		expect[*amqp.Flow](r)
		r.send(&amqp.End{}, nil)
		expect[*amqp.End](r)
		r.send(&amqp.Close{}, nil)
		expect[*amqp.Close](r)
		if _, open := <-r.frames; open {
			t.Error("something came after close")
		}
	})
}

// The server opens its own window again as a client uses it up.
func TestIncomingWindowOpensAgain(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(10)
		r.attachSender(0)
		settled := true
		for id := range uint32(1500) {
			tr := &amqp.Transfer{DeliveryID: new(id), DeliveryTag: []byte{1}, Settled: &settled, More: true}
			r.send(tr, nil)
			r.send(&amqp.Transfer{Aborted: true}, nil)
		}
		// Aborted deliveries use up no credit, but the window was opened often
		// enough for 3000 frames.
		for f := range r.frames {
			if flow, ok := f.Body.(*amqp.Flow); ok && flow.Handle == nil {
				return
			}
		}
		t.Error("the window was never opened again")
	})
}

func TestForeignProtocols(t *testing.T) {
	for _, hello := range []string{"GET / HTTP/1.1\r\n", amqp.ProtocolTLS, "AMQP\x00\x00\x09\x01", "AMQP"} {
		within(t, servicebus.Options{}, func(d *desk) {
			c := d.s.Pipe()
			_, err := c.Write([]byte(hello))
			d.must(err)
			got, _ := io.ReadAll(c)
			if len(hello) >= 8 && string(got) != amqp.ProtocolSASL {
				t.Errorf("answer to %q: %q", hello, got)
			}
			_ = c.Close()
		})
	}
}

// Flows may echo, on links of both directions.
func TestFlowEcho(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(10)
		r.attachSender(0)
		r.send(&amqp.Flow{Handle: new(uint32(0)), DeliveryCount: new(uint32(0)), Echo: true}, nil)
		if f := expect[*amqp.Flow](r); f.LinkCredit == nil || *f.LinkCredit != 1000 {
			t.Errorf("sender: %+v", f)
		}
		// Credit that the client gave up by advancing its count is given anew.
		r.send(&amqp.Flow{Handle: new(uint32(0)), DeliveryCount: new(uint32(1000))}, nil)
		if f := expect[*amqp.Flow](r); *f.DeliveryCount != 1000 || *f.LinkCredit != 1000 {
			t.Errorf("sender after giving up credit: %+v", f)
		}
		r.attachReceiver(1, 5)
		r.send(&amqp.Flow{Handle: new(uint32(1)), DeliveryCount: new(uint32(0)), LinkCredit: new(uint32(7)), Echo: true}, nil)
		if f := expect[*amqp.Flow](r); *f.LinkCredit != 7 {
			t.Errorf("receiver: %+v", f)
		}
		r.send(&amqp.Flow{Handle: new(uint32(1)), DeliveryCount: new(uint32(0)), LinkCredit: new(uint32(7)), Drain: true}, nil)
		if f := expect[*amqp.Flow](r); !f.Drain || *f.LinkCredit != 0 || *f.DeliveryCount != 7 {
			t.Errorf("drained: %+v", f)
		}
	})
}

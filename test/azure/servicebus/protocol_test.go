package servicebus_test

import (
	"io"
	"reflect"
	"testing"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

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

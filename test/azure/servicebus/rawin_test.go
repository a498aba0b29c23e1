package servicebus_test

import (
	"testing"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

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
		r.send(&amqp.Transfer{DeliveryID: new(uint32(3)), DeliveryTag: []byte("y"), Settled: new(true), More: true}, body[:2])
		r.send(&amqp.Transfer{}, body[2:])
		r.quiet() // settled on one frame is settled
		d.counts(servicebus.Counts{Active: 3})
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

package servicebus_test

import (
	"bytes"
	"testing"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

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

// What is on its way counts: a flow that the client sent before it saw it
// opens the window less.
func TestStaleFlow(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		for range 5 {
			d.must(d.s.Deliver("events", servicebus.Message{}))
		}
		r := d.raw(0)
		handle := uint32(0)
		r.send(&amqp.Attach{Name: "in", Role: amqp.RoleReceiver, Source: &amqp.Source{Address: "events"}, Target: &amqp.Target{}}, nil)
		expect[*amqp.Attach](r)
		for _, flow := range []struct{ seen, window, comes uint32 }{{0, 2, 2}, {1, 2, 1}, {1, 1, 0}, {3, 2, 2}} {
			r.send(&amqp.Flow{NextIncomingID: &flow.seen, IncomingWindow: flow.window, Handle: &handle, DeliveryCount: new(uint32(0)), LinkCredit: new(uint32(9))}, nil)
			for range flow.comes {
				expect[*amqp.Transfer](r)
			}
			r.quiet()
		}
	})
}

// A client may still give credit on a link that it has just left.
func TestFlowAfterDetach(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.raw(1000)
		r.attachReceiver(0, 1)
		r.send(&amqp.Detach{Handle: 0, Closed: true}, nil)
		expect[*amqp.Detach](r)
		r.send(&amqp.Flow{Handle: new(uint32(0)), LinkCredit: new(uint32(1)), Echo: true}, nil)
		r.quiet()
		d.must(d.s.Deliver("events", servicebus.Message{}))
		r.quiet()
		r.attachReceiver(0, 1)
		expect[*amqp.Transfer](r)
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

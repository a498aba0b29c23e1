package servicebus_test

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/clock"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func TestLockExpires(t *testing.T) {
	within(t, queue(servicebus.Queue{LockDuration: 30 * time.Second}), func(d *desk) {
		d.send("a")
		r := d.receiver()
		m := d.take(r, 1)[0]
		time.Sleep(30*time.Second - time.Millisecond)
		d.counts(servicebus.Counts{Locked: 1})
		time.Sleep(2 * time.Millisecond)
		d.counts(servicebus.Counts{Active: 1})
		d.code(r.CompleteMessage(d.ctx, m, nil), azservicebus.CodeLockLost)
		d.code(r.RenewMessageLock(d.ctx, m, nil), azservicebus.CodeLockLost)
		again := d.take(r, 1)[0]
		if again.DeliveryCount != 2 {
			t.Errorf("delivery count %d", again.DeliveryCount)
		}
		d.must(r.CompleteMessage(d.ctx, again, nil))
		if n := d.s.Stats().LocksExpired; n != 1 {
			t.Errorf("%d locks expired", n)
		}
	})
}

func TestLockRenewed(t *testing.T) {
	within(t, queue(servicebus.Queue{LockDuration: 30 * time.Second}), func(d *desk) {
		d.send("a")
		r := d.receiver()
		m := d.take(r, 1)[0]
		for range 5 {
			time.Sleep(20 * time.Second)
			d.must(r.RenewMessageLock(d.ctx, m, nil))
			if want := time.Now().Add(30 * time.Second).UTC().Truncate(time.Millisecond); !m.LockedUntil.Equal(want) {
				t.Fatalf("locked until %v, want %v", m.LockedUntil, want)
			}
		}
		d.must(r.CompleteMessage(d.ctx, m, nil))
		d.counts(servicebus.Counts{})
	})
}

func TestLockExpiryCountsTowardsTheLimit(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxDeliveryCount: 2}), func(d *desk) {
		d.send("a")
		r := d.receiver()
		d.take(r, 1)
		if n := d.s.ExpireLocks("events"); n != 1 {
			t.Fatalf("%d locks expired", n)
		}
		d.take(r, 1)
		d.s.ExpireLocks("events")
		d.counts(servicebus.Counts{DeadLetter: 1})
		d.take(d.deadLetters(), 1)
		if n := d.s.ExpireLocks("events/$DeadLetterQueue"); n != 1 {
			t.Errorf("%d locks of dead letters expired", n)
		}
		if n := d.s.ExpireLocks("nowhere"); n != 0 {
			t.Errorf("%d locks expired in a queue that does not exist", n)
		}
	})
}

// A lock outlives its link and its connection, and can be settled by token.
func TestLockOutlivesConnection(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("a")
		other := dial(t, d.s)
		r, err := other.NewReceiverForQueue("events", nil)
		d.must(err)
		m := d.take(r, 1)[0]
		d.must(other.Close(d.ctx))
		d.counts(servicebus.Counts{Locked: 1})
		mine := d.receiver()
		d.nothing(mine)
		handmade := &azservicebus.ReceivedMessage{LockToken: m.LockToken} // settles by $management
		d.must(mine.DeadLetterMessage(d.ctx, handmade, &azservicebus.DeadLetterOptions{Reason: ptr("r"), ErrorDescription: ptr("d")}))
		dead := d.take(d.deadLetters(), 1)[0]
		if *dead.DeadLetterReason != "r" || *dead.DeadLetterErrorDescription != "d" {
			t.Errorf("dead letter %+v", dead)
		}
		d.code(mine.CompleteMessage(d.ctx, handmade, nil), azservicebus.CodeLockLost)
	})
}

func TestSettleByManagement(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("complete", "abandon", "defer")
		r := d.receiver()
		got := d.take(r, 3)
		handmade := func(i int) *azservicebus.ReceivedMessage {
			return &azservicebus.ReceivedMessage{LockToken: got[i].LockToken}
		}
		d.must(r.CompleteMessage(d.ctx, handmade(0), nil))
		d.must(r.AbandonMessage(d.ctx, handmade(1), &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"n": int64(1)}}))
		d.must(r.DeferMessage(d.ctx, handmade(2), nil))
		d.counts(servicebus.Counts{Active: 1, Deferred: 1})
		if again := d.take(r, 1)[0]; string(again.Body) != "abandon" || again.ApplicationProperties["n"] != int64(1) {
			t.Errorf("abandoned: %+v", again)
		}
	})
}

func TestTimeToLive(t *testing.T) {
	for _, bury := range []bool{false, true} {
		within(t, queue(servicebus.Queue{DeadLetterOnExpiry: bury, DefaultTTL: time.Hour, LockDuration: 5 * time.Minute}), func(d *desk) {
			s := d.sender()
			for body, ttl := range map[string]*time.Duration{"short": ptr(time.Minute), "default": nil, "capped": ptr(100 * 24 * time.Hour)} {
				d.must(s.SendMessage(d.ctx, &azservicebus.Message{Body: []byte(body), TimeToLive: ttl}, nil))
			}
			dead := 0
			after := func(wait time.Duration, active, died int) {
				t.Helper()
				time.Sleep(wait)
				if bury {
					dead += died
				}
				d.counts(servicebus.Counts{Active: active, DeadLetter: dead})
			}
			after(time.Minute-time.Millisecond, 3, 0)
			after(2*time.Millisecond, 2, 1)
			after(58*time.Minute, 2, 0)
			after(time.Minute, 0, 2)
			if bury {
				r := d.deadLetters()
				m := d.take(r, 1)[0]
				if *m.DeadLetterReason != "TTLExpiredException" {
					t.Errorf("reason %q", *m.DeadLetterReason)
				}
				d.must(r.AbandonMessage(d.ctx, m, nil)) // dead letters live for ever
				after(2*time.Hour, 0, 0)
			}
		})
	}
}

// A locked message does not expire, but it does when it comes back too late.
func TestTimeToLiveUnderLock(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		s := d.sender()
		for _, body := range []string{"completed", "abandoned"} {
			d.must(s.SendMessage(d.ctx, &azservicebus.Message{Body: []byte(body), TimeToLive: ptr(time.Second)}, nil))
		}
		r := d.receiver()
		got := d.take(r, 2)
		time.Sleep(10 * time.Second)
		d.counts(servicebus.Counts{Locked: 2})
		d.must(r.CompleteMessage(d.ctx, got[0], nil))
		d.must(r.AbandonMessage(d.ctx, got[1], nil))
		d.counts(servicebus.Counts{})
	})
}

// A scheduled message lives from when it is due.
func TestTimeToLiveOfScheduled(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		at := time.Now().Add(time.Hour)
		d.must(d.sender().SendMessage(d.ctx, &azservicebus.Message{TimeToLive: ptr(time.Minute), ScheduledEnqueueTime: &at}, nil))
		time.Sleep(time.Hour + time.Second)
		d.counts(servicebus.Counts{Active: 1})
		time.Sleep(time.Minute)
		d.counts(servicebus.Counts{})
	})
}

func TestDuplicateDetection(t *testing.T) {
	within(t, queue(servicebus.Queue{DuplicateDetection: 10 * time.Minute}), func(d *desk) {
		s := d.sender()
		send := func(id string) {
			t.Helper()
			d.must(s.SendMessage(d.ctx, &azservicebus.Message{MessageID: &id}, nil))
		}
		send("a")
		send("a")
		send("b")
		r := d.receiver()
		for _, m := range d.take(r, 2) {
			d.must(r.CompleteMessage(d.ctx, m, nil))
		}
		send("a") // completed, and remembered all the same
		d.counts(servicebus.Counts{})
		time.Sleep(10 * time.Minute)
		send("a")
		d.counts(servicebus.Counts{Active: 1})
		if n := d.s.Stats().DuplicatesDropped; n != 2 {
			t.Errorf("%d duplicates dropped", n)
		}
	})
}

// Server time may be moved by hand while the client runs in real time.
func TestManualClock(t *testing.T) {
	manual := clock.NewManual(time.Now())
	s := servicebus.New(servicebus.Options{Clock: manual, Queues: map[string]servicebus.Queue{"events": {}}})
	defer s.Close()
	c := dial(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer func() { _ = c.Close(ctx) }()
	d := &desk{t, s, c, ctx}
	d.send("a")
	r := d.receiver()
	m := d.take(r, 1)[0]
	manual.Advance(time.Minute)
	d.counts(servicebus.Counts{Active: 1})
	d.code(r.CompleteMessage(ctx, m, nil), azservicebus.CodeLockLost)
}

// A life too long for the header's 32 bits comes as two times.
func TestTimeToLiveByProperties(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		sender, _ := d.once()
		now := time.Now()
		d.must(sender.Send(d.ctx, &goamqp.Message{
			Properties: &goamqp.MessageProperties{CreationTime: ptr(now), AbsoluteExpiryTime: ptr(now.Add(time.Hour))}, Value: "x",
		}, nil))
		time.Sleep(59 * time.Minute)
		d.counts(servicebus.Counts{Active: 1})
		time.Sleep(2 * time.Minute)
		d.counts(servicebus.Counts{})
	})
}

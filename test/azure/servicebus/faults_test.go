package servicebus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// faulty are options with a queue and faults.
func faulty() (servicebus.Options, *servicebus.Faults) {
	o, f := queue(servicebus.Queue{}), servicebus.NewFaults(1)
	o.Faults = f
	return o, f
}

// once sends or settles with go-amqp, which, unlike the SDK, does not retry.
func (d *desk) once() (*goamqp.Sender, *goamqp.Receiver) {
	d.Helper()
	session := d.plainSession(nil)
	sender, err := session.NewSender(d.ctx, "events", nil)
	d.must(err)
	receiver, err := session.NewReceiver(d.ctx, "events", &goamqp.ReceiverOptions{
		Credit: -1, SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr(),
	})
	d.must(err)
	return sender, receiver
}

// lost asserts that the connection ended without an answer.
func (d *desk) lost(err error) {
	d.Helper()
	var conn *goamqp.ConnError
	if !errors.As(err, &conn) || conn.RemoteErr != nil {
		d.Fatalf("error %v, want a lost connection", err)
	}
}

func TestSendFaults(t *testing.T) {
	for what, c := range map[string]struct {
		arm     func(*servicebus.Rule) *servicebus.Rule
		stored  int
		refused string // "" is success, "lost" a dropped connection
	}{
		"drop":       {(*servicebus.Rule).Drop, 0, "lost"},
		"drop after": {(*servicebus.Rule).DropAfter, 1, "lost"},
		"refuse": {func(r *servicebus.Rule) *servicebus.Rule { return r.Refuse("com.microsoft:server-busy", "slow") },
			0, "com.microsoft:server-busy"},
		"detach": {func(r *servicebus.Rule) *servicebus.Rule { return r.Detach("amqp:link:detach-forced", "idle") },
			0, "amqp:link:detach-forced"},
		"twice": {(*servicebus.Rule).Twice, 2, ""},
	} {
		t.Run(what, func(t *testing.T) {
			o, f := faulty()
			within(t, o, func(d *desk) {
				rule := c.arm(f.On(servicebus.Sending, "Events"))
				sender, _ := d.once()
				err := sender.Send(d.ctx, goamqp.NewMessage([]byte("x")), nil)
				switch c.refused {
				case "":
					d.must(err)
				case "lost":
					d.lost(err)
				default:
					d.condition(err, c.refused)
				}
				d.counts(servicebus.Counts{Active: c.stored})
				if rule.Struck() != 1 {
					t.Errorf("struck %d times", rule.Struck())
				}
				again, _ := d.once()
				d.must(again.Send(d.ctx, goamqp.NewMessage([]byte("x")), nil)) // strikes once
				d.counts(servicebus.Counts{Active: c.stored + 1})
			})
		})
	}
}

func TestSettleFaults(t *testing.T) {
	for what, c := range map[string]struct {
		arm     func(*servicebus.Rule) *servicebus.Rule
		left    servicebus.Counts
		refused string
	}{
		"drop":       {(*servicebus.Rule).Drop, servicebus.Counts{Locked: 1}, "lost"},
		"drop after": {(*servicebus.Rule).DropAfter, servicebus.Counts{}, "lost"},
		"refuse": {func(r *servicebus.Rule) *servicebus.Rule { return r.Refuse("com.microsoft:timeout", "slow") },
			servicebus.Counts{Locked: 1}, "com.microsoft:timeout"},
		"detach": {func(r *servicebus.Rule) *servicebus.Rule { return r.Detach("amqp:internal-error", "oops") },
			servicebus.Counts{Locked: 1}, "amqp:internal-error"},
		"expire": {(*servicebus.Rule).ExpireLock, servicebus.Counts{Active: 1}, "com.microsoft:message-lock-lost"},
	} {
		t.Run(what, func(t *testing.T) {
			o, f := faulty()
			within(t, o, func(d *desk) {
				c.arm(f.On(servicebus.Settling, "events"))
				d.must(d.s.Deliver("events", servicebus.Message{}))
				_, receiver := d.once()
				d.must(receiver.IssueCredit(1))
				m, err := receiver.Receive(d.ctx, nil)
				d.must(err)
				err = receiver.AcceptMessage(d.ctx, m)
				if c.refused == "lost" {
					d.lost(err)
				} else {
					d.condition(err, c.refused)
				}
				d.counts(c.left)
			})
		})
	}
}

func TestDeliveryFaults(t *testing.T) {
	for what, c := range map[string]struct {
		arm    func(*servicebus.Rule) *servicebus.Rule
		locked bool
	}{
		"drop":       {(*servicebus.Rule).Drop, false},
		"drop after": {(*servicebus.Rule).DropAfter, true},
		"detach":     {func(r *servicebus.Rule) *servicebus.Rule { return r.Detach("amqp:link:detach-forced", "") }, false},
	} {
		t.Run(what, func(t *testing.T) {
			o, f := faulty()
			within(t, o, func(d *desk) {
				c.arm(f.On(servicebus.Delivering, "events"))
				d.must(d.s.Deliver("events", servicebus.Message{}))
				_, receiver := d.once()
				d.must(receiver.IssueCredit(1))
				if _, err := receiver.Receive(d.ctx, nil); err == nil && !c.locked {
					t.Fatal("the message came")
				}
				want := servicebus.Counts{Active: 1}
				if c.locked {
					want = servicebus.Counts{Locked: 1}
				}
				d.counts(want)
				time.Sleep(time.Minute)
				_, other := d.once()
				d.must(other.IssueCredit(1))
				_, err := other.Receive(d.ctx, nil)
				d.must(err)
			})
		})
	}
}

func TestAttachFaults(t *testing.T) {
	o, f := faulty()
	within(t, o, func(d *desk) {
		f.On(servicebus.Attaching, "events").Refuse("com.microsoft:server-busy", "later")
		session := d.plainSession(nil)
		_, err := session.NewSender(d.ctx, "events", nil)
		d.condition(err, "com.microsoft:server-busy")
		_, err = session.NewSender(d.ctx, "events", nil)
		d.must(err)
		f.On(servicebus.Attaching, "events").Drop()
		_, err = session.NewSender(d.ctx, "events", nil)
		d.lost(err)
		f.On(servicebus.Attaching, "events/$management").DropAfter()
		_, err = d.plainSession(nil).NewSender(d.ctx, "events/$management", nil)
		d.lost(err)
	})
}

// The SDK gets over all this by itself.
func TestSDKSurvivesFaults(t *testing.T) {
	o, f := faulty()
	within(t, o, func(d *desk) {
		f.On(servicebus.PuttingToken, "").Refuse("com.microsoft:server-busy", "later")
		f.On(servicebus.Attaching, "events").Refuse("com.microsoft:timeout", "later")
		f.On(servicebus.Sending, "events").After(1).Drop()
		f.On(servicebus.Managing, "events/$management").Refuse("com.microsoft:server-busy", "later")
		d.send("a", "b", "c")
		r := d.receiver()
		got := d.take(r, 3)
		d.must(r.RenewMessageLock(d.ctx, got[0], nil))
		d.same("received", bodies(got), []string{"a", "b", "c"})
	})
}

func TestTokenAndManagementFaults(t *testing.T) {
	o, f := faulty()
	within(t, o, func(d *desk) {
		session, err := d.amqpConn(nil).NewSession(d.ctx, nil)
		d.must(err)
		for condition, want := range map[string]int32{"com.microsoft:server-busy": 503, "com.microsoft:timeout": 408, "amqp:unauthorized-access": 401, "x:y": 500} {
			f.On(servicebus.PuttingToken, "").Refuse(condition, "no")
			a := d.call(session, "$cbs", map[string]any{"operation": "put-token"}, "x")
			if a.ApplicationProperties["status-code"] != want || a.ApplicationProperties["status-description"] != "no" {
				t.Errorf("%s: %v", condition, a.ApplicationProperties)
			}
		}
		peek := func() error {
			session := d.plainSession(nil)
			receiver, err := session.NewReceiver(d.ctx, "events/$management", nil)
			d.must(err)
			sender, err := session.NewSender(d.ctx, "events/$management", nil)
			d.must(err)
			_ = sender.Send(d.ctx, &goamqp.Message{
				ApplicationProperties: map[string]any{"operation": "com.microsoft:receive-by-sequence-number"},
				Value:                 map[string]any{"sequence-numbers": []int64{1}, "receiver-settle-mode": uint32(0)},
			}, nil)
			_, err = receiver.Receive(d.ctx, nil)
			return err
		}
		d.send("x")
		r := d.receiver()
		d.must(r.DeferMessage(d.ctx, d.take(r, 1)[0], nil))
		f.On(servicebus.Managing, "events/$management").Drop()
		d.lost(peek())
		d.counts(servicebus.Counts{Deferred: 1})
		f.On(servicebus.Managing, "events/$management").DropAfter()
		d.lost(peek())
		d.counts(servicebus.Counts{})
		f.On(servicebus.PuttingToken, "").DropAfter()
		s, err := dial(t, d.s).NewSender("events", nil)
		d.must(err)
		d.must(s.SendMessage(d.ctx, &azservicebus.Message{}, nil)) // the SDK connects anew
		d.must(s.Close(d.ctx))
	})
}

func TestFrameFaults(t *testing.T) {
	o, f := faulty()
	within(t, o, func(d *desk) {
		for _, p := range []servicebus.Point{servicebus.FrameIn, servicebus.FrameOut} {
			sender, _ := d.once()
			rule := f.On(p, "").After(20).Drop()
			var err error
			sent := 0
			for ; err == nil && sent < 100; sent++ {
				err = sender.Send(d.ctx, goamqp.NewMessage(nil), nil)
			}
			d.lost(err)
			if sent != 21 || rule.Struck() != 1 {
				t.Errorf("%s: dropped at send %d", p, sent)
			}
		}
		f.Clear()
		sender, _ := d.once()
		f.On(servicebus.FrameIn, "").Always().Delay(2 * time.Second)
		f.On(servicebus.FrameOut, "").Always().Delay(3 * time.Second)
		start := time.Now()
		d.must(sender.Send(d.ctx, goamqp.NewMessage(nil), nil))
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("a send took %v", took)
		}
	})
}

// A server that is closed does not wait for delayed frames.
func TestCloseDuringDelay(t *testing.T) {
	o, f := faulty()
	within(t, o, func(d *desk) {
		sender, _ := d.once()
		f.On(servicebus.FrameIn, "").Delay(time.Hour)
		f.On(servicebus.FrameOut, "").Always().Delay(time.Hour)
		sent := make(chan error)
		go func() { sent <- sender.Send(d.ctx, goamqp.NewMessage(nil), nil) }()
		time.Sleep(time.Second)
		start := time.Now()
		d.s.Close()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("close took %v", took)
		}
		if err := <-sent; err == nil {
			t.Error("the send succeeded")
		}
	})
}

// Chances come from the seed: the same one does the same again.
func TestChance(t *testing.T) {
	run := func(seed uint64) (pattern string) {
		o := queue(servicebus.Queue{})
		o.Faults = servicebus.NewFaults(seed)
		within(t, o, func(d *desk) {
			o.Faults.On(servicebus.Sending, "").Chance(0.5).Refuse("x:y", "")
			sender, _ := d.once()
			for range 64 {
				if sender.Send(d.ctx, goamqp.NewMessage(nil), nil) == nil {
					pattern += "."
				} else {
					pattern += "x"
				}
			}
		})
		return pattern
	}
	if a, b := run(1), run(1); a != b {
		t.Errorf("the same seed: %s and %s", a, b)
	}
	if a, b := run(1), run(2); a == b {
		t.Errorf("different seeds: %s", a)
	}
}

func TestFaultsThatMakeNoSense(t *testing.T) {
	for _, arm := range []func(*servicebus.Faults){
		func(f *servicebus.Faults) { f.On(servicebus.FrameIn, "").Twice() },
		func(f *servicebus.Faults) { f.On(servicebus.FrameOut, "").DropAfter() },
		func(f *servicebus.Faults) { f.On(servicebus.Sending, "").ExpireLock() },
		func(f *servicebus.Faults) { f.On(servicebus.Settling, "").Delay(1) },
		func(f *servicebus.Faults) { f.On(servicebus.Delivering, "").Refuse("x:y", "") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			arm(new(servicebus.Faults))
		}()
	}
}

package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// With a line that breaks at any frame, nothing is lost and nothing is
// settled twice. The queue drops repeats, so that a message which was sent
// again after a lost answer is one message.
func TestLineBreaksAnywhere(t *testing.T) {
	for _, point := range []broker.Point{broker.FrameIn, broker.FrameOut} {
		broke := false
		for n := range 200 {
			name := fmt.Sprintf("%s %d", point, n)
			t.Run(name, func(t *testing.T) {
				tell(t, broker.Queue{DuplicateDetection: time.Hour}, servicebus.Options{}, func(s story) {
					rule := s.faults.On(point, "").After(n).Drop()
					s.sendStubbornly("a", "b", "c", "d", "e")
					s.workOff("a", "b", "c", "d", "e")
					broke = rule.Struck() > 0
				})
			})
		}
		if broke {
			t.Errorf("a story is longer than 200 frames (%s): the range does not cover it", point)
		}
	}
}

// sendStubbornly sends each message until it is sent.
func (s story) sendStubbornly(ids ...string) {
	s.Helper()
	for _, id := range ids {
		for tries := 0; ; tries++ {
			err := s.Queue().Send(s.Context(), []lineage.Message{message(id)})
			if err == nil {
				break
			}
			if tries > 3 {
				s.Fatal(err)
			}
		}
	}
}

// workOff receives and settles until the broker has no message left. Each of
// ids must come, and be settled once: a settlement may fail, but after one
// that succeeded the message must not come again.
func (s story) workOff(ids ...string) {
	s.Helper()
	came, done := map[string]int{}, map[string]int{}
	for s.broker.Counts("q") != (broker.Counts{}) {
		ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
		ds, err := s.Queue().Receive(ctx, 3)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			s.Fatalf("nothing comes, and the broker has %+v", s.broker.Counts("q"))
		}
		var settlements []lineage.Settlement
		for _, d := range ds {
			came[d.ID]++
			settlements = append(settlements, lineage.Settlement{Lease: d.Lease})
		}
		failed := map[int]error{}
		var settle *lineage.SettleError
		if err := s.Queue().Settle(s.Context(), settlements); errors.As(err, &settle) {
			failed = settle.Failed
		}
		for i, d := range ds {
			if failed[i] == nil {
				done[d.ID]++
			}
		}
	}
	for _, id := range ids {
		if came[id] == 0 || done[id] > 1 {
			s.Errorf("%s came %d times and was done %d times", id, came[id], done[id])
		}
	}
}

func TestLostAnswerToSend(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.faults.On(broker.Sending, "q").DropAfter()
		s.sendStubbornly("a")
		for range s.broker.Counts("q").Active {
			if d := s.one(); d.ID != "a" || string(d.Body) != "body of a" {
				s.Errorf("received %+v", d)
			}
		}
		if n := s.broker.Stats().MessagesIn; n < 1 {
			s.Error("the message is lost")
		}
	})
}

func TestLostAnswerToSettle(t *testing.T) {
	for _, before := range []bool{true, false} {
		for _, c := range []struct {
			verdict lineage.Verdict
			after   time.Duration
			want    broker.Counts
		}{
			{lineage.Done, 0, broker.Counts{}},
			{lineage.Retry, 0, broker.Counts{Active: 1}},
			{lineage.Retry, time.Hour, broker.Counts{Scheduled: 1}},
			{lineage.Dead, 0, broker.Counts{DeadLetter: 1}},
		} {
			t.Run(fmt.Sprint(c.verdict, c.after, before), func(t *testing.T) {
				tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
					s.send(message("a"))
					d := s.one()
					rule := s.faults.On(broker.Settling, "q")
					if before {
						rule.Drop()
					} else {
						rule.DropAfter()
					}
					err := s.settle(d, c.verdict, c.after)
					if before && err != nil {
						s.Errorf("the lock holds, and by its token the message can be settled: %v", err)
					}
					if !before && !errors.Is(err, lineage.ErrLeaseLost) {
						s.Errorf("whether it was settled can't be known: %v", err)
					}
					s.counts(c.want)
				})
			})
		}
	}
}

func TestLockExpires(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		d := s.one()
		s.faults.On(broker.Settling, "q").ExpireLock()
		if err := s.settle(d, lineage.Done, 0); !errors.Is(err, lineage.ErrLeaseLost) {
			s.Errorf("settled late: %v", err)
		}
		if d := s.one(); d.ID != "a" || d.Attempt != 2 {
			s.Errorf("redelivered as %+v", d)
		}
	})
}

// A delayed retry whose original can't be completed comes twice, never not.
func TestDelayedRetryOfALostLock(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		d := s.one()
		s.faults.On(broker.Settling, "q").ExpireLock()
		if err := s.settle(d, lineage.Retry, time.Hour); !errors.Is(err, lineage.ErrLeaseLost) {
			s.Errorf("retried late: %v", err)
		}
		s.counts(broker.Counts{Active: 1, Scheduled: 1})
	})
}

// The copy comes first: while it can't be sent, the original stays, and its
// lease too.
func TestDelayedRetryWithoutASender(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"), message("b"))
		a, b := s.one(), s.one()
		s.faults.On(broker.Sending, "q").Always().Refuse("com.microsoft:server-busy", "slow down")
		err := s.Queue().Settle(s.Context(), []lineage.Settlement{
			{Lease: a.Lease, Verdict: lineage.Retry, After: time.Hour}, {Lease: b.Lease},
		})
		var settle *lineage.SettleError
		if !errors.As(err, &settle) || len(settle.Failed) != 1 || settle.Failed[0] == nil || errors.Is(err, lineage.ErrLeaseLost) {
			s.Fatalf("got %v", err)
		}
		s.counts(broker.Counts{Locked: 1})
		s.faults.Clear()
		s.must(s.settle(a, lineage.Retry, time.Hour))
		s.counts(broker.Counts{Scheduled: 1})
	})
}

func TestBusyBroker(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.faults.On(broker.Sending, "q").Times(2).Refuse("com.microsoft:server-busy", "slow down")
		s.send(message("a"))
		s.counts(broker.Counts{Active: 1})
		s.faults.On(broker.Sending, "q").Times(100).Refuse("com.microsoft:server-busy", "slow down")
		start := time.Now()
		if err := s.Queue().Send(s.Context(), []lineage.Message{message("b")}); err == nil {
			s.Error("a busy broker took a message")
		}
		if took := time.Since(start); took > 10*time.Second {
			s.Errorf("it took %v to say that the broker is busy", took)
		}
		s.counts(broker.Counts{Active: 1})
	})
}

func TestRefusals(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.faults.On(broker.PuttingToken, "").Times(2).Refuse("com.microsoft:timeout", "later")
		s.faults.On(broker.Attaching, "q").Times(2).Refuse("com.microsoft:server-busy", "later")
		s.sendStubbornly("a")
		s.workOff("a")
	})
}

// The SDK takes seconds to give up on a dead link, with each message anew. A
// whole batch must not take as long as all of them one after the other.
func TestBatchOnADeadLine(t *testing.T) {
	const count = 500
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		for i := range count {
			s.send(message(fmt.Sprint(i)))
		}
		var all []lineage.Settlement
		for len(all) < count {
			ds, err := s.Queue().Receive(s.Context(), count)
			s.must(err)
			for _, d := range ds {
				all = append(all, lineage.Settlement{Lease: d.Lease})
			}
		}
		s.faults.On(broker.FrameIn, "").Drop()
		start := time.Now()
		s.must(s.Queue().Settle(s.Context(), all))
		if took := time.Since(start); took > 2*time.Second {
			s.Errorf("it took %v", took)
		}
		s.counts(broker.Counts{})
	})
}

// The service closes links that were idle for ten minutes. Nobody notices.
func TestDetachedLink(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		got := make(chan error, 1)
		go func() {
			_, err := s.Queue().Receive(s.Context(), 1)
			got <- err
		}()
		s.Advance(10 * time.Minute)
		s.faults.On(broker.Delivering, "q").Detach("amqp:link:detach-forced", "idle for 10 minutes")
		s.send(message("a"))
		s.must(<-got)
	})
}

// A worker may wait for hours on a queue where nothing happens, and the line
// breaks now and then.
func TestLongWait(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		got := make(chan error, 1)
		go func() {
			_, err := s.Queue().Receive(s.Context(), 1)
			got <- err
		}()
		for range 24 {
			s.Advance(10 * time.Minute)
			s.faults.On(broker.FrameIn, "").Drop() // at the next heartbeat
		}
		s.Advance(10 * time.Minute)
		if n := s.broker.Stats().Connections; n < 24 {
			s.Errorf("there were %d connections: the line did not break", n)
		}
		s.send(message("a"))
		s.must(<-got)
	})
}

// A call ends with its context, whatever the broker does or does not.
func TestMuteBroker(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"), message("b"))
		d := s.one()
		s.faults.On(broker.FrameOut, "").Always().Delay(time.Hour)
		for call, do := range map[string]func(context.Context) error{
			"Send":     func(ctx context.Context) error { return s.Queue().Send(ctx, []lineage.Message{message("c")}) },
			"Settle":   func(ctx context.Context) error { return s.Queue().Settle(ctx, []lineage.Settlement{{Lease: d.Lease}}) },
			"Extend":   func(ctx context.Context) error { return s.Queue().Extend(ctx, []lineage.Lease{d.Lease}) },
			"Receive":  func(ctx context.Context) error { _, err := s.Queue().Receive(ctx, 1); return err },
			"ListDead": func(ctx context.Context) error { _, _, err := s.DeadLetters().ListDead(ctx, "", 10); return err },
			"Discard":  func(ctx context.Context) error { return s.DeadLetters().Discard(ctx, "1") },
			"Check":    s.Check,
		} {
			ctx, cancel := context.WithTimeout(s.Context(), time.Second)
			start := time.Now()
			if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, lineage.ErrLeaseLost) {
				s.Errorf("%s answers %v", call, err)
			}
			if took := time.Since(start); took > 4*time.Second {
				s.Errorf("%s took %v", call, took)
			}
			cancel()
		}
		start := time.Now()
		_ = s.Client.Close()
		if took := time.Since(start); took > 10*time.Second {
			s.Errorf("Close took %v", took)
		}
		s.faults.Clear()
	})
}

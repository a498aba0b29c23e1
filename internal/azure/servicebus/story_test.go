package servicebus_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

var detecting = broker.Queue{DuplicateDetection: 24 * time.Hour}

// With duplicate detection on, no copy that is meant as one is dropped.
func TestDelayedRetriesUnderDuplicateDetection(t *testing.T) {
	tell(t, detecting, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		enqueued := time.Time{}
		for attempt := 1; attempt <= 5; attempt++ {
			d := s.one()
			if d.ID != "a" || d.Attempt != attempt {
				t.Fatalf("attempt %d is %+v", attempt, d)
			}
			if attempt > 1 && !d.Enqueued.Equal(enqueued) {
				s.Errorf("enqueued at %v, first at %v", d.Enqueued, enqueued)
			}
			enqueued = d.Enqueued
			s.must(s.settle(d, lineage.Retry, time.Minute))
		}
		s.must(s.settle(s.one(), lineage.Dead, 0))
		s.must(s.DeadLetters().Replay(s.Context(), s.dead()[0].ID, nil))
		s.must(s.settle(s.one(), lineage.Retry, time.Minute))
		s.must(s.settle(s.one(), lineage.Dead, 0))
		s.must(s.DeadLetters().Replay(s.Context(), s.dead()[0].ID, nil))
		if d := s.one(); d.ID != "a" || d.Attempt != 1 {
			s.Errorf("the second replay is %+v", d)
		}
		if n := s.broker.Stats().DuplicatesDropped; n != 0 {
			s.Errorf("%d copies were dropped", n)
		}
	})
}

// A copy whose answer was lost is made again under the same id, and dropped.
func TestRepeatedCopyUnderDuplicateDetection(t *testing.T) {
	tell(t, detecting, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		d := s.one()
		s.faults.On(broker.Sending, "q").DropAfter()
		s.must(s.settle(d, lineage.Retry, time.Minute))
		s.counts(broker.Counts{Scheduled: 1})
		s.must(s.settle(s.one(), lineage.Dead, 0))
		s.faults.On(broker.Sending, "q").DropAfter()
		err := s.DeadLetters().Replay(s.Context(), s.dead()[0].ID, nil)
		if dead := s.dead(); err != nil && len(dead) == 1 { // it is in both places
			s.Advance(2 * time.Minute)
			s.must(s.DeadLetters().Replay(s.Context(), dead[0].ID, nil))
		}
		s.counts(broker.Counts{Active: 1})
	})
}

// The same wake-up at two times is two messages; at one time it is one.
func TestWakeUpsUnderDuplicateDetection(t *testing.T) {
	tell(t, detecting, servicebus.Options{}, func(s story) {
		at := time.Now().Add(time.Minute)
		for _, at := range []time.Time{at, at, at.Add(time.Minute)} {
			s.send(lineage.Message{ID: "wake-x", NotBefore: at})
		}
		s.counts(broker.Counts{Scheduled: 2})
		if d := s.one(); d.ID != "wake-x" || time.Now().Before(at) {
			s.Errorf("woken at %v by %+v", time.Now(), d)
		}
	})
}

// The SDK stamps a batch with the time of its first message. Whatever a broker
// makes of that, messages for different times do not share a batch, and those
// for the same second do.
func TestBatchesAreDueTogether(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("opens the link"))
		soon := time.Now().Truncate(time.Second).Add(time.Hour)
		before := s.broker.Stats().TransfersIn
		s.send(
			lineage.Message{ID: "1", NotBefore: soon.Add(-time.Millisecond)}, message("2"),
			lineage.Message{ID: "3", NotBefore: soon}, message("4"), lineage.Message{ID: "5", NotBefore: soon.Add(time.Minute)},
		)
		if batches := s.broker.Stats().TransfersIn - before; batches != 3 {
			s.Errorf("sent in %d batches, want 3", batches)
		}
		s.counts(broker.Counts{Active: 3, Scheduled: 3})
	})
}

func TestBrokerGivesUpFirst(t *testing.T) {
	tell(t, broker.Queue{MaxDeliveryCount: 2}, servicebus.Options{MaxDeliveries: 10}, func(s story) {
		s.send(message("a"))
		for range 2 {
			s.must(s.settle(s.one(), lineage.Retry, 0))
		}
		s.empty()
		dead := s.dead()
		if len(dead) != 1 || dead[0].Reason != "max_deliveries" || dead[0].Attempt != 2 || dead[0].Message.ID != "a" {
			s.Fatalf("the dead are %+v", dead)
		}
		if dead[0].Enqueued.IsZero() || dead[0].Died.Before(dead[0].Enqueued) {
			s.Errorf("enqueued %v, died %v", dead[0].Enqueued, dead[0].Died)
		}
	})
}

func TestBrokerExpires(t *testing.T) {
	q := broker.Queue{DefaultTTL: time.Hour, DeadLetterOnExpiry: true}
	tell(t, q, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		s.Advance(2 * time.Hour)
		s.empty()
		if dead := s.dead(); len(dead) != 1 || dead[0].Reason != "TTLExpiredException" || dead[0].Attempt != 0 {
			s.Errorf("the dead are %+v", dead)
		}
	})
}

func TestEventGridDelivers(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.must(s.broker.Deliver("q", broker.Message{
			Body: []byte(`{"id":"e"}`), MessageID: "e", ContentType: "application/json",
			Properties: map[string]any{"aeg-subscription-name": "S", "aeg-delivery-count": int32(0), "custom": true},
		}))
		d := s.one()
		want := map[string]string{
			"aeg-subscription-name": "S", "aeg-delivery-count": "0", "custom": "true",
			lineage.PropContentType: "application/json", lineage.PropVia: "servicebus",
		}
		if d.ID != "e" || string(d.Body) != `{"id":"e"}` || !maps.Equal(d.Properties, want) || d.Attempt != 1 || d.Enqueued.IsZero() {
			s.Errorf("received %+v", d)
		}
		// Whatever becomes of it, it stays what it was.
		s.must(s.settle(d, lineage.Retry, time.Minute))
		s.must(s.settle(s.one(), lineage.Dead, 0))
		s.must(s.DeadLetters().Replay(s.Context(), s.dead()[0].ID, nil))
		if d := s.one(); d.ID != "e" || string(d.Body) != `{"id":"e"}` || !maps.Equal(d.Properties, want) {
			s.Errorf("after a retry and a replay: %+v", d)
		}
	})
}

// A sender may choose properties that azservicebus can't read. That costs an
// error, not the process, and nobody else's messages.
func TestUnreadableForTheSDK(t *testing.T) {
	tell(t, broker.Queue{MaxDeliveryCount: 3}, servicebus.Options{}, func(s story) {
		s.must(s.broker.Deliver("q", broker.Message{MessageID: "bad", Properties: map[string]any{"DeadLetterReason": int32(1)}}))
		if _, err := s.Queue().Receive(s.Context(), 1); err == nil || !strings.Contains(err.Error(), "can't read a message") {
			s.Fatalf("got %v", err)
		}
		s.send(message("a"))
		if d := s.one(); d.ID != "a" {
			s.Errorf("received %+v", d)
		}
	})
}

func incompressible(n int) []byte {
	body := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(body)
	return body
}

func TestLargeBodies(t *testing.T) {
	noise, letters := incompressible(1<<20), bytes.Repeat([]byte("drift "), 1<<20/6)
	half := append(incompressible(1<<19), make([]byte, 1<<19)...)
	cut := func(body []byte, limit int) ([]byte, bool) { return body[:min(limit, len(body))], true }
	for name, c := range map[string]struct {
		body   []byte
		shrink func([]byte, int) ([]byte, bool)
		atMost int // bytes that arrive; 0: the message is refused
		least  int
	}{
		"compressible":                    {letters, nil, len(letters), len(letters)},
		"compressible, domain may trim":   {letters, cut, len(letters), len(letters)},
		"incompressible":                  {noise, nil, 0, 0},
		"incompressible, trimmed":         {noise, cut, 256 << 10, 250 << 10},
		"half compressible, trimmed":      {half, cut, 1 << 19, 250 << 10},
		"incompressible, can't":           {noise, func([]byte, int) ([]byte, bool) { return nil, false }, 0, 0},
		"incompressible, domain is wrong": {noise, func(b []byte, _ int) ([]byte, bool) { return b, true }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, broker.Queue{}, servicebus.Options{Shrink: c.shrink}, func(s story) {
				small := message("small")
				err := s.Queue().Send(s.Context(), []lineage.Message{small, {ID: "large", Body: c.body, Properties: map[string]string{"k": "v"}}, small})
				if c.atMost == 0 {
					if !errors.Is(err, lineage.ErrTooLarge) {
						s.Errorf("sent with %v", err)
					}
					s.counts(broker.Counts{})
					return
				}
				s.must(err)
				for range 3 {
					d := s.one()
					if d.ID == "large" && (len(d.Body) > c.atMost || len(d.Body) < c.least || !bytes.HasPrefix(c.body, d.Body) || d.Properties["k"] != "v") {
						s.Errorf("%d bytes of %d arrived; want %d to %d", len(d.Body), len(c.body), c.least, c.atMost)
					}
				}
			})
		})
	}
}

// Retrying with a delay makes a message larger by what we note on it. One
// that just fit comes at once instead, and spoils nobody else's delay.
func TestDelayedRetryOfABarelyFitting(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		body := incompressible(256<<10 - 60)
		s.must(s.broker.Deliver("q", broker.Message{MessageID: "big", Body: body}))
		s.send(message("small"))
		ds := []lineage.Delivery{s.one(), s.one()}
		s.must(s.Queue().Settle(s.Context(), []lineage.Settlement{
			{Lease: ds[0].Lease, Verdict: lineage.Retry, After: time.Minute},
			{Lease: ds[1].Lease, Verdict: lineage.Retry, After: time.Minute},
		}))
		s.counts(broker.Counts{Active: 1, Scheduled: 1})
		if d := s.one(); d.ID != "big" || !bytes.Equal(d.Body, body) || d.Attempt != 2 {
			s.Errorf("received %s, attempt %d, %d bytes", d.ID, d.Attempt, len(d.Body))
		}
	})
}

// The SDK can't take credit back, and sends back what comes on it while nobody
// receives. A worker that asks for many and gets one at a time must not make
// messages go to and fro.
func TestFewMessagesManyAskedFor(t *testing.T) {
	const count = 100
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("first"))
		go func() {
			for i := range count {
				time.Sleep(time.Second)
				s.send(message(fmt.Sprint(i)))
			}
		}()
		for got := 0; got <= count; {
			ds, err := s.Queue().Receive(s.Context(), 500)
			s.must(err)
			time.Sleep(1500 * time.Millisecond) // the work
			for _, d := range ds {
				s.must(s.settle(d, lineage.Done, 0))
			}
			got += len(ds)
		}
		if out := s.broker.Stats().MessagesOut; out > 2*count {
			s.Errorf("%d messages were handed out %d times", count+1, out)
		}
	})
}

func TestDeadLettersOfOthersStay(t *testing.T) {
	const count = 30
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		for i := range count {
			s.send(message(fmt.Sprint(i)))
			s.must(s.settle(s.one(), lineage.Dead, 0))
		}
		all := s.dead()
		s.must(s.DeadLetters().Replay(s.Context(), all[count-1].ID, nil))
		if d := s.one(); d.ID != fmt.Sprint(count-1) {
			s.Errorf("replayed %s", d.ID)
		}
		s.must(s.DeadLetters().Discard(s.Context(), all[count/2].ID))
		left := s.dead()
		if len(left) != count-2 {
			s.Errorf("%d dead letters are left, want %d", len(left), count-2)
		}
		// None of them is locked: the next in line can be had at once.
		start := time.Now()
		s.must(s.DeadLetters().Discard(s.Context(), left[0].ID))
		if took := time.Since(start); took > time.Second {
			s.Errorf("it took %v", took)
		}
	})
}

// A dead letter of which no copy can be sent stays.
func TestDeadLetterStaysWhenItCannotBeReplayed(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		s.must(s.settle(s.one(), lineage.Dead, 0))
		id := s.dead()[0].ID
		s.faults.On(broker.Sending, "q").Refuse("amqp:unauthorized-access", "no")
		if err := s.DeadLetters().Replay(s.Context(), id, nil); err == nil {
			s.Error("it was replayed, although nothing could be sent")
		}
		s.counts(broker.Counts{DeadLetter: 1})
		s.must(s.DeadLetters().Replay(s.Context(), id, nil))
		s.counts(broker.Counts{Active: 1})
	})
}

// A connection that breaks while a dead letter is being removed does not
// matter: the copy is there, and the dead letter goes by its lock token.
func TestDeadLetterGoesAlthoughTheLinkBreaks(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		for _, id := range []string{"a", "b"} {
			s.send(message(id))
			s.must(s.settle(s.one(), lineage.Dead, 0))
		}
		s.faults.On(broker.Settling, "q/$DeadLetterQueue").Drop()
		s.must(s.DeadLetters().Replay(s.Context(), s.dead()[0].ID, nil))
		s.counts(broker.Counts{Active: 1, DeadLetter: 1})
		s.faults.On(broker.Settling, "q/$DeadLetterQueue").Drop()
		s.must(s.DeadLetters().Discard(s.Context(), s.dead()[0].ID))
		s.counts(broker.Counts{Active: 1})
	})
}

func TestDeadLetterLockedByAnother(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		s.must(s.settle(s.one(), lineage.Dead, 0))
		id := s.dead()[0].ID
		s.faults.On(broker.Settling, "q/$DeadLetterQueue").Refuse("amqp:not-implemented", "no")
		s.faults.On(broker.Managing, "q/$DeadLetterQueue/$management").After(3).Refuse("amqp:not-implemented", "no") // the verdict comes last
		if err := s.DeadLetters().Discard(s.Context(), id); err == nil {
			s.Fatal("the broker's refusal was swallowed")
		}
		err := s.DeadLetters().Discard(s.Context(), id)
		if err == nil || !strings.Contains(err.Error(), "locked by somebody else") {
			s.Errorf("got %v", err)
		}
		s.Advance(2 * time.Minute)
		s.must(s.DeadLetters().Discard(s.Context(), id))
		s.counts(broker.Counts{})
	})
}

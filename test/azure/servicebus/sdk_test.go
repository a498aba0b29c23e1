package servicebus_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func ptr[T any](v T) *T { return &v }

func TestMessagesKeepOrderAndContent(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		sent := time.Now()
		d.must(d.sender().SendMessage(d.ctx, &azservicebus.Message{
			Body: []byte{0, 1, 255}, MessageID: ptr("m1"), ContentType: ptr("application/json"),
			Subject: ptr("s"), CorrelationID: ptr("c"), TimeToLive: ptr(time.Hour), PartitionKey: ptr("p"),
			ApplicationProperties: map[string]any{"text": "x", "n": int64(7), "yes": true, "f": 1.5},
		}, nil))
		d.send("second", "third")
		got := d.take(d.receiver(), 3)
		m := got[0]
		if !bytes.Equal(m.Body, []byte{0, 1, 255}) || m.MessageID != "m1" || *m.ContentType != "application/json" ||
			*m.Subject != "s" || *m.CorrelationID != "c" || *m.TimeToLive != time.Hour || *m.PartitionKey != "p" {
			t.Errorf("content changed: %+v", m)
		}
		if m.ApplicationProperties["text"] != "x" || m.ApplicationProperties["n"] != int64(7) ||
			m.ApplicationProperties["yes"] != true || m.ApplicationProperties["f"] != 1.5 {
			t.Errorf("properties changed: %v", m.ApplicationProperties)
		}
		if *m.SequenceNumber != 1 || m.DeliveryCount != 1 || !m.EnqueuedTime.Equal(sent.UTC().Truncate(time.Millisecond)) ||
			m.State != azservicebus.MessageStateActive || !m.LockedUntil.Equal(m.EnqueuedTime.Add(time.Minute)) {
			t.Errorf("broker's properties are wrong: %+v", m)
		}
		d.same("order", bodies(got[1:]), []string{"second", "third"})
		if *got[2].SequenceNumber != 3 {
			t.Errorf("third has number %d", *got[2].SequenceNumber)
		}
		d.counts(servicebus.Counts{Locked: 3})
	})
}

func TestCompleteRemoves(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("a")
		r := d.receiver()
		d.must(r.CompleteMessage(d.ctx, d.take(r, 1)[0], nil))
		d.counts(servicebus.Counts{})
	})
}

func TestBatchIsStoredWhole(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		s := d.sender()
		batch, err := s.NewMessageBatch(d.ctx, nil)
		d.must(err)
		n := 0
		for ; ; n++ {
			err := batch.AddMessage(&azservicebus.Message{Body: bytes.Repeat([]byte{byte(n)}, 1000)}, nil)
			if errors.Is(err, azservicebus.ErrMessageTooLarge) {
				break
			}
			d.must(err)
		}
		if n < 200 || n > 256 {
			t.Errorf("%d messages of 1000 bytes fit into 256 KiB", n)
		}
		d.must(s.SendMessageBatch(d.ctx, batch, nil))
		got := d.take(d.receiver(), n)
		for i, m := range got {
			if len(m.Body) != 1000 || m.Body[0] != byte(i) || m.MessageID == "" {
				t.Fatalf("message %d is wrong", i)
			}
		}
		if st := d.s.Stats(); st.MessagesIn != int64(n) || st.MessagesOut != int64(n) {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestLargeMessagesTravelInFrames(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxMessageSize: 2 << 20}), func(d *desk) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB, more than 16 frames
		d.must(d.sender().SendMessage(d.ctx, &azservicebus.Message{Body: body}, nil))
		if got := d.take(d.receiver(), 1); !bytes.Equal(got[0].Body, body) {
			t.Error("the body changed on its way")
		}
		if st := d.s.Stats(); st.TransfersIn < 17 || st.TransfersOut < 17 {
			t.Errorf("only %d and %d transfer frames", st.TransfersIn, st.TransfersOut)
		}
	})
}

func TestReceiveAndDelete(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send(numbered(5)...)
		r, err := d.c.NewReceiverForQueue("events", &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
		d.must(err)
		d.same("received", bodies(d.take(r, 5)), numbered(5))
		d.counts(servicebus.Counts{})
	})
}

func TestAbandonRedeliversInPlaceAndCounts(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("a", "b")
		r := d.receiver()
		m := d.take(r, 1)[0]
		d.must(r.AbandonMessage(d.ctx, m, &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"tried": "once"}}))
		got := d.take(r, 2)
		d.same("order", bodies(got), []string{"a", "b"})
		if got[0].DeliveryCount != 2 || got[1].DeliveryCount != 1 {
			t.Errorf("delivery counts %d, %d", got[0].DeliveryCount, got[1].DeliveryCount)
		}
		if got[0].ApplicationProperties["tried"] != "once" || got[0].LockToken == m.LockToken {
			t.Errorf("properties %v, token the same: %v", got[0].ApplicationProperties, got[0].LockToken == m.LockToken)
		}
	})
}

// The SDK releases what arrives between two calls of ReceiveMessages; such a
// delivery must not count.
func TestReleasedDeliveriesDoNotCount(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.receiver()
		d.nothing(r) // leaves a credit behind
		d.send("late")
		time.Sleep(time.Second)
		got := d.take(r, 1)
		if got[0].DeliveryCount != 1 {
			t.Errorf("delivery count %d", got[0].DeliveryCount)
		}
		if st := d.s.Stats(); st.MessagesOut < 2 {
			t.Errorf("the message was not released: %+v", st)
		}
	})
}

func TestMaxDeliveryCount(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxDeliveryCount: 3}), func(d *desk) {
		d.send("poison")
		r := d.receiver()
		for i := range 3 {
			m := d.take(r, 1)[0]
			if m.DeliveryCount != uint32(i+1) {
				t.Fatalf("delivery %d counts as %d", i+1, m.DeliveryCount)
			}
			d.must(r.AbandonMessage(d.ctx, m, nil))
		}
		d.counts(servicebus.Counts{DeadLetter: 1})
		dead := d.take(d.deadLetters(), 1)[0]
		if *dead.DeadLetterReason != "MaxDeliveryCountExceeded" || *dead.DeadLetterErrorDescription == "" || *dead.DeadLetterSource != "events" {
			t.Errorf("dead letter says %q, %q, %q", *dead.DeadLetterReason, *dead.DeadLetterErrorDescription, *dead.DeadLetterSource)
		}
	})
}

func TestDeadLetter(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("bad")
		r := d.receiver()
		m := d.take(r, 1)[0]
		d.must(r.DeadLetterMessage(d.ctx, m, &azservicebus.DeadLetterOptions{
			Reason: ptr("unreadable"), ErrorDescription: ptr("no JSON"), PropertiesToModify: map[string]any{"by": "test"},
		}))
		d.counts(servicebus.Counts{DeadLetter: 1})
		dr := d.deadLetters()
		for range 12 { // dead letters stay, however often they are given back
			dead := d.take(dr, 1)[0]
			if *dead.DeadLetterReason != "unreadable" || *dead.DeadLetterErrorDescription != "no JSON" || dead.ApplicationProperties["by"] != "test" ||
				*dead.SequenceNumber != *m.SequenceNumber || string(dead.Body) != "bad" {
				t.Fatalf("dead letter %+v", dead)
			}
			d.must(dr.AbandonMessage(d.ctx, dead, nil))
		}
		d.must(dr.CompleteMessage(d.ctx, d.take(dr, 1)[0], nil))
		d.counts(servicebus.Counts{})
	})
}

func TestDefer(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("later", "other")
		r := d.receiver()
		m := d.take(r, 1)[0]
		d.must(r.DeferMessage(d.ctx, m, &azservicebus.DeferMessageOptions{PropertiesToModify: map[string]any{"why": "wait"}}))
		d.counts(servicebus.Counts{Active: 1, Deferred: 1})
		numbers := []int64{*m.SequenceNumber}
		for range 2 { // abandoned it is still deferred
			got, err := r.ReceiveDeferredMessages(d.ctx, numbers, nil)
			d.must(err)
			if len(got) != 1 || string(got[0].Body) != "later" || got[0].State != azservicebus.MessageStateDeferred || got[0].ApplicationProperties["why"] != "wait" {
				t.Fatalf("deferred: %+v", got)
			}
			d.must(r.RenewMessageLock(d.ctx, got[0], nil))
			d.must(r.AbandonMessage(d.ctx, got[0], nil))
			d.counts(servicebus.Counts{Active: 1, Deferred: 1})
		}
		got, err := r.ReceiveDeferredMessages(d.ctx, numbers, nil)
		d.must(err)
		if got[0].DeliveryCount != 3 {
			t.Errorf("delivery count %d", got[0].DeliveryCount)
		}
		d.must(r.CompleteMessage(d.ctx, got[0], nil))
		_, err = r.ReceiveDeferredMessages(d.ctx, numbers, nil)
		d.code(err, azservicebus.CodeNotFound)
		d.same("the other", bodies(d.take(r, 1)), []string{"other"})
	})
}

func TestPeekSeesEveryState(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("deferred", "locked", "active")
		_, err := d.sender().ScheduleMessages(d.ctx, []*azservicebus.Message{{Body: []byte("scheduled")}}, time.Now().Add(time.Hour), nil)
		d.must(err)
		r := d.receiver()
		got := d.take(r, 2)
		d.must(r.DeferMessage(d.ctx, got[0], nil))
		first, err := r.PeekMessages(d.ctx, 3, nil)
		d.must(err)
		rest, err := r.PeekMessages(d.ctx, 3, nil)
		d.must(err)
		d.same("peeked", bodies(append(first, rest...)), []string{"deferred", "locked", "active", "scheduled"})
		if first[0].State != azservicebus.MessageStateDeferred || first[2].State != azservicebus.MessageStateActive || rest[0].State != azservicebus.MessageStateScheduled {
			t.Errorf("states %d, %d, %d", first[0].State, first[2].State, rest[0].State)
		}
		end, err := r.PeekMessages(d.ctx, 3, nil)
		if err != nil || len(end) != 0 {
			t.Errorf("peeking beyond the end: %v, %v", bodies(end), err)
		}
		d.counts(servicebus.Counts{Active: 1, Locked: 1, Deferred: 1, Scheduled: 1})
	})
}

func TestScheduled(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		at := time.Now().Add(10 * time.Minute)
		s := d.sender()
		numbers, err := s.ScheduleMessages(d.ctx, []*azservicebus.Message{{Body: []byte("kept")}, {Body: []byte("cancelled")}}, at, nil)
		d.must(err)
		d.must(s.SendMessage(d.ctx, &azservicebus.Message{Body: []byte("by annotation"), ScheduledEnqueueTime: &at}, nil))
		d.counts(servicebus.Counts{Scheduled: 3})
		d.must(s.CancelScheduledMessages(d.ctx, numbers[1:], nil))
		d.code(s.CancelScheduledMessages(d.ctx, numbers[1:], nil), azservicebus.CodeNotFound)
		time.Sleep(9 * time.Minute)
		r := d.receiver()
		d.nothing(r)
		time.Sleep(time.Minute)
		got := d.take(r, 2)
		d.same("scheduled", bodies(got), []string{"kept", "by annotation"})
		if !got[0].EnqueuedTime.Equal(at.UTC().Truncate(time.Millisecond)) {
			t.Errorf("enqueued at %v, want %v", got[0].EnqueuedTime, at)
		}
	})
}

func TestDeliver(t *testing.T) {
	within(t, queue(servicebus.Queue{MaxSize: 10_000}), func(d *desk) {
		r := d.receiver()
		d.nothing(r)
		d.must(d.s.Deliver("Events", servicebus.Message{
			Body: []byte("{}"), MessageID: "id", ContentType: "application/json",
			Properties: map[string]any{"aeg-event-type": "Notification", "aeg-delivery-count": 0},
		}))
		m := d.take(r, 1)[0]
		if string(m.Body) != "{}" || m.MessageID != "id" || *m.ContentType != "application/json" ||
			m.ApplicationProperties["aeg-event-type"] != "Notification" || m.ApplicationProperties["aeg-delivery-count"] != int64(0) {
			t.Errorf("delivered %+v", m)
		}
		for _, bad := range []error{
			d.s.Deliver("nowhere", servicebus.Message{}),
			d.s.Deliver("events", servicebus.Message{Properties: map[string]any{"x": struct{}{}}}),
			d.s.Deliver("events", servicebus.Message{Body: make([]byte, 20_000)}),
		} {
			if bad == nil {
				t.Error("a message was taken that can not be")
			}
		}
	})
}

func TestReceiverWaitsForMessages(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		r := d.receiver()
		time.AfterFunc(20*time.Second, func() { _ = d.s.Deliver("events", servicebus.Message{Body: []byte("x")}) })
		start := time.Now()
		d.take(r, 1)
		if waited := time.Since(start); waited < 20*time.Second || waited > 21*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

// Two receivers share the work, and each message goes to one of them.
func TestReceiversShare(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		a, b := d.receiver(), d.receiver()
		results := make(chan []*azservicebus.ReceivedMessage, 2)
		for _, r := range []*azservicebus.Receiver{a, b} {
			go func() {
				got, _ := r.ReceiveMessages(d.ctx, 5, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: 5 * time.Second})
				results <- got
			}()
		}
		time.Sleep(time.Second)
		d.send(numbered(10)...)
		x, y := <-results, <-results
		if len(x) != 5 || len(y) != 5 {
			t.Errorf("%v and %v", bodies(x), bodies(y))
		}
		seen := map[string]bool{}
		for _, body := range append(bodies(x), bodies(y)...) {
			seen[body] = true
		}
		if len(seen) != 10 {
			t.Errorf("%d different messages", len(seen))
		}
	})
}

func TestTCP(t *testing.T) {
	s := servicebus.New(queue(servicebus.Queue{}))
	defer s.Close()
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer func() { _ = c.Close(ctx) }()
	d := &desk{t, s, c, ctx}
	d.send("over", "TCP")
	r := d.receiver()
	for _, m := range d.take(r, 2) {
		d.must(r.CompleteMessage(ctx, m, nil))
	}
	d.counts(servicebus.Counts{})
	if n := s.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

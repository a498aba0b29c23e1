package servicebus_test

import (
	"context"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// story is a rig that a test tells what happens to messages.
type story struct {
	*testing.T
	*rig
}

// tell runs a story in a bubble, on a queue with locks of a minute.
func tell(t *testing.T, q broker.Queue, o servicebus.Options, events func(s story)) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		if q.MaxDeliveryCount == 0 {
			q.MaxDeliveryCount = 100
		}
		events(story{t, newRig(t, q, o)})
	})
}

func (s story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s story) send(messages ...lineage.Message) {
	s.Helper()
	s.must(s.Queue().Send(s.Context(), messages))
}

func message(id string) lineage.Message {
	return lineage.Message{ID: id, Body: []byte("body of " + id)}
}

// one receives one message.
func (s story) one() lineage.Delivery {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Minute)
	defer cancel()
	for {
		ds, err := s.Queue().Receive(ctx, 1)
		if ctx.Err() != nil {
			s.Fatalf("nothing came: %v", err)
		}
		if err == nil {
			return ds[0]
		}
	}
}

// empty checks that nothing can be received.
func (s story) empty() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	if ds, err := s.Queue().Receive(ctx, 1); err == nil {
		s.Fatalf("received %+v where nothing was to come", ds[0])
	}
}

func (s story) settle(d lineage.Delivery, verdict lineage.Verdict, after time.Duration) error {
	return s.Queue().Settle(s.Context(), []lineage.Settlement{{Lease: d.Lease, Verdict: verdict, After: after, Reason: "test"}})
}

func (s story) dead() []lineage.DeadMessage {
	s.Helper()
	all, _, err := s.DeadLetters().ListDead(s.Context(), "", 1000)
	s.must(err)
	return all
}

func (s story) counts(want broker.Counts) {
	s.Helper()
	if got := s.broker.Counts("q"); got != want {
		s.Errorf("the broker has %+v, want %+v", got, want)
	}
}

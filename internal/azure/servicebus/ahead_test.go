package servicebus_test

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// What was fetched ahead and nobody asked for goes back while the lock is
// still good, and at Close.
func TestFetchedAheadGoesBack(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{Prefetch: 10}, func(s story) {
		s.send(message("a"), message("b"), message("c"))
		d := s.one()
		s.counts(broker.Counts{Locked: 3})
		s.Advance(31 * time.Second)
		s.counts(broker.Counts{Locked: 1, Active: 2})
		s.must(s.settle(d, lineage.Done, 0))
		s.one()
		s.counts(broker.Counts{Locked: 2})
		s.Close(s.T)
		s.counts(broker.Counts{Locked: 1, Active: 1})
	})
}

// Someone who waits gets what another receiver fetched ahead.
func TestFetchedAheadIsShared(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{Prefetch: 10}, func(s story) {
		got := make(chan string, 2)
		for range 2 {
			go func() {
				ds, err := s.Queue().Receive(s.Context(), 1)
				if err != nil {
					got <- err.Error()
					return
				}
				got <- ds[0].ID
			}()
		}
		s.Advance(time.Second)
		s.send(message("a"), message("b"))
		start := time.Now()
		if both := <-got + <-got; both != "ab" && both != "ba" {
			s.Errorf("received %q", both)
		}
		if waited := time.Since(start); waited > time.Second {
			s.Errorf("one waited %v for what was there", waited)
		}
	})
}

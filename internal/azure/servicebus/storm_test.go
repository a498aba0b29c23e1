package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// Everything goes wrong at once, repeatably from a seed as far as goroutines
// allow: lines break, answers are lost, locks expire, the broker is busy. In
// the end every message was worked on, and none is left.
func TestStorm(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			o := servicebus.Options{MaxDeliveries: 2000, Prefetch: int(seed%3) * 4}
			tell(t, broker.Queue{DuplicateDetection: 24 * time.Hour, MaxDeliveryCount: 2000}, o, func(s story) {
				s.storm()
				w := &workers{story: s, done: map[string]bool{}, random: rand.New(rand.NewPCG(seed, seed))}
				w.run(3, 200)
			})
		})
	}
}

func (s story) storm() {
	s.faults.On(broker.FrameIn, "").Chance(0.002).Drop()
	s.faults.On(broker.FrameOut, "").Chance(0.002).Drop()
	s.faults.On(broker.Sending, "q").Chance(0.02).DropAfter()
	s.faults.On(broker.Sending, "q").Chance(0.05).Refuse("com.microsoft:server-busy", "slow down")
	s.faults.On(broker.Settling, "q").Chance(0.02).DropAfter()
	s.faults.On(broker.Settling, "q").Chance(0.05).ExpireLock()
	s.faults.On(broker.Managing, "").Chance(0.05).Refuse("com.microsoft:timeout", "later")
	s.faults.On(broker.Attaching, "").Chance(0.02).Refuse("com.microsoft:server-busy", "later")
}

// workers work on messages until all are done.
type workers struct {
	story
	mu     sync.Mutex
	random *rand.Rand
	done   map[string]bool
}

func (w *workers) run(width, count int) {
	ctx, stop := context.WithTimeout(w.Context(), 24*time.Hour)
	defer stop()
	var all sync.WaitGroup
	for range width {
		all.Go(func() { w.work(ctx, count) })
	}
	for i := range count {
		for w.Queue().Send(ctx, []lineage.Message{message(fmt.Sprint(i))}) != nil {
			if ctx.Err() != nil {
				w.Fatal("a message could not be sent in a day")
			}
		}
	}
	all.Wait()
	w.faults.Clear()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.done) != count {
		w.Errorf("%d of %d messages were worked on; the broker has %+v", len(w.done), count, w.broker.Counts("q"))
	}
	w.counts(broker.Counts{})
}

func (w *workers) work(ctx context.Context, count int) {
	for ctx.Err() == nil && !w.over(count) {
		waiting, cancel := context.WithTimeout(ctx, 2*time.Minute)
		ds, _ := w.Queue().Receive(waiting, 5)
		cancel()
		settlements := make([]lineage.Settlement, len(ds))
		for i, d := range ds {
			settlements[i] = w.verdict(d)
		}
		var failed *lineage.SettleError
		if err := w.Queue().Settle(ctx, settlements); err != nil && !errors.As(err, &failed) && ctx.Err() == nil {
			w.Errorf("settle answers %v", err)
		}
	}
}

// verdict counts a message as done when it is told so for the first time: what
// a lost lease brings again is done by then, as the worker's are.
func (w *workers) verdict(d lineage.Delivery) lineage.Settlement {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := lineage.Settlement{Lease: d.Lease}
	switch n := w.random.IntN(10); {
	case n < 2:
		s.Verdict = lineage.Retry
	case n < 4:
		s.Verdict, s.After = lineage.Retry, time.Duration(w.random.IntN(100))*time.Second
	default:
		w.done[d.ID] = true
	}
	return s
}

// over tells that all is done and nothing is left with the broker.
func (w *workers) over(count int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.done) == count && w.broker.Counts("q") == (broker.Counts{})
}

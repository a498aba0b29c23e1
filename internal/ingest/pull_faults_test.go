package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/porttest"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

var errAway = errors.New("queue is away")

func TestQueueDownGivesEventsBackForLonger(t *testing.T) {
	inBubble(t, "released", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		down := true
		r.fail = func(context.Context) error {
			if down {
				return errAway
			}
			return nil
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		released, sizes := r.source.notes()
		want := []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, time.Hour}
		if !slices.Equal(released, want) {
			t.Errorf("released for %v, want %v", released, want)
		}
		if sizes[0] != 100 || sizes[1] != 1 {
			t.Errorf("pages of %v events: an outage should be probed with one", sizes)
		}
		down = false
		r.settled(t)
		r.stop()
		if !r.has("a") || len(r.dead) != 0 {
			t.Errorf("queued %v, dead %v", r.all(), r.dead)
		}
		if got := r.all()[0].Properties[lineage.PropDeliveryCount]; got != "5" {
			t.Errorf("delivery count %s after five failures", got)
		}
	})
}

func TestOutageOfTheQueueCostsFewAttempts(t *testing.T) {
	inBubble(t, "probes", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		until := time.Now().Add(20 * time.Minute)
		r.fail = func(context.Context) error {
			if time.Now().Before(until) {
				return errAway
			}
			return nil
		}
		for i := range 500 {
			r.publish(t, gridEvent(fmt.Sprint(i)))
		}
		r.start(t)
		r.settled(t)
		r.stop()
		tried := 0
		for _, m := range r.all() {
			if m.Properties[lineage.PropDeliveryCount] != "0" {
				tried++
			}
		}
		if len(r.all()) != 500 || tried > 200 || len(r.dead) != 0 {
			t.Errorf("%d queued, %d of them had been tried before, %d dead", len(r.all()), tried, len(r.dead))
		}
	})
}

func TestOneEventTooLargeHarmsNoOther(t *testing.T) {
	inBubble(t, "too large", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		queue := sender(func(ctx context.Context, messages []lineage.Message) error {
			for _, m := range messages {
				if len(m.Body) > 2000 {
					return lineage.ErrTooLarge
				}
			}
			return r.Send(ctx, messages)
		})
		pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: queue, Name: "warden"})
		if err != nil {
			t.Fatal(err)
		}
		r.pull = pull
		large := strings.Replace(gridEvent("large"), `"big":`, `"text":"`+strings.Repeat("x", 3000)+`","big":`, 1)
		r.publish(t, gridEvent("a"), large, gridEvent("b"))
		r.start(t)
		synctest.Wait()
		if s := r.stats(t); s.Acknowledged != 2 || s.Delayed != 1 || !r.has("a") || !r.has("b") {
			t.Errorf("stats %+v", s)
		}
		r.settled(t)
		r.stop()
		if len(r.dead) != 1 || !strings.Contains(string(r.dead[0].Event), `"id":"large"`) {
			t.Errorf("dead letters %+v: what never fits belongs there", r.dead)
		}
	})
}

func TestQueueThatGoesAwayBetweenEventsKeepsWhatItHas(t *testing.T) {
	inBubble(t, "half", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		calls := 0
		queue := sender(func(ctx context.Context, messages []lineage.Message) error {
			switch calls++; calls {
			case 1:
				return lineage.ErrTooLarge
			case 3:
				return errAway
			}
			return r.Send(ctx, messages)
		})
		pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: queue, Name: "warden"})
		if err != nil {
			t.Fatal(err)
		}
		r.pull = pull
		r.publish(t, gridEvent("a"), gridEvent("b"), gridEvent("c"))
		r.start(t)
		synctest.Wait()
		if s := r.stats(t); s.Acknowledged != 1 || s.Delayed != 2 || !r.has("a") || r.has("b") {
			t.Errorf("stats %+v", s)
		}
		r.settled(t)
		r.stop()
		if len(r.all()) != 3 || !r.has("b") || !r.has("c") {
			t.Errorf("queued %v", r.all())
		}
	})
}

// sender is a queue made of a function.
type sender func(context.Context, []lineage.Message) error

func (s sender) Send(ctx context.Context, m []lineage.Message) error { return s(ctx, m) }

func TestLocksAreHeldWhileSendingIsSlow(t *testing.T) {
	inBubble(t, "slow", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Timeout = 10 * time.Minute })
		sent := 0
		r.fail = func(ctx context.Context) error {
			sent++
			time.Sleep(5 * time.Minute)
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(6 * time.Minute)
		r.stop()
		if s := r.stats(t); sent != 1 || s.Acknowledged != 1 {
			t.Errorf("sent %d times, %+v: the lock should have been kept", sent, s)
		}
	})
}

func TestStuckSendingIsGivenUp(t *testing.T) {
	inBubble(t, "stuck", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		stuck := true
		r.fail = func(ctx context.Context) error {
			if stuck {
				stuck = false
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r.publish(t, gridEvent("a"))
		start := time.Now()
		r.start(t)
		r.settled(t)
		r.stop()
		if took := time.Since(start); took < time.Minute || took > 4*time.Minute || !r.has("a") {
			t.Errorf("took %v, queued %v", took, r.all())
		}
	})
}

func TestFaultsOfTheNamespaceAreSurvived(t *testing.T) {
	tests := []struct {
		operation string
		fault     azure.Fault
		copies    int // of the event that the queue ends up with
		within    time.Duration
	}{
		{azure.OpReceive, azure.Throttle, 1, 5 * time.Second},
		{azure.OpReceive, azure.Unavailable, 1, 2 * time.Second},
		{azure.OpReceive, azure.DropBefore, 1, 2 * time.Second},
		{azure.OpReceive, azure.DropAfter, 1, 65 * time.Second},
		{azure.OpReceive, azure.Stall, 1, 85 * time.Second},
		{azure.OpReceive, azure.LoseLocks, 2, time.Second},
		{azure.OpReceive, azure.Junk, 1, time.Second},
		{azure.OpAcknowledge, azure.Unavailable, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.DropBefore, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.DropAfter, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.Stall, 1, 12 * time.Second},
	}
	for _, tt := range tests {
		inBubble(t, fmt.Sprint(tt.operation, tt.fault), func(t *testing.T) {
			only := func(o string) bool { return o == tt.operation }
			r := newPullRig(t, &azure.Faults{Script: []azure.Fault{tt.fault}, Only: only}, nil)
			r.publish(t, gridEvent("a"))
			r.start(t)
			time.Sleep(tt.within)
			synctest.Wait()
			copies := 0
			for _, m := range r.all() {
				if m.Properties[lineage.PropKind] == lineage.KindEvent {
					copies++
				}
			}
			if s := r.stats(t); copies != tt.copies || s.Ready+s.Locked+s.Delayed != 0 {
				t.Errorf("%d copies after %v, want %d; %+v", copies, tt.within, tt.copies, s)
			}
			if junk := len(r.all()) - copies; tt.fault == azure.Junk && junk != 1 {
				t.Errorf("%d messages for quarantine", junk)
			}
			r.stop()
		})
	}
}

func TestAcknowledgingThatFailsForGoodRepeatsTheEvent(t *testing.T) {
	inBubble(t, "duplicates", func(t *testing.T) {
		only := func(o string) bool { return o == azure.OpAcknowledge }
		r := newPullRig(t, &azure.Faults{Script: slices.Repeat([]azure.Fault{azure.Unavailable}, 3), Only: only}, nil)
		r.publish(t, gridEvent("a"))
		r.start(t)
		r.settled(t)
		r.stop()
		got := r.all()
		if len(got) != 2 || got[0].ID != got[1].ID || string(got[0].Body) != string(got[1].Body) {
			t.Errorf("messages %v: want the same one twice", got)
		}
	})
}

// Whatever goes wrong on either side, everything that was published ends in
// the queue. A seed that failed fails again.
func TestPullLosesNothing(t *testing.T) {
	for seed := range uint64(40) {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			source := &azure.Faults{Seed: seed, Rates: map[azure.Fault]float64{
				azure.Throttle: .05, azure.Unavailable: .1, azure.Stall: .03, azure.DropBefore: .1, azure.DropAfter: .1,
				azure.Junk: .1, azure.LoseLocks: .1,
			}}
			queue := &porttest.Faults{Seed: seed, Before: .15, After: .15, Delay: 30 * time.Second}
			r := newPullRig(t, source, nil)
			send := porttest.Faulty(queue, "Queue.Send", func(ctx context.Context, m []lineage.Message) (struct{}, error) {
				return struct{}{}, r.Send(ctx, m)
			})
			pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Name: "warden", Batch: 7,
				Queue: sender(func(ctx context.Context, m []lineage.Message) error { _, err := send(ctx, m); return err })})
			if err != nil {
				t.Fatal(err)
			}
			r.pull = pull
			pull.SetSeed(seed)
			r.start(t)
			var published []string
			for i := range 60 {
				good, bad := fmt.Sprint("event-", i), fmt.Sprintf(`{"nonsense":%d}`, i)
				r.publish(t, gridEvent(good), bad)
				published = append(published, good, bad)
				time.Sleep(20 * time.Second)
			}
			source.Stop()
			queue.Stop()
			r.settled(t)
			r.stop()
			for _, what := range published {
				if !r.has(what) {
					t.Errorf("%s was lost; %+v, dead %v", what, r.stats(t), r.dead)
				}
			}
		})
	}
}

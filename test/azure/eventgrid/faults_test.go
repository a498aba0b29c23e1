package eventgrid_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

func only(operation string) func(string) bool {
	return func(o string) bool { return o == operation }
}

// outputs are the ids of delivered events, in order.
func outputs(r *rig) []string {
	var ids []string
	for _, d := range r.endpoint.deliveries() {
		var id string
		for i := range 100 {
			if s := fmt.Sprintf(`"id":"%d"`, i); strings.Contains(d.body, s) {
				id = fmt.Sprint(i)
			}
		}
		ids = append(ids, id)
	}
	return ids
}

func TestDeliveryFaults(t *testing.T) {
	tests := []struct {
		name      string
		operation string
		fault     eventgrid.Fault
		requests  int // that the endpoint sees
	}{
		{"before", eventgrid.OpDeliver, eventgrid.DropBefore, 1},
		{"after", eventgrid.OpDeliver, eventgrid.DropAfter, 2},
		{"timeout", eventgrid.OpDeliver, eventgrid.Stall, 1},
		{"throttled", eventgrid.OpDeliver, eventgrid.Throttle, 1},
		{"unavailable", eventgrid.OpDeliver, eventgrid.Unavailable, 1},
		{"duplicate", eventgrid.OpEnqueue, eventgrid.Duplicate, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, eventgrid.TopicOptions{Faults: &eventgrid.Faults{Script: []eventgrid.Fault{tt.fault}, Only: only(tt.operation)}},
				eventgrid.Subscription{}, nil)
			r.Publish(order("1"))
			r.clock.Advance(time.Hour)
			if n := len(r.endpoint.deliveries()); n != tt.requests || r.stats(t).Pending != 0 {
				t.Errorf("%d requests, want %d; %+v", n, tt.requests, r.stats(t))
			}
		})
	}
}

func TestShuffleRepeatsFromItsSeed(t *testing.T) {
	run := func(seed uint64) []string {
		faults := &eventgrid.Faults{Seed: seed, Rates: map[eventgrid.Fault]float64{eventgrid.Shuffle: 1}}
		r := newRig(t, eventgrid.TopicOptions{Faults: faults}, eventgrid.Subscription{}, nil)
		for i := range 20 {
			r.Publish(order(fmt.Sprint(i)))
		}
		r.clock.Advance(time.Minute)
		return outputs(r)
	}
	first := run(1)
	if !slices.Equal(first, run(1)) {
		t.Error("the same seed gave different orders")
	}
	if slices.Equal(first, run(2)) {
		t.Error("different seeds gave the same order")
	}
	slices.Sort(first)
	if len(slices.Compact(first)) != 20 {
		t.Errorf("delivered %v, want each of 20 once", first)
	}
}

// Whatever goes wrong, an endpoint that works in the end gets every event.
func TestNothingIsLostOnTheWayToAnEndpoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		faults := &eventgrid.Faults{Seed: rapid.Uint64().Draw(rt, "seed"), Rates: map[eventgrid.Fault]float64{
			eventgrid.DropBefore: .1, eventgrid.DropAfter: .1, eventgrid.Throttle: .1, eventgrid.Stall: .05,
			eventgrid.Duplicate: .1, eventgrid.Shuffle: .2,
		}}
		r := newRig(t, eventgrid.TopicOptions{Faults: faults},
			eventgrid.Subscription{MaxEvents: rapid.IntRange(1, 4).Draw(rt, "batch")}, nil)
		n := rapid.IntRange(1, 30).Draw(rt, "events")
		for i := range n {
			r.Publish(order(fmt.Sprint(i)))
			r.clock.Advance(time.Second)
		}
		faults.Stop()
		r.clock.Advance(12 * time.Hour)
		all := ""
		for _, d := range r.endpoint.deliveries() {
			all += d.body
		}
		for i := range n {
			if !strings.Contains(all, fmt.Sprintf(`"id":"%d"`, i)) {
				rt.Fatalf("event %d was lost; %+v", i, r.stats(t))
			}
		}
	})
}

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a closed loop: each connection sends its next request when the one
// before it is answered.
type load struct {
	events      *arena
	batch       int
	connections int
	// wrap begins again when the events are used up; only for a server that
	// keeps nothing. Without it the load ends.
	wrap bool
	next atomic.Int64
}

// sent is what a load came to: what was answered with 200, and how long it
// took from the first request to the last answer.
type sent struct {
	events  int
	elapsed time.Duration
}

func (s sent) rate() float64 { return float64(s.events) / s.elapsed.Seconds() }

// run sends for about the duration, or all there is if it is 0.
func (l *load) run(ctx context.Context, clients []*client, duration time.Duration) (sent, error) {
	var answered atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for _, c := range clients {
		g.Go(func() error {
			for ctx.Err() == nil && (duration == 0 || time.Since(start) < duration) {
				from, to := l.take()
				if from == to {
					return nil
				}
				if err := c.post(l.events, from, to); err != nil {
					return fmt.Errorf("events %d to %d: %w", from, to, err)
				}
				answered.Add(int64(to - from))
			}
			return ctx.Err()
		})
	}
	err := g.Wait()
	return sent{int(answered.Load()), time.Since(start)}, err
}

// take reserves the next batch; it is empty at the end.
func (l *load) take() (from, to int) {
	n := l.events.len()
	end := int(l.next.Add(int64(l.batch)))
	from = end - l.batch
	if l.wrap {
		from %= n / l.batch * l.batch
		return from, from + l.batch
	}
	return min(from, n), min(end, n)
}

// dialAll opens n connections.
func dialAll(ctx context.Context, host string, n int) ([]*client, error) {
	var out []*client
	for range n {
		c, err := dial(ctx, host)
		if err != nil {
			closeAll(out)
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.close()
	}
}

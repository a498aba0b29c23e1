package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func lawReceiveWaits(l *queueLaw) {
	got := make(chan error, 1)
	go func() {
		_, err := l.Queue().Receive(l.ctx, 10)
		got <- err
	}()
	select {
	case err := <-got:
		l.Fatalf("receive did not wait: %v", err)
	case <-time.After(moment):
	}
	l.send("a")
	l.must(<-got)
}

func lawReceiveMax(l *queueLaw) {
	l.send("a", "b", "c", "d", "e")
	for range 5 {
		ds, err := l.Queue().Receive(l.ctx, 1)
		l.must(err)
		if len(ds) != 1 {
			l.Fatalf("received %d messages, asked for 1", len(ds))
		}
	}
}

func lawReceiveZero(l *queueLaw) {
	l.send("a")
	for _, max := range []int{0, -1} {
		if _, err := l.Queue().Receive(l.ctx, max); err == nil {
			l.Errorf("receive of %d messages was accepted", max)
		}
	}
}

func lawReceiversServed(l *queueLaw) {
	const count = 20
	got := make(chan string, count)
	for range count {
		go func() {
			ds, err := l.Queue().Receive(l.ctx, 1)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- ds[0].ID
		}()
	}
	seen := map[string]bool{}
	for i := range count {
		l.send(fmt.Sprint(i))
	}
	for range count {
		seen[<-got] = true
	}
	for i := range count {
		if !seen[fmt.Sprint(i)] {
			l.Errorf("message %d reached no receiver; received were %v", i, seen)
		}
	}
}

// lawConcurrent sends from several goroutines while others receive, retry
// some and settle the rest; every message must be done exactly once.
func lawConcurrent(l *queueLaw) {
	const senders, each, receivers = 4, 100, 6
	tally := &tally{done: map[string]int{}, want: senders * each}
	ctx, stop := context.WithCancel(l.ctx)
	var senderGroup, receiverGroup sync.WaitGroup
	for s := range senders {
		senderGroup.Go(func() {
			for i := range each {
				m := lineage.Message{ID: fmt.Sprintf("%d-%d", s, i), Body: []byte{byte(s), byte(i)}}
				if err := l.Queue().Send(ctx, []lineage.Message{m}); err != nil {
					l.Error(err)
				}
			}
		})
	}
	for range receivers {
		receiverGroup.Go(func() { l.consume(ctx, tally, stop) })
	}
	senderGroup.Wait()
	receiverGroup.Wait()
	stop()
	for id, n := range tally.done {
		if n != 1 {
			l.Errorf("%s was done %d times", id, n)
		}
	}
	if len(tally.done) != tally.want {
		l.Errorf("%d messages were done, want %d", len(tally.done), tally.want)
	}
	l.nothing()
}

type tally struct {
	sync.Mutex
	done map[string]int
	want int
}

// add counts and tells whether all is done.
func (t *tally) add(id string) bool {
	t.Lock()
	defer t.Unlock()
	t.done[id]++
	return len(t.done) == t.want
}

func (l *queueLaw) consume(ctx context.Context, t *tally, stop func()) {
	for {
		ds, err := l.Queue().Receive(ctx, 7)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.Error(err)
			return
		}
		for i, d := range ds {
			s := lineage.Settlement{Lease: d.Lease}
			if d.Attempt == 1 && i%3 == 0 {
				s.Verdict = lineage.Retry
			}
			if err := l.Queue().Settle(l.ctx, []lineage.Settlement{s}); err != nil {
				l.Error(err)
			}
			if s.Verdict == lineage.Done && t.add(d.ID) {
				stop()
			}
		}
	}
}

func lawCancelled(l *queueLaw) {
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	_, receive := l.Queue().Receive(ctx, 1)
	_, depth := l.Queue().Depth(ctx)
	_, _, list := l.DeadLetters().ListDead(ctx, "", 10)
	_, get := l.DeadLetters().GetDead(ctx, "1")
	for call, err := range map[string]error{
		"Send":     l.Queue().Send(ctx, []lineage.Message{{ID: "a"}}),
		"Receive":  receive,
		"Extend":   l.Queue().Extend(ctx, []lineage.Lease{"x"}),
		"Settle":   l.Queue().Settle(ctx, []lineage.Settlement{{Lease: "x"}}),
		"Depth":    depth,
		"ListDead": list,
		"GetDead":  get,
		"Replay":   l.DeadLetters().Replay(ctx, "1", nil),
		"Discard":  l.DeadLetters().Discard(ctx, "1"),
	} {
		if !errors.Is(err, context.Canceled) {
			l.Errorf("%s answers %v", call, err)
		}
	}
}

func lawCancelReceive(l *queueLaw) {
	ctx, cancel := context.WithTimeout(l.ctx, moment)
	defer cancel()
	start := time.Now()
	_, err := l.Queue().Receive(ctx, 1)
	if !errors.Is(err, context.DeadlineExceeded) {
		l.Errorf("receive answers %v", err)
	}
	if took := time.Since(start); took > moment+5*time.Second {
		l.Errorf("receive returned after %v", took)
	}
}

// lawCancelKeepsNothing lets receivers give up while messages arrive: what
// they were about to get comes to others, at the latest when the lease ends.
func lawCancelKeepsNothing(l *queueLaw) {
	const count = 50
	var wg sync.WaitGroup
	seen := &tally{done: map[string]int{}, want: count}
	for i := range count {
		ctx, cancel := context.WithTimeout(l.ctx, moment)
		wg.Go(func() {
			ds, err := l.Queue().Receive(ctx, 1)
			if err != nil {
				return
			}
			seen.add(ds[0].ID)
			if err := l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: ds[0].Lease}}); err != nil {
				l.Error(err)
			}
		})
		wg.Go(func() {
			defer cancel()
			if err := l.Queue().Send(l.ctx, []lineage.Message{{ID: fmt.Sprint(i)}}); err != nil {
				l.Error(err)
			}
		})
	}
	wg.Wait()
	l.Advance(lawLease + time.Second)
	for len(seen.done) < count {
		d := l.one()
		seen.add(d.ID)
		l.done(d)
	}
	l.nothing()
}

func lawClosed(l *queueLaw) {
	q, dead := l.Queue(), l.DeadLetters()
	waiting := make(chan error, 1)
	go func() {
		_, err := q.Receive(l.ctx, 1)
		waiting <- err
	}()
	time.Sleep(moment)
	l.Close(l.T)
	_, receive := q.Receive(l.ctx, 1)
	_, depth := q.Depth(l.ctx)
	_, _, list := dead.ListDead(l.ctx, "", 10)
	for call, err := range map[string]error{
		"waiting Receive": <-waiting,
		"Receive":         receive,
		"Send":            q.Send(l.ctx, []lineage.Message{{ID: "a"}}),
		"Extend":          q.Extend(l.ctx, []lineage.Lease{"x"}),
		"Settle":          q.Settle(l.ctx, []lineage.Settlement{{Lease: "x"}}),
		"Depth":           depth,
		"ListDead":        list,
		"Discard":         dead.Discard(l.ctx, "1"),
	} {
		if !errors.Is(err, lineage.ErrClosed) {
			l.Errorf("%s answers %v", call, err)
		}
	}
}

package porttest

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// dead returns all dead letters.
func (l *queueLaw) dead() (all []lineage.DeadMessage) {
	l.Helper()
	for cursor := ""; ; {
		page, next, err := l.DeadLetters().ListDead(l.ctx, cursor, 1000)
		l.must(err)
		all = append(all, page...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func (l *queueLaw) kill(d lineage.Delivery) {
	l.Helper()
	l.settle(lineage.Settlement{Lease: d.Lease, Verdict: lineage.Dead, Reason: "unreadable", Description: "no «JSON»"})
}

func lawDeadKeeps(l *queueLaw) {
	sent := lineage.Message{ID: "m", Body: []byte("\x00body\xff"), Properties: map[string]string{"k": "v"}}
	l.must(l.Queue().Send(l.ctx, []lineage.Message{sent}))
	d := l.one()
	l.kill(d)
	all := l.dead()
	if len(all) != 1 {
		l.Fatalf("%d dead letters, want 1", len(all))
	}
	got, err := l.DeadLetters().GetDead(l.ctx, all[0].ID)
	l.must(err)
	for _, g := range []lineage.DeadMessage{all[0], got} {
		if g.Message.ID != "m" || string(g.Body) != string(sent.Body) || g.Properties["k"] != "v" {
			l.Errorf("the dead letter is %+v", g)
		}
		if g.Reason != "unreadable" || g.Description != "no «JSON»" || g.Attempt != 1 {
			l.Errorf("reason %q, description %q, attempt %d", g.Reason, g.Description, g.Attempt)
		}
		if !g.Enqueued.Equal(d.Enqueued) || g.Died.Before(d.Enqueued.Truncate(time.Second)) {
			l.Errorf("enqueued %v (delivery: %v), died %v", g.Enqueued, d.Enqueued, g.Died)
		}
	}
	l.Advance(2 * lawLease)
	l.nothing()
}

// diedOf checks that the only dead letter died of too many deliveries.
func (l *queueLaw) diedOf(reason string) {
	l.Helper()
	l.nothing()
	all := l.dead()
	if len(all) != 1 || all[0].Reason != reason || all[0].Attempt != lawDeliveries {
		l.Fatalf("the dead are %+v; want one by %s after %d attempts", all, reason, lawDeliveries)
	}
}

func lawMaxDeliveries(l *queueLaw) {
	l.send("a")
	for range lawDeliveries {
		l.one()
		l.Advance(lawLease + time.Second)
	}
	l.diedOf("max_deliveries")
}

func lawMaxRetries(l *queueLaw) {
	l.send("a")
	for range lawDeliveries {
		l.settle(lineage.Settlement{Lease: l.one().Lease, Verdict: lineage.Retry})
	}
	l.diedOf("max_deliveries")
}

func lawMaxDelayedRetries(l *queueLaw) {
	l.send("a")
	for range lawDeliveries {
		l.settle(lineage.Settlement{Lease: l.one().Lease, Verdict: lineage.Retry, After: time.Minute})
		l.Advance(time.Minute + time.Second)
	}
	l.diedOf("max_deliveries")
}

func lawDeadReopen(l *queueLaw) {
	l.send("a")
	l.kill(l.one())
	l.Reopen(l.T)
	if all := l.dead(); len(all) != 1 || all[0].Message.ID != "a" {
		l.Fatalf("the dead are %+v", all)
	}
	l.nothing()
}

func lawDeadPages(l *queueLaw) {
	const count = 25
	for i := range count {
		l.send(fmt.Sprint(i))
		l.kill(l.one())
	}
	var seen []string
	for cursor := ""; ; {
		page, next, err := l.DeadLetters().ListDead(l.ctx, cursor, 10)
		l.must(err)
		if len(page) > 10 {
			l.Fatalf("a page of %d, asked for 10", len(page))
		}
		for _, d := range page {
			seen = append(seen, d.Message.ID)
		}
		if next == "" {
			break
		}
		cursor = next
	}
	for i := range count {
		if len(seen) != count || seen[i] != fmt.Sprint(i) {
			l.Fatalf("listed were %v", seen)
		}
	}
}

func lawDeadEmpty(l *queueLaw) {
	page, next, err := l.DeadLetters().ListDead(l.ctx, "", 10)
	if err != nil || len(page) != 0 || next != "" {
		l.Errorf("got %v, next %q, %v", page, next, err)
	}
}

func lawDeadLimits(l *queueLaw) {
	for _, limit := range []int{0, -1, 1001} {
		if _, _, err := l.DeadLetters().ListDead(l.ctx, "", limit); err == nil {
			l.Errorf("a limit of %d was accepted", limit)
		}
	}
}

func lawReplay(l *queueLaw) {
	l.must(l.Queue().Send(l.ctx, []lineage.Message{{ID: "m", Body: []byte("b"), Properties: map[string]string{"k": "v", "o": "old"}}}))
	l.settle(lineage.Settlement{Lease: l.one().Lease, Verdict: lineage.Retry})
	l.kill(l.one())
	l.must(l.DeadLetters().Replay(l.ctx, l.dead()[0].ID, map[string]string{"replayed": "yes", "o": "new"}))
	d := l.one()
	want := map[string]string{"k": "v", "o": "new", "replayed": "yes"}
	if d.ID != "m" || string(d.Body) != "b" || d.Attempt != 1 || !maps.Equal(d.Properties, want) {
		l.Errorf("replayed as %+v", d)
	}
	if left := l.dead(); len(left) != 0 {
		l.Errorf("still dead: %+v", left)
	}
}

func lawDiscard(l *queueLaw) {
	l.send("a", "b")
	for _, d := range l.receive(2) {
		l.kill(d)
	}
	all := l.dead()
	l.must(l.DeadLetters().Discard(l.ctx, all[0].ID))
	if left := l.dead(); len(left) != 1 || left[0].ID != all[1].ID {
		l.Errorf("left are %+v", left)
	}
	l.nothing()
}

func lawDeadNotFound(l *queueLaw) {
	l.send("a")
	l.kill(l.one())
	gone := l.dead()[0].ID
	l.must(l.DeadLetters().Discard(l.ctx, gone))
	for _, id := range []string{gone, "999999999", "no such thing", ""} {
		_, err := l.DeadLetters().GetDead(l.ctx, id)
		for call, err := range map[string]error{
			"get":     err,
			"discard": l.DeadLetters().Discard(l.ctx, id),
			"replay":  l.DeadLetters().Replay(l.ctx, id, nil),
		} {
			if !errors.Is(err, lineage.ErrNotFound) {
				l.Errorf("%s of %q answers %v", call, id, err)
			}
		}
	}
}

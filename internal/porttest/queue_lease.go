package porttest

import (
	"errors"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func asSettleError(err error) (map[int]error, bool) {
	var e *lineage.SettleError
	if !errors.As(err, &e) {
		return nil, false
	}
	return e.Failed, true
}

func lawDone(l *queueLaw) {
	l.send("a")
	l.done(l.one())
	l.Advance(2 * lawLease)
	l.nothing()
}

func lawLeased(l *queueLaw) {
	l.send("a")
	l.one()
	l.Advance(lawLease / 2)
	l.nothing()
}

func lawRedelivery(l *queueLaw) {
	l.send("a")
	first := l.one()
	l.Advance(lawLease + time.Second)
	second := l.one()
	if second.ID != "a" || string(second.Body) != "a" {
		l.Errorf("redelivered %+v", second.Message)
	}
	if second.Lease == first.Lease {
		l.Error("the redelivery has the lease of the first delivery")
	}
}

func lawAttempts(l *queueLaw) {
	l.send("a")
	for want := 1; want <= lawDeliveries; want++ {
		if d := l.one(); d.Attempt != want {
			l.Fatalf("attempt %d, want %d", d.Attempt, want)
		}
		l.Advance(lawLease + time.Second)
	}
}

func lawAttemptsReopen(l *queueLaw) {
	l.send("a")
	for want := 1; want <= lawDeliveries; want++ {
		if d := l.one(); d.Attempt != want {
			l.Fatalf("attempt %d, want %d", d.Attempt, want)
		}
		l.Reopen(l.T)
		l.Advance(lawLease + time.Second) // a broker keeps the lease of a lost receiver
	}
}

func lawLateSettle(l *queueLaw) {
	l.send("a")
	d := l.one()
	l.Advance(lawLease + time.Second)
	err := l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: d.Lease}})
	l.lost(err, 0)
	if !errors.Is(err, lineage.ErrLeaseLost) {
		l.Error("errors.Is does not see ErrLeaseLost")
	}
	l.one()
}

func lawLateExtend(l *queueLaw) {
	l.send("a")
	d := l.one()
	l.Advance(lawLease + time.Second)
	l.lost(l.Queue().Extend(l.ctx, []lineage.Lease{d.Lease}), 0)
}

func lawDoubleSettle(l *queueLaw) {
	for _, verdict := range []lineage.Verdict{lineage.Done, lineage.Retry, lineage.Dead} {
		l.send("a")
		d := l.one()
		l.settle(lineage.Settlement{Lease: d.Lease, Verdict: verdict})
		l.lost(l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: d.Lease}}), 0)
		l.lost(l.Queue().Extend(l.ctx, []lineage.Lease{d.Lease}), 0)
		if verdict == lineage.Retry {
			l.done(l.one())
		}
	}
}

func lawSameLease(l *queueLaw) {
	l.send("a")
	d := l.one()
	err := l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: d.Lease}, {Lease: d.Lease, Verdict: lineage.Retry}})
	l.lost(err, 1)
	l.nothing()
}

func lawUnknownLease(l *queueLaw) {
	for _, lease := range []lineage.Lease{"", "nonsense", "0000000000000001", "\xff"} {
		l.lost(l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: lease}}), 0)
		l.lost(l.Queue().Extend(l.ctx, []lineage.Lease{lease}), 0)
	}
}

func lawMixedSettle(l *queueLaw) {
	l.send("a", "b", "c")
	ds := l.receive(3)
	l.done(ds[1])
	err := l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: ds[0].Lease}, {Lease: ds[1].Lease}, {Lease: ds[2].Lease}})
	l.lost(err, 1)
	l.Advance(2 * lawLease)
	l.nothing()
}

func lawStaleLease(l *queueLaw) {
	l.send("a")
	old := l.one()
	l.Advance(lawLease + time.Second)
	current := l.one()
	l.lost(l.Queue().Settle(l.ctx, []lineage.Settlement{{Lease: old.Lease}}), 0)
	l.nothing()
	l.done(current)
}

func lawExtend(l *queueLaw) {
	l.send("a")
	d := l.one()
	for range 5 {
		l.Advance(lawLease * 3 / 4)
		l.must(l.Queue().Extend(l.ctx, []lineage.Lease{d.Lease}))
	}
	l.nothing()
	l.done(d)
}

func lawRetryNow(l *queueLaw) {
	l.send("a")
	l.settle(lineage.Settlement{Lease: l.one().Lease, Verdict: lineage.Retry})
	if d := l.one(); d.ID != "a" || string(d.Body) != "a" || d.Attempt != 2 {
		l.Errorf("retried as %+v", d)
	}
}

func lawRetryLater(l *queueLaw) {
	l.send("a")
	l.settle(lineage.Settlement{Lease: l.one().Lease, Verdict: lineage.Retry, After: time.Hour})
	l.nothing()
	l.Advance(time.Hour - time.Minute)
	l.nothing()
	l.Reopen(l.T)
	l.Advance(2 * time.Minute)
	if d := l.one(); d.ID != "a" || string(d.Body) != "a" || d.Attempt != 2 {
		l.Errorf("retried as %+v", d)
	}
}

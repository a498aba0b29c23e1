package review_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// recorder notes the most important news of every change that is told.
func recorder(into *[]string) func(context.Context, review.Change) {
	return func(_ context.Context, c review.Change) {
		if c.News != 0 && c.News != review.NewsCounted {
			*into = append(*into, c.News.Word())
		}
	}
}

func isRefusal(err error) bool {
	var refused *review.TransitionError
	return errors.As(err, &refused)
}

// chained is a signal whose review escalates to two more, all of it twice.
func chained(key string, at time.Time) review.Signal {
	s := signal("drift", key, at)
	s.Target, s.AckWithin, s.Repeat = "first", 10*time.Minute, 1
	s.Chain = []review.Rung{{Target: "second", Within: review.Interval(20 * time.Minute)}, {Target: "third"}}
	return s
}

// restart makes another process over the same store.
func (b *bench) restart() {
	was := b.Desk
	b.Desk = review.NewDesk(b.store, func() time.Time { return b.now })
	b.Later, b.OnChange, b.Rules, b.Standing = was.Later, was.OnChange, was.Rules, was.Standing
}

func TestAnEscalationGoesItsWayAcrossRestarts(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute} {
		b := newBench()
		var heard []string
		b.OnChange = recorder(&heard)
		r, _ := b.raise(t, chained("k1", b.now))
		for b.now.Before(t0.Add(3 * time.Hour)) {
			b.wait(t, step)
			b.restart()
		}
		got := b.stored(t, r.ID)
		var at []time.Duration
		for _, h := range got.History[1:] {
			at = append(at, h.At.Sub(t0)/time.Minute)
		}
		// first, second, third, all again, second, third, the end
		if want := []time.Duration{10, 30, 40, 50, 70, 80}; !slices.Equal(at, want) {
			t.Errorf("in steps of %s it escalated after %d, want %d", step, at, want)
		}
		if n := len(heard); n != 7 || !slices.Equal(got.Audience(), []string{"first", "second", "third"}) {
			t.Errorf("in steps of %s told %q, of %q", step, heard, got.Audience())
		}
	}
}

func TestAReminderMayComeEarlyLateAndTwice(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	remind := func() {
		t.Helper()
		if err := b.Remind(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
	}
	due := b.now.Add(10 * time.Minute)
	b.now = due.Add(-20 * time.Second)
	remind()
	last := b.asked[r.ID][len(b.asked[r.ID])-1]
	if !last.After(due) || last.After(due.Add(time.Minute)) {
		t.Errorf("after a look 20 s early the next is at %s, due %s: the same time again would be taken for a repeat", last, due)
	}
	b.now = due.Add(5 * time.Minute)
	remind()
	rev := b.stored(t, r.ID).Rev
	remind()
	if got := b.stored(t, r.ID); got.Level != 1 || got.Rev != rev || !got.Escalated.Equal(due) {
		t.Errorf("level %d, revision %d then %d, escalated at %s", got.Level, rev, got.Rev, got.Escalated)
	}
	for _, id := range []string{"nonsense", "silence:none", "aaaaaaaaaaaaaaaaaaaaaaaaaa-1"} {
		if err := b.Remind(t.Context(), id); err != nil {
			t.Errorf("a reminder of %s: %v", id, err)
		}
	}
}

// The first look may come before the commit that it is for.
func TestADeadlineSoonIsLookedAtTwice(t *testing.T) {
	b := newBench()
	s := signal("drift", "k1", b.now)
	s.AckWithin = time.Second
	b.Later = func(ctx context.Context, id string, at time.Time) error {
		b.asked[id] = append(b.asked[id], at)
		return nil
	}
	r, _ := b.raise(t, s)
	if last := slices.MaxFunc(b.asked[r.ID], time.Time.Compare); last.Before(b.now.Add(time.Minute)) {
		t.Errorf("looked at for the last time at %s", last)
	}
}

func TestWhatStopsAnEscalationAndStartsItAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		stop, start func(*bench, string)
	}{
		"ack, reopen": {
			func(b *bench, id string) {
				b.must(b.Do(context.Background(), id, review.Command{Verb: review.Ack, By: "ann"}))
			},
			func(b *bench, id string) {
				b.must(b.Do(context.Background(), id, review.Command{Verb: review.Reopen, By: "ann"}))
			},
		},
		"snooze, its end": {
			func(b *bench, id string) {
				b.must(b.Do(context.Background(), id, review.Command{Verb: review.Snooze, By: "ann", Until: b.now.Add(2 * time.Hour)}))
			},
			func(*bench, string) {},
		},
		"silence, its end": {
			func(b *bench, _ string) {
				_, err := b.Silence(context.Background(), review.Silence{By: "ann", Why: "known", Until: b.now.Add(2 * time.Hour)})
				b.must(review.Review{}, err)
				b.must(review.Review{}, b.tick(context.Background(), 0))
			},
			func(*bench, string) {},
		},
		"ack, worse": {
			func(b *bench, id string) {
				b.must(b.Do(context.Background(), id, review.Command{Verb: review.Ack, By: "ann"}))
			},
			func(b *bench, _ string) {
				s := chained("worse", b.now)
				s.Severity = review.Critical
				_, _, err := b.Raise(context.Background(), s)
				b.must(review.Review{}, err)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			r, _ := b.raise(t, chained("k1", b.now))
			b.wait(t, 15*time.Minute)
			if got := b.stored(t, r.ID); got.Level != 1 {
				t.Fatalf("step %d before it stops", got.Level)
			}
			tc.stop(b, r.ID)
			b.wait(t, time.Hour)
			if got := b.stored(t, r.ID); got.Level != 1 && got.Level != 0 || !got.AckBy.IsZero() {
				t.Fatalf("stopped, it is at step %d and waits until %s", got.Level, got.AckBy)
			}
			b.wait(t, time.Hour)
			tc.start(b, r.ID)
			from := b.now
			b.wait(t, 9*time.Minute)
			if got := b.stored(t, r.ID); got.State != review.Open || got.Level != 0 {
				t.Fatalf("begun again it is %s at step %d", got.State, got.Level)
			}
			b.wait(t, time.Minute)
			got := b.stored(t, r.ID)
			if got.Level != 1 || !got.Escalated.Equal(from.Add(10*time.Minute)) {
				t.Errorf("ten minutes later it is at step %d, escalated at %s", got.Level, got.Escalated)
			}
		})
	}
}

func (*bench) must(_ review.Review, err error) {
	if err != nil {
		panic(err)
	}
}

// Whoever was told by an escalation hears the end, also if it began again since.
func TestTheEndReachesAllWhoWereTold(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	b.wait(t, 31*time.Minute)
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
	b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "ann"})
	got := b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	if want := []string{"first", "second", "third"}; !slices.Equal(got.Audience(), want) {
		t.Errorf("the end is told to %q, want %q", got.Audience(), want)
	}
	if want := []string{"first"}; !slices.Equal(got.Called(), want) {
		t.Errorf("called are %q, want %q", got.Called(), want)
	}
}

func TestAMoreSevereSignalBeginsAnEscalationThatEnded(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	b.wait(t, 5*time.Hour)
	if got := b.stored(t, r.ID); !got.AckBy.IsZero() {
		t.Fatalf("not at its end: %s", got.AckBy)
	}
	b.raise(t, chained("k2", b.now))
	if got := b.stored(t, r.ID); !got.AckBy.IsZero() {
		t.Error("more of the same began it again")
	}
	s := chained("k3", b.now)
	s.Severity = review.Critical
	b.raise(t, s)
	if got := b.stored(t, r.ID); !got.AckBy.Equal(b.now.Add(10 * time.Minute)) {
		t.Errorf("more severe, it waits until %s", got.AckBy)
	}
}

func TestAGraceHoldsSmallNewsToo(t *testing.T) {
	b := newBench()
	s := signal("drift", "k1", b.now)
	s.Grace = 20 * time.Minute
	first, _ := b.raise(t, s)
	b.OnChange = func(_ context.Context, c review.Change) {
		if c.News != 0 && c.CallAt.Before(first.CallsFrom) {
			t.Errorf("%s is told at %s, before %s", c.News.Word(), c.CallAt, first.CallsFrom)
		}
	}
	b.now = b.now.Add(time.Minute)
	b.raise(t, signal("drift", "k2", b.now))
}

// A review that was stored before reviews knew when they became unresolved.
func TestAReviewOfAnOlderKindGoesOn(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", b.now))
	b.store.rewrite("review/"+r.ID[:len(r.ID)-2], "r/1", "unresolvedSince")
	if got := b.stored(t, r.ID); !got.Unresolved.IsZero() {
		t.Fatal("the field is still there")
	}
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
		t.Fatalf("%d open reviews are found", len(open))
	}
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	if left := b.store.ids("index/reviews/open"); len(left) != 0 {
		t.Errorf("left on the shelf: %v", left)
	}
	b.now = b.now.Add(time.Hour)
	b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "ann"})
	if open := b.list(t, review.Filter{Unresolved: true}, 10); fmt.Sprint(ids(open)) != fmt.Sprint([]string{r.ID}) {
		t.Errorf("reopened, open are %v", ids(open))
	}
}

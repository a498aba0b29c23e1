package review_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Writers in several processes race on one cause; nothing is lost or doubled.
func TestConcurrentWritersOfOneCause(t *testing.T) {
	store := newMemory()
	var mu sync.Mutex
	opened := 0
	var wg sync.WaitGroup
	for process := range 4 {
		desk := review.NewDesk(store, func() time.Time { return t0 })
		desk.OnChange = func(_ context.Context, c review.Change) {
			mu.Lock()
			defer mu.Unlock()
			if c.From == "" {
				opened++
			}
		}
		for i := range 25 {
			wg.Go(func() {
				// Every key is raised by two processes.
				key := fmt.Sprint("k", process/2, "-", i)
				if _, _, err := desk.Raise(context.Background(), signal("drift", key, t0)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	desk := review.NewDesk(store, func() time.Time { return t0 })
	got, _, err := desk.List(t.Context(), review.Filter{}, "", 10)
	if err != nil || len(got) != 1 || got[0].Count != 50 || opened != 1 {
		t.Errorf("%d reviews, opened %d times: %+v, %v", len(got), opened, got, err)
	}
}

// A crash or fault at any commit, before or after it took effect, and a retry:
// the signal is filed once and its review is on the open shelf.
func TestFaultAtAnyCommitIsMadeGoodByTheRetry(t *testing.T) {
	for at := 1; at <= 4; at++ {
		for _, after := range []bool{false, true} {
			b := newBench()
			faults := map[int]bool{at: true}
			if after {
				b.store.failAfter = faults
			} else {
				b.store.failBefore = faults
			}
			s := signal("drift", "k1", t0)
			if _, _, err := b.Raise(t.Context(), s); !errors.Is(err, errFault) {
				t.Fatalf("commit %d: the fault was swallowed: %v", at, err)
			}
			b.now = t0.Add(time.Minute) // the retry comes later
			r, _ := b.raise(t, s)
			open := b.list(t, review.Filter{Unresolved: true}, 10)
			all := b.list(t, review.Filter{}, 10)
			if r.Count != 1 || !slices.Equal(ids(open), []string{r.ID}) || !slices.Equal(ids(all), []string{r.ID}) {
				t.Errorf("commit %d (after %t): count %d, open %v, all %v", at, after, r.Count, ids(open), ids(all))
			}
		}
	}
}

func TestStalePointersAreCleanedByReaders(t *testing.T) {
	b := newBench()
	b.store.failBefore = map[int]bool{4: true} // the review itself
	if _, _, err := b.Raise(t.Context(), signal("drift", "k1", t0)); err == nil {
		t.Fatal("the fault was swallowed")
	}
	b.list(t, review.Filter{Unresolved: true}, 10)
	if got := b.store.ids("index/reviews/open"); len(got) != 1 {
		t.Fatalf("a pointer whose review may still be coming was removed: %v", got)
	}
	b.now = t0.Add(25 * time.Hour)
	b.list(t, review.Filter{Unresolved: true}, 10)
	b.list(t, review.Filter{}, 10)
	if open, month := b.store.ids("index/reviews/open"), b.store.ids("index/reviews/2026-03"); len(open)+len(month) != 0 {
		t.Errorf("left behind: %v %v", open, month)
	}
}

// A crash between a resolution and its removal from the open shelf.
func TestResolvedReviewLeavesTheOpenShelfInTheEnd(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", t0))
	b.store.failBefore = map[int]bool{b.store.commits + 2: true} // the removal
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	if left := b.store.ids("index/reviews/open"); len(left) != 1 {
		t.Fatalf("the fault had no effect: %v", left)
	}
	if got := b.list(t, review.Filter{Unresolved: true}, 10); len(got) != 0 {
		t.Errorf("listed as open: %v", ids(got))
	}
	if left := b.store.ids("index/reviews/open"); len(left) != 0 {
		t.Errorf("the reader left it: %v", left)
	}
}

func TestDamagedRecordsAreReported(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", t0))
	digest, _, _ := strings.Cut(r.ID, "-")
	rec := b.store.partitions["review/"+digest]["r/1"]
	rec.Body = []byte("{")
	b.store.partitions["review/"+digest]["r/1"] = rec
	if _, err := b.Get(t.Context(), r.ID); err == nil || !strings.Contains(err.Error(), "r/1") {
		t.Errorf("got %v", err)
	}
	if _, _, err := b.List(t.Context(), review.Filter{}, "", 10); err == nil {
		t.Error("a listing hid it")
	}
}

func TestEndedContextEndsCalls(t *testing.T) {
	b := newBench()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Raise(ctx, signal("drift", "k1", t0)); !errors.Is(err, context.Canceled) {
		t.Errorf("raise: %v", err)
	}
	if _, _, err := b.List(ctx, review.Filter{}, "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
}

// Any mix of signals, passes and verbs leaves at most one unresolved review
// per cause, and the shelves tell the truth.
func TestAtMostOneUnresolvedReviewPerCause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		b.Rules = func() review.Rules { return review.Rules{ReopenWithin: 6 * time.Hour, HoldDown: time.Hour} }
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes")) * time.Minute)
			b.store.failBefore = map[int]bool{b.store.commits + rapid.IntRange(1, 12).Draw(t, "before"): true}
			b.store.failAfter = map[int]bool{b.store.commits + rapid.IntRange(1, 12).Draw(t, "after"): true}
			b.step(t, i)
		}
		b.store.failBefore, b.store.failAfter = nil, nil
		if err := b.tick(context.Background(), time.Minute); err != nil {
			t.Fatal(err)
		}
		items, _, err := b.List(context.Background(), review.Filter{}, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		open := map[string]int{}
		for _, r := range items {
			if r.State != review.Resolved {
				open[r.Cause]++
			}
		}
		shelf, _, err := b.List(context.Background(), review.Filter{Unresolved: true}, "", 1000)
		if err != nil || len(shelf) != len(open) {
			t.Fatalf("%d on the open shelf, %d unresolved: %v", len(shelf), len(open), err)
		}
		for cause, n := range open {
			if n > 1 {
				t.Fatalf("%d unresolved reviews of %s", n, cause)
			}
		}
		for _, r := range items {
			if due := r.Due(); r.State != review.Resolved && !due.IsZero() && !slices.ContainsFunc(b.asked[r.ID], due.Equal) {
				t.Fatalf("nobody looks at %s when it is due at %s", r.ID, due)
			}
		}
	})
}

// step does one random thing; injected faults are all that may go wrong.
func (b *bench) step(t *rapid.T, i int) {
	ctx := context.Background()
	cause := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cause")
	var err error
	switch rapid.IntRange(0, 8).Draw(t, "what") {
	case 0, 1:
		s := signal(cause, fmt.Sprint("k", i), b.now)
		s.AckWithin, s.Repeat = time.Hour, 1
		_, _, err = b.Raise(ctx, s)
	case 4:
		s := signal("data", fmt.Sprint("k", i), b.now)
		s.Part = cause
		_, _, err = b.Raise(ctx, s)
	case 5:
		err = b.Gather(ctx, "data", []review.Part{{Cause: cause, LastSignal: b.now}})
	case 7:
		_, err = b.Silence(ctx, review.Silence{By: "ann", Why: "known", Until: b.now.Add(3 * time.Hour), Match: review.Match{Cause: []string{cause}}})
	case 8:
		list, _, lerr := b.Silences(ctx, review.SilenceActive, "", 10)
		if lerr != nil {
			t.Fatal(lerr)
		}
		if len(list) > 0 {
			_, err = b.EndSilence(ctx, list[0].ID, "bob")
		}
	case 6:
		err = b.Remind(ctx, rapid.SampledFrom(b.reminders()).Draw(t, "reminder"))
	case 2:
		_, _, err = b.Pass(ctx, cause, review.Passing{Key: fmt.Sprint("p", i), At: b.now, Text: "passed"})
	default:
		items, _, lerr := b.List(ctx, review.Filter{}, "", 100)
		if lerr != nil {
			t.Fatal(lerr)
		}
		if len(items) > 0 {
			c := review.Command{Verb: rapid.SampledFrom(review.Verbs()).Draw(t, "verb"), By: "ann", Why: "x"}
			if c.Verb == review.Snooze {
				c.Until = b.now.Add(time.Hour)
			}
			_, err = b.Do(ctx, items[rapid.IntRange(0, len(items)-1).Draw(t, "which")].ID, c)
		}
	}
	var refused *review.TransitionError
	if err != nil && !errors.Is(err, errFault) && !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

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

var t0 = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// bench is a desk over memory with a clock that the test moves.
type bench struct {
	*review.Desk
	store *memory
	now   time.Time
}

func newBench() *bench {
	b := &bench{store: newMemory(), now: t0}
	b.Desk = review.NewDesk(b.store, func() time.Time { return b.now })
	return b
}

func signal(cause, key string, at time.Time) review.Signal {
	return review.Signal{
		Cause: cause, Key: key, At: at, Event: "e@" + key, Title: cause + " is wrong", Reason: "PSI 0.35 over 0.2",
		Severity: review.Warning, Asset: "monitor/ws/" + cause, Model: "model/ws/churn", Workspace: "ws", Policy: "p-" + cause,
	}
}

func (b *bench) raise(t *testing.T, s review.Signal) (review.Review, bool) {
	t.Helper()
	r, created, err := b.Raise(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r, created
}

func (b *bench) do(t *testing.T, id string, c review.Command) review.Review {
	t.Helper()
	r, err := b.Do(t.Context(), id, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) list(t *testing.T, f review.Filter, limit int) []review.Review {
	t.Helper()
	var out []review.Review
	cursor := ""
	for range 100 {
		items, next, err := b.List(t.Context(), f, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, items...); next == "" {
			return out
		}
		cursor = next
	}
	t.Fatal("the listing does not end")
	return nil
}

func ids(rs []review.Review) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.ID)
	}
	return out
}

func TestSignalsOfOneCauseShareAReview(t *testing.T) {
	b := newBench()
	first, created := b.raise(t, signal("drift", "k1", t0))
	if !created || first.State != review.Open || first.Count != 1 {
		t.Fatalf("first signal: created %t, %+v", created, first)
	}
	second, created := b.raise(t, signal("drift", "k2", t0.Add(time.Hour)))
	if created || second.ID != first.ID || second.Count != 2 || second.Signals[0].Key != "k2" {
		t.Errorf("second signal: created %t, %+v", created, second)
	}
	other, created := b.raise(t, signal("quality", "k3", t0))
	if !created || other.ID == first.ID {
		t.Errorf("another cause: created %t in %s", created, other.ID)
	}
}

func TestTheSameKeyIsNeverFiledTwice(t *testing.T) {
	b := newBench()
	first, _ := b.raise(t, signal("drift", "k1", t0))
	again, created := b.raise(t, signal("drift", "k1", t0))
	if created || again.ID != first.ID || again.Count != 1 {
		t.Fatalf("repeat: created %t, count %d", created, again.Count)
	}
	b.do(t, first.ID, review.Command{Verb: review.Resolve, By: "ann"})
	again, created = b.raise(t, signal("drift", "k1", t0))
	if created || again.ID != first.ID || again.State != review.Resolved {
		t.Errorf("repeat after the end: created %t, %s %s", created, again.ID, again.State)
	}
}

func TestSignalAfterTheEndOpensTheNextReview(t *testing.T) {
	b := newBench()
	first, _ := b.raise(t, signal("drift", "k1", t0))
	b.do(t, first.ID, review.Command{Verb: review.Resolve, By: "ann", Why: "retrained"})
	next, created := b.raise(t, signal("drift", "k2", t0.Add(time.Hour)))
	if !created || next.Previous != first.ID || !strings.HasSuffix(next.ID, "-2") {
		t.Fatalf("created %t, %s after %q", created, next.ID, next.Previous)
	}
	kept, err := b.Get(t.Context(), first.ID)
	if err != nil || kept.State != review.Resolved || kept.Resolution.Cause != "retrained" || kept.Resolution.Auto {
		t.Errorf("the first is now %+v, %v", kept, err)
	}
}

func TestPassResolvesWhatIsOlder(t *testing.T) {
	b := newBench()
	first, _ := b.raise(t, signal("drift", "k1", t0))
	if _, resolved, err := b.Pass(t.Context(), "drift", "p0", t0, "passed"); resolved || err != nil {
		t.Fatalf("a pass that is not newer resolved: %t, %v", resolved, err)
	}
	b.do(t, first.ID, review.Command{Verb: review.Ack, By: "ann"})
	r, resolved, err := b.Pass(t.Context(), "drift", "p1", t0.Add(time.Hour), "PSI 0.1")
	if err != nil || !resolved || r.State != review.Resolved || !r.Resolution.Auto || r.Resolution.Key != "p1" {
		t.Fatalf("pass: %t, %+v, %v", resolved, r, err)
	}
	if _, resolved, _ = b.Pass(t.Context(), "drift", "p1", t0.Add(time.Hour), "PSI 0.1"); resolved {
		t.Error("the same pass resolved twice")
	}
	if _, resolved, err = b.Pass(t.Context(), "never seen", "p2", t0, ""); resolved || err != nil {
		t.Errorf("a pass without a review: %t, %v", resolved, err)
	}
}

func TestLateSignalOfACauseThatPassedIsNobodysWork(t *testing.T) {
	b := newBench()
	if _, _, err := b.Pass(t.Context(), "drift", "p", t0.Add(time.Hour), "PSI 0.1"); err != nil {
		t.Fatal(err)
	}
	r, created := b.raise(t, signal("drift", "k1", t0))
	if !created || r.State != review.Resolved || !r.Resolution.Auto {
		t.Fatalf("created %t, %+v", created, r)
	}
	if open := b.store.ids("index/reviews/open"); len(open) != 0 {
		t.Errorf("still on the open shelf: %v", open)
	}
	if r, _ := b.raise(t, signal("drift", "k2", t0.Add(2*time.Hour))); r.State != review.Open {
		t.Errorf("a later signal is %s", r.State)
	}
}

// Order of arrival must not decide whether somebody is waited for.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		times := rapid.Permutation([]int{1, 2, 3, 4, 5, 6, 7, 8}).Draw(t, "times")
		lastSignal, lastPass := 0, 0
		for i, at := range times[:rapid.IntRange(1, 8).Draw(t, "n")] {
			when := t0.Add(time.Duration(at) * time.Hour)
			var err error
			if rapid.Bool().Draw(t, "pass") {
				_, _, err = b.Pass(context.Background(), "drift", fmt.Sprint("p", i), when, "passed")
				lastPass = max(lastPass, at)
			} else {
				_, _, err = b.Raise(context.Background(), signal("drift", fmt.Sprint("k", i), when))
				lastSignal = max(lastSignal, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		counts, err := b.OpenCounts(context.Background())
		want := 0
		if lastSignal > lastPass {
			want = 1
		}
		if err != nil || counts[review.Warning] != want {
			t.Fatalf("signal at %d, pass at %d: %d open, %v", lastSignal, lastPass, counts[review.Warning], err)
		}
	})
}

func TestRefusals(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", t0))
	if _, err := b.Do(t.Context(), r.ID, review.Command{Verb: review.Ack, By: "ann", Version: "old"}); !errors.Is(err, review.ErrStale) {
		t.Errorf("old version: %v", err)
	}
	if _, err := b.Do(t.Context(), r.ID, review.Command{Verb: review.Ack, By: "ann", Version: r.Version}); err != nil {
		t.Errorf("present version: %v", err)
	}
	for _, id := range []string{"nonsense", strings.TrimSuffix(r.ID, "1") + "2"} {
		if _, err := b.Get(t.Context(), id); !errors.Is(err, review.ErrNotFound) {
			t.Errorf("get %s: %v", id, err)
		}
		if _, err := b.Do(t.Context(), id, review.Command{Verb: review.Ack, By: "ann"}); !errors.Is(err, review.ErrNotFound) {
			t.Errorf("do %s: %v", id, err)
		}
	}
	bad := signal("drift", "k2", t0)
	bad.Severity = "apocalyptic"
	for name, s := range map[string]review.Signal{
		"no cause": {Key: "k", At: t0}, "no key": {Cause: "c", At: t0}, "no time": {Cause: "c", Key: "k"},
		"long key": signal("c", strings.Repeat("k", 500), t0), "severity": bad,
	} {
		if _, _, err := b.Raise(t.Context(), s); !errors.Is(err, review.ErrSignal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListFiltersAndPages(t *testing.T) {
	b := newBench()
	want := map[string]review.Review{}
	for i := range 17 { // over three months
		b.now = t0.Add(time.Duration(i) * 5 * 24 * time.Hour)
		s := signal(fmt.Sprintf("c%02d", i), fmt.Sprint("k", i), b.now)
		s.Severity = review.Severities()[i%4]
		r, _ := b.raise(t, s)
		if i%3 == 0 {
			r = b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
		} else if i%5 == 0 {
			r = b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
		}
		want[r.ID] = r
	}
	for name, f := range map[string]review.Filter{
		"all": {}, "open": {State: review.Open}, "resolved": {State: review.Resolved},
		"acknowledged": {State: review.Acknowledged}, "unresolved": {Unresolved: true},
		"asset": {Asset: "monitor/ws/c04"}, "model": {Asset: "model/ws/churn"}, "policy": {Policy: "p-c07"},
		"critical":        {Severity: review.Critical},
		"since":           {Since: t0.Add(40 * 24 * time.Hour)},
		"until":           {Until: t0.Add(40 * 24 * time.Hour)},
		"both":            {Since: t0.Add(10 * 24 * time.Hour), Until: t0.Add(60 * 24 * time.Hour)},
		"both and open":   {Unresolved: true, Since: t0.Add(10 * 24 * time.Hour), Until: t0.Add(60 * 24 * time.Hour)},
		"a contradiction": {State: review.Resolved, Unresolved: true},
	} {
		var expected []review.Review
		for _, r := range want {
			if selects(f, r) {
				expected = append(expected, r)
			}
		}
		slices.SortFunc(expected, func(a, b review.Review) int { return b.Opened.Compare(a.Opened) })
		for _, limit := range []int{1, 4, 5, 1000} {
			if got := ids(b.list(t, f, limit)); !slices.Equal(got, ids(expected)) {
				t.Errorf("%s by %d:\n got %v\nwant %v", name, limit, got, ids(expected))
			}
		}
	}
}

// selects says independently of the desk what a filter means.
func selects(f review.Filter, r review.Review) bool {
	ok := f.State == "" || f.State == r.State
	ok = ok && !(f.Unresolved && r.State == review.Resolved)
	ok = ok && (f.Asset == "" || f.Asset == r.Assets[0] || f.Asset == r.Model)
	ok = ok && (f.Severity == "" || f.Severity == r.Severity)
	ok = ok && (f.Policy == "" || f.Policy == r.Policies[0])
	ok = ok && (f.Since.IsZero() || !r.Opened.Before(f.Since))
	return ok && (f.Until.IsZero() || r.Opened.Before(f.Until))
}

func TestForeignCursorsAreRefused(t *testing.T) {
	b := newBench()
	for i := range 3 {
		b.raise(t, signal(fmt.Sprint("c", i), fmt.Sprint("k", i), t0))
	}
	_, open, err := b.List(t.Context(), review.Filter{Unresolved: true}, "", 1)
	if err != nil || open == "" {
		t.Fatalf("no cursor: %v", err)
	}
	for _, cursor := range []string{"%%%", "bm90IG9uZQ", open} {
		if _, _, err := b.List(t.Context(), review.Filter{}, cursor, 1); !errors.Is(err, review.ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

func TestSnoozedReviewReadsAsOpenWhenItsTimeIsUp(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", t0))
	b.do(t, r.ID, review.Command{Verb: review.Snooze, By: "ann", Until: t0.Add(time.Hour)})
	if got := b.list(t, review.Filter{State: review.Open}, 10); len(got) != 0 {
		t.Fatalf("asleep and open: %v", ids(got))
	}
	b.now = t0.Add(time.Hour)
	if got := b.list(t, review.Filter{State: review.Open}, 10); len(got) != 1 {
		t.Errorf("awake, but not listed")
	}
	if got, _ := b.Get(t.Context(), r.ID); got.State != review.Open {
		t.Errorf("awake, but %s", got.State)
	}
}

func TestCountsByPresentSeverity(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("a", "k1", t0))
	worse := signal("b", "k2", t0)
	worse.Severity = review.Critical
	b.raise(t, worse)
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
	counts, err := b.OpenCounts(t.Context())
	if err != nil || counts[review.Warning] != 1 || counts[review.Critical] != 1 || len(counts) != 4 {
		t.Fatalf("%v, %v", counts, err)
	}
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	if counts, _ = b.OpenCounts(t.Context()); counts[review.Warning] != 0 {
		t.Errorf("after resolving: %v", counts)
	}
}

func TestHookHearsEveryChangeOnce(t *testing.T) {
	b := newBench()
	var heard []string
	b.OnChange = func(_ context.Context, c review.Change) {
		line := fmt.Sprintf("%s→%s", c.From, c.Review.State)
		if d, ok := c.AckDelay(); ok {
			line += " after " + d.String()
		}
		heard = append(heard, line)
	}
	r, _ := b.raise(t, signal("drift", "k1", t0))
	b.raise(t, signal("drift", "k1", t0))
	b.raise(t, signal("drift", "k2", t0))
	b.now = t0.Add(90 * time.Second)
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "bob"})
	if _, _, err := b.Pass(t.Context(), "drift", "p", t0.Add(time.Hour), "passed"); err != nil {
		t.Fatal(err)
	}
	want := []string{"→open", "open→open", "open→acknowledged after 1m30s", "acknowledged→resolved"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

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
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes")) * time.Minute)
			b.store.failBefore = map[int]bool{b.store.commits + rapid.IntRange(1, 12).Draw(t, "before"): true}
			b.store.failAfter = map[int]bool{b.store.commits + rapid.IntRange(1, 12).Draw(t, "after"): true}
			b.step(t, i)
		}
		b.store.failBefore, b.store.failAfter = nil, nil
		b.now = b.now.Add(time.Minute)
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
	})
}

// step does one random thing; injected faults are all that may go wrong.
func (b *bench) step(t *rapid.T, i int) {
	ctx := context.Background()
	cause := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cause")
	var err error
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0, 1:
		_, _, err = b.Raise(ctx, signal(cause, fmt.Sprint("k", i), b.now))
	case 2:
		_, _, err = b.Pass(ctx, cause, fmt.Sprint("p", i), b.now, "passed")
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

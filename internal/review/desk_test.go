package review_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	// asked are the times that somebody is to look at something.
	asked map[string][]time.Time
}

func newBench() *bench {
	b := &bench{store: newMemory(), now: t0, asked: map[string][]time.Time{}}
	b.Desk = review.NewDesk(b.store, func() time.Time { return b.now })
	b.Later = func(_ context.Context, id string, at time.Time) error {
		b.asked[id] = append(b.asked[id], at)
		return nil
	}
	return b
}

// reminders are the ids that somebody is to look at, sorted.
func (b *bench) reminders() []string {
	return append(slices.Sorted(maps.Keys(b.asked)), "nothing")
}

// tick lets time pass and looks at whatever it is time to look at.
func (b *bench) tick(ctx context.Context, by time.Duration) error {
	b.now = b.now.Add(by)
	for range 20 {
		for _, id := range b.reminders() {
			if slices.ContainsFunc(b.asked[id], func(at time.Time) bool { return !at.After(b.now) }) {
				if err := b.Remind(ctx, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
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
	if _, resolved, err := b.Pass(t.Context(), "drift", review.Passing{Key: "p0", At: t0, Text: "passed"}); resolved || err != nil {
		t.Fatalf("a pass that is not newer resolved: %t, %v", resolved, err)
	}
	b.do(t, first.ID, review.Command{Verb: review.Ack, By: "ann"})
	r, resolved, err := b.Pass(t.Context(), "drift", review.Passing{Key: "p1", At: t0.Add(time.Hour), Text: "PSI 0.1"})
	if err != nil || !resolved || r.State != review.Resolved || !r.Resolution.Auto || r.Resolution.Key != "p1" {
		t.Fatalf("pass: %t, %+v, %v", resolved, r, err)
	}
	if _, resolved, _ = b.Pass(t.Context(), "drift", review.Passing{Key: "p1", At: t0.Add(time.Hour), Text: "PSI 0.1"}); resolved {
		t.Error("the same pass resolved twice")
	}
	if _, resolved, err = b.Pass(t.Context(), "never seen", review.Passing{Key: "p2", At: t0, Text: ""}); resolved || err != nil {
		t.Errorf("a pass without a review: %t, %v", resolved, err)
	}
}

func TestLateSignalOfACauseThatPassedIsNobodysWork(t *testing.T) {
	b := newBench()
	if _, _, err := b.Pass(t.Context(), "drift", review.Passing{Key: "p", At: t0.Add(time.Hour), Text: "PSI 0.1"}); err != nil {
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
				_, _, err = b.Pass(context.Background(), "drift", review.Passing{Key: fmt.Sprint("p", i), At: when, Text: "passed"})
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
	if _, _, err := b.Pass(t.Context(), "drift", review.Passing{Key: "p", At: t0.Add(time.Hour), Text: "passed"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"→open", "open→open", "open→acknowledged after 1m30s", "acknowledged→resolved"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func TestAWindowWithASignalDidNotPass(t *testing.T) {
	at := t0.Add(time.Hour)
	sig := signal("drift", "k1", t0)
	sig.Window = "w1"
	for name, order := range map[string][2]string{"signal first": {"raise", "pass"}, "pass first": {"pass", "raise"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			for _, step := range order {
				if step == "raise" {
					b.raise(t, sig)
				} else if _, _, err := b.Pass(t.Context(), "drift", review.Passing{Key: "p", At: at, Window: "w1"}); err != nil {
					t.Fatal(err)
				}
			}
			open, _, err := b.List(t.Context(), review.Filter{Unresolved: true}, "", 10)
			if err != nil || len(open) != 1 {
				t.Errorf("%d open reviews of a window that did not pass (%v)", len(open), err)
			}
		})
	}
}

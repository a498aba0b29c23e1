package review_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// flapping is a bench with rules for causes that come and go.
func flapping() *bench {
	b := newBench()
	b.Rules = func() review.Rules { return review.Rules{ReopenWithin: 6 * time.Hour, HoldDown: time.Hour} }
	return b
}

func (b *bench) passes(t *testing.T, cause string, at time.Time) {
	t.Helper()
	if _, _, err := b.Pass(t.Context(), cause, review.Passing{Key: "pass-" + at.String(), At: at, Text: "back to normal"}); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) wait(t *testing.T, by time.Duration) {
	t.Helper()
	if err := b.tick(t.Context(), by); err != nil {
		t.Fatal(err)
	}
}

// stored is the review as it is kept, without what time brings to a reader.
func (b *bench) stored(t *testing.T, id string) review.Review {
	t.Helper()
	now := b.now
	b.now = time.Time{}
	defer func() { b.now = now }()
	r, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reopened is a review that was resolved by itself and came back an hour later.
func (b *bench) reopened(t *testing.T) review.Review {
	t.Helper()
	first, _ := b.raise(t, signal("drift", "k1", b.now))
	b.wait(t, time.Hour)
	b.passes(t, "drift", b.now)
	b.wait(t, time.Hour)
	s := signal("drift", "k2", b.now)
	s.AckWithin, s.Chain = 30*time.Minute, []review.Rung{{Target: "second"}, {Target: "third"}, {Target: "boss"}}
	again, created := b.raise(t, s)
	if created || again.ID != first.ID || again.State != review.Open || again.Reopened != 1 {
		t.Fatalf("back after an hour: created %t, %s is %s, reopened %d times", created, again.ID, again.State, again.Reopened)
	}
	return again
}

func TestACauseThatComesBackSoonReopensItsReview(t *testing.T) {
	for after, want := range map[time.Duration]bool{time.Minute: true, 6 * time.Hour: true, 6*time.Hour + time.Second: false} {
		b := flapping()
		first, _ := b.raise(t, signal("drift", "k1", b.now))
		b.wait(t, time.Hour)
		b.passes(t, "drift", b.now)
		b.wait(t, after)
		again, created := b.raise(t, signal("drift", "k2", b.now))
		if (again.ID == first.ID) != want || created == want || again.State != review.Open {
			t.Errorf("back after %s: created %t, %s", after, created, again.ID)
		}
		if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
			t.Errorf("back after %s: %v are open", after, ids(open))
		}
	}
}

func TestWithoutATimeToReopenNothingReopens(t *testing.T) {
	b := newBench()
	first, _ := b.raise(t, signal("drift", "k1", b.now))
	b.now = b.now.Add(time.Hour)
	b.passes(t, "drift", b.now.Add(-time.Minute))
	if again, created := b.raise(t, signal("drift", "k2", b.now)); !created || again.ID == first.ID {
		t.Errorf("reopened %s within no time at all", again.ID)
	}
}

func TestWhatAPersonResolvedStaysSo(t *testing.T) {
	b := flapping()
	first, _ := b.raise(t, signal("drift", "k1", b.now))
	b.do(t, first.ID, review.Command{Verb: review.Resolve, By: "ann"})
	b.wait(t, time.Minute)
	next, created := b.raise(t, signal("drift", "k2", b.now))
	if !created || next.Previous != first.ID {
		t.Errorf("created %t, %s after %q", created, next.ID, next.Previous)
	}
}

func TestALateSignalOfWhatPassedReopensNothing(t *testing.T) {
	b := flapping()
	first, _ := b.raise(t, signal("drift", "k1", b.now))
	b.wait(t, time.Hour)
	b.passes(t, "drift", b.now)
	b.wait(t, time.Hour)
	b.passes(t, "drift", b.now) // the next window is as good
	b.wait(t, time.Minute)
	late, _ := b.raise(t, signal("drift", "k2", t0.Add(90*time.Minute)))
	if late.State != review.Resolved {
		t.Errorf("a signal from between two passes left %s %s", late.ID, late.State)
	}
	if kept, _ := b.Get(t.Context(), first.ID); kept.Reopened != 0 {
		t.Error("it reopened its review for what is past")
	}
}

func TestAfterItCameBackAReviewWaitsBeforeItResolves(t *testing.T) {
	b := flapping()
	r := b.reopened(t)
	b.wait(t, 10*time.Minute)
	b.passes(t, "drift", b.now)
	b.wait(t, 59*time.Minute)
	if held := b.stored(t, r.ID); held.State != review.Open || !held.Escalated.IsZero() {
		t.Fatalf("while it waits it is %s, escalated at %s", held.State, held.Escalated)
	}
	b.wait(t, time.Minute)
	if over := b.stored(t, r.ID); over.State != review.Resolved || !over.Resolution.Auto || !over.ResolvedAt.Equal(b.now) {
		t.Errorf("after it stayed away: %s, %+v", over.State, over.Resolution)
	}
}

// The deadlines that passed while the cause was away are not made up for: one
// step is due, not the whole chain.
func TestACauseThatIsBackDuringItsHoldDownCallsOneStep(t *testing.T) {
	b := flapping()
	r := b.reopened(t)
	b.wait(t, time.Minute)
	b.passes(t, "drift", b.now)
	b.wait(t, 58*time.Minute)
	b.raise(t, signal("drift", "k3", b.now))
	b.wait(t, time.Minute)
	got := b.stored(t, r.ID)
	if got.Pending != nil || got.State != review.Open || got.Level != 1 || got.Escalated.Before(t0.Add(2*time.Hour+59*time.Minute)) {
		t.Errorf("pending %v, level %d, escalated at %s", got.Pending, got.Level, got.Escalated)
	}
	b.wait(t, 30*time.Minute)
	if got = b.stored(t, r.ID); got.Level != 2 {
		t.Errorf("half an hour later it is at step %d", got.Level)
	}
}

func TestASignalFromBeforeThePassDoesNotEndTheHoldDown(t *testing.T) {
	b := flapping()
	r := b.reopened(t)
	b.wait(t, 10*time.Minute)
	b.passes(t, "drift", b.now)
	b.wait(t, 10*time.Minute)
	b.raise(t, signal("drift", "k3", b.now.Add(-15*time.Minute)))
	if got := b.stored(t, r.ID); got.Pending == nil {
		t.Error("a late signal ended the wait")
	}
	b.raise(t, signal("drift", "k4", b.now))
	if got := b.stored(t, r.ID); got.Pending != nil || !got.ResolveAt.IsZero() {
		t.Error("a new signal did not")
	}
}

// The signal comes when the wait is over and nobody has looked yet.
func TestASignalRightAfterAHoldDownReopensToo(t *testing.T) {
	b := flapping()
	r := b.reopened(t)
	b.wait(t, 10*time.Minute)
	b.passes(t, "drift", b.now)
	var heard []string
	b.OnChange = recorder(&heard)
	b.now = b.now.Add(61 * time.Minute)
	again, created := b.raise(t, signal("drift", "k3", b.now))
	if created || again.ID != r.ID || again.Reopened != 2 {
		t.Errorf("created %t, %s, reopened %d times", created, again.ID, again.Reopened)
	}
	if !slices.Equal(heard, []string{"resolved", "reopened"}) {
		t.Errorf("told %q", heard)
	}
}

// A reader must not take the pointer away that a reopening just placed.
func TestAReaderBetweenAReopeningsTwoWritesLosesNothing(t *testing.T) {
	b := flapping()
	b.raise(t, signal("drift", "k1", b.now))
	b.wait(t, time.Hour)
	b.passes(t, "drift", b.now)
	b.wait(t, time.Hour)
	b.Alongside = func(context.Context, string, review.Change) ([]lineage.Change, func(context.Context), error) {
		if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 0 {
			t.Errorf("listed before it is open: %v", ids(open))
		}
		return nil, func(context.Context) {}, nil
	}
	b.raise(t, signal("drift", "k2", b.now))
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
		t.Errorf("%d open reviews are found", len(open))
	}
}

func TestReopenIsRefusedWhereItWouldMakeTwo(t *testing.T) {
	b := flapping()
	first, _ := b.raise(t, signal("drift", "k1", b.now))
	b.do(t, first.ID, review.Command{Verb: review.Resolve, By: "ann"})
	second, _ := b.raise(t, signal("drift", "k2", b.now))
	if _, err := b.Do(t.Context(), first.ID, review.Command{Verb: review.Reopen, By: "ann"}); !isRefusal(err) {
		t.Errorf("the older of two: %v", err)
	}
	s := signal("data", "k3", b.now)
	s.Part = "drift"
	b.raise(t, s)
	if got := b.stored(t, second.ID); got.State != review.Resolved || got.Joined == "" {
		t.Fatalf("what joined another is %s", got.State)
	}
	if _, err := b.Do(t.Context(), second.ID, review.Command{Verb: review.Reopen, By: "ann"}); !isRefusal(err) {
		t.Errorf("one that joined another: %v", err)
	}
}

func TestReopenTakesAResolutionBack(t *testing.T) {
	b := flapping()
	s := signal("drift", "k1", b.now)
	s.AckWithin = time.Hour
	r, _ := b.raise(t, s)
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	b.now = b.now.Add(time.Minute)
	r = b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "bob", Why: "it is not over"})
	if r.State != review.Open || r.Resolution != nil || !r.AckBy.Equal(b.now.Add(time.Hour)) {
		t.Errorf("reopened: %s, %+v, by %s", r.State, r.Resolution, r.AckBy)
	}
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
		t.Errorf("%d open reviews are found", len(open))
	}
}

func TestAReviewOfSeveralCausesResolvesWithTheLast(t *testing.T) {
	b := newBench()
	for i, part := range []string{"drift a", "drift b"} {
		s := signal("data", fmt.Sprint("k", i), b.now)
		s.Part = part
		b.raise(t, s)
	}
	b.wait(t, time.Hour)
	b.passes(t, "drift a", b.now)
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
		t.Fatalf("one of two passed, %d are open", len(open))
	}
	again := signal("drift a", "k9", b.now.Add(time.Minute))
	if r, created := b.raise(t, again); created || r.Cause != "data" {
		t.Errorf("a later signal of a part went to %s, created %t", r.Cause, created)
	}
	b.passes(t, "drift b", b.now.Add(2*time.Minute))
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 {
		t.Fatalf("one signals again, %d are open", len(open))
	}
	b.passes(t, "drift a", b.now.Add(3*time.Minute))
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 0 {
		t.Errorf("all passed, %v are open", ids(open))
	}
}

func TestAKeyFiledInAJoinedReviewIsNotFiledAgain(t *testing.T) {
	b := newBench()
	s := signal("data", "k1", b.now)
	s.Part = "drift"
	into, _ := b.raise(t, s)
	b.raise(t, signal("drift", "k2", b.now))
	b.do(t, into.ID, review.Command{Verb: review.Resolve, By: "ann"})
	if r, created := b.raise(t, signal("drift", "k2", b.now)); created || r.ID != into.ID {
		t.Errorf("the repeat opened %s", r.ID)
	}
}

func TestGatherJoinsOnceAndHarmsNothing(t *testing.T) {
	b := newBench()
	into, _ := b.raise(t, signal("data", "k1", b.now))
	own, _ := b.raise(t, signal("drift", "k2", b.now))
	parts := []review.Part{{Cause: "drift", LastSignal: b.now}}
	for range 2 {
		if err := b.Gather(t.Context(), "data", parts); err != nil {
			t.Fatal(err)
		}
	}
	got, child := b.stored(t, into.ID), b.stored(t, own.ID)
	if len(got.Parts) != 1 || got.Rev != 2 || child.State != review.Resolved || child.Joined != into.ID {
		t.Errorf("parts %v in revision %d; its own is %s, in %q", got.Parts, got.Rev, child.State, child.Joined)
	}
}

func TestGatheringTooManyAgainChangesNothing(t *testing.T) {
	b := newBench()
	into, _ := b.raise(t, signal("data", "k1", b.now))
	var parts []review.Part
	for i := range review.MaxParts + 10 {
		parts = append(parts, review.Part{Cause: fmt.Sprint("drift ", i), LastSignal: b.now})
	}
	revs := [2]int{}
	for i := range revs {
		if err := b.Gather(t.Context(), "data", parts); err != nil {
			t.Fatal(err)
		}
		revs[i] = b.stored(t, into.ID).Rev
	}
	got := b.stored(t, into.ID)
	if revs[0] != revs[1] || len(got.Parts) != review.MaxParts || got.PartsDropped == 0 {
		t.Errorf("revisions %v, %d parts and %d dropped", revs, len(got.Parts), got.PartsDropped)
	}
}

// A hold-down that ended unobserved and a person who reopens are one commit; the
// review is then listed as open.
func TestReopeningAtTheEndOfAHoldDownListsTheReview(t *testing.T) {
	b := flapping()
	r := b.reopened(t)
	b.now = b.now.Add(time.Hour)
	b.passes(t, "drift", b.now)
	b.now = b.now.Add(2 * time.Hour) // and nobody looked
	if got := b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "ann"}); got.State != review.Open {
		t.Fatalf("it is %s", got.State)
	}
	for range 2 { // a reader takes away what stands there for nothing
		if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 1 || open[0].ID != r.ID {
			t.Fatalf("listed as open: %v", ids(open))
		}
	}
}

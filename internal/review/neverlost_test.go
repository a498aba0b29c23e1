package review_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Whatever happened, with faults at any commit and a new process after any step:
// once only reminders run, and those late, everything open has been escalated to
// its end, and of each cause at most one stored review is not resolved.
func TestNoSequenceLosesAnEscalation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := flapping()
		for i := range rapid.IntRange(1, 25).Draw(t, "steps") {
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "minutes")) * time.Minute)
			b.store.failBefore = map[int]bool{b.store.commits + rapid.IntRange(1, 40).Draw(t, "before"): true}
			b.store.failAfter = map[int]bool{b.store.commits + rapid.IntRange(1, 40).Draw(t, "after"): true}
			b.step(t, i)
			b.store.failBefore, b.store.failAfter = nil, nil
			if rapid.Bool().Draw(t, "restart") {
				b.restart()
			}
			b.oneOfACause(t)
		}
		// Longer than any snooze and silence of the steps, and the chain after it.
		for range 10 {
			if err := b.tick(context.Background(), time.Duration(rapid.IntRange(60, 300).Draw(t, "late"))*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range b.kept(t) {
			waits := r.State == review.Open && r.AckWithin > 0
			if waits && (r.Escalated.IsZero() || !r.AckBy.IsZero() || r.Round != r.Repeat) || r.State == review.Snoozed || r.Silence != nil || r.Pending != nil {
				t.Fatalf("it waits for nothing: %+v", r)
			}
		}
	})
}

// kept are all reviews as they are stored, without what time brings to a reader.
func (b *bench) kept(t *rapid.T) []review.Review {
	ctx, now := context.Background(), b.now
	listed, _, err := b.List(ctx, review.Filter{}, "", 200)
	if err != nil {
		t.Fatal(err)
	}
	b.now = time.Time{}
	defer func() { b.now = now }()
	for i := range listed {
		if listed[i], err = b.Get(ctx, listed[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	return listed
}

func (b *bench) oneOfACause(t *rapid.T) {
	open := map[string]string{}
	for _, r := range b.kept(t) {
		if r.State == review.Resolved {
			continue
		}
		if other := open[r.Cause]; other != "" {
			t.Fatalf("%s and %s are both of %s, and neither is resolved", other, r.ID, r.Cause)
		}
		open[r.Cause] = r.ID
	}
}

package review_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

func (b *bench) silence(t *testing.T, from, until time.Time) review.Silence {
	t.Helper()
	s, err := b.Silence(t.Context(), review.Silence{By: "ann", Why: "we know", From: from, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	b.wait(t, 0)
	return s
}

func TestASilenceComesGoesAndCalls(t *testing.T) {
	b := newBench()
	var heard []string
	b.OnChange = recorder(&heard)
	r, _ := b.raise(t, chained("k1", b.now))
	s := b.silence(t, b.now.Add(5*time.Minute), b.now.Add(time.Hour))
	states := []string{s.State(b.now)}
	b.wait(t, 5*time.Minute)
	if got := b.stored(t, r.ID); got.Silence == nil || !got.AckBy.IsZero() {
		t.Fatal("the silence did not reach a review that was there before it")
	}
	states = append(states, s.State(b.now))
	b.wait(t, 54*time.Minute)
	if got := b.stored(t, r.ID); !got.Escalated.IsZero() {
		t.Error("it escalated while silenced")
	}
	b.wait(t, time.Minute)
	states = append(states, s.State(b.now))
	if want := []string{review.SilencePending, review.SilenceActive, review.SilenceExpired}; !slices.Equal(states, want) {
		t.Errorf("it went through %q", states)
	}
	got := b.stored(t, r.ID)
	if got.Silence != nil || !got.AckBy.Equal(b.now.Add(10*time.Minute)) || !slices.Equal(heard, []string{"opened", "silenced", "open again"}) {
		t.Errorf("after it: %+v, acknowledge by %s, told %q", got.Silence, got.AckBy, heard)
	}
}

func TestASilenceThatIsEndedEarlyCallsAtOnce(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	s := b.silence(t, time.Time{}, b.now.Add(10*time.Hour))
	b.wait(t, time.Hour)
	if _, err := b.EndSilence(t.Context(), s.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, 0)
	got := b.stored(t, r.ID)
	if got.Silence != nil || got.AckBy.IsZero() {
		t.Errorf("ended, it still holds: %+v", got.Silence)
	}
	if again, err := b.EndSilence(t.Context(), s.ID, "eve"); err != nil || again.EndedBy != "bob" {
		t.Errorf("ended twice: by %s, %v", again.EndedBy, err)
	}
	list, _, err := b.Silences(t.Context(), review.SilenceExpired, "", 10)
	if err != nil || len(list) != 1 {
		t.Errorf("%d are over, %v", len(list), err)
	}
}

func TestOfTwoSilencesTheLaterEndHolds(t *testing.T) {
	b := newBench()
	var heard []string
	b.OnChange = recorder(&heard)
	r, _ := b.raise(t, chained("k1", b.now))
	b.silence(t, time.Time{}, b.now.Add(time.Hour))
	second := b.silence(t, time.Time{}, b.now.Add(2*time.Hour))
	b.wait(t, time.Hour)
	if got := b.stored(t, r.ID); got.Silence == nil || got.Silence.ID != second.ID {
		t.Fatalf("after the first ended: %+v", got.Silence)
	}
	b.wait(t, time.Hour)
	if got := b.stored(t, r.ID); got.Silence != nil || !slices.Equal(heard, []string{"opened", "silenced", "open again"}) {
		t.Errorf("after both: %+v, told %q", got.Silence, heard)
	}
}

func TestOfTwoSilencesOneEndedByHandLeavesTheOther(t *testing.T) {
	b := newBench()
	var heard []string
	r, _ := b.raise(t, chained("k1", b.now))
	b.OnChange = recorder(&heard)
	first := b.silence(t, time.Time{}, b.now.Add(2*time.Hour))
	second := b.silence(t, time.Time{}, b.now.Add(time.Hour))
	if _, err := b.EndSilence(t.Context(), first.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	b.wait(t, 0)
	if got := b.stored(t, r.ID); got.Silence == nil || got.Silence.ID != second.ID || !slices.Equal(heard, []string{"silenced"}) {
		t.Errorf("held by %+v, told %q", got.Silence, heard)
	}
}

func TestAnEarlyReminderOfASilenceIsNotLost(t *testing.T) {
	b := newBench()
	s := b.silence(t, b.now.Add(time.Hour), b.now.Add(2*time.Hour))
	b.now = s.From.Add(-10 * time.Second)
	if err := b.Remind(t.Context(), "silence:"+s.ID); err != nil {
		t.Fatal(err)
	}
	if last := slices.MaxFunc(b.asked["silence:"+s.ID], time.Time.Compare); !last.After(s.From) {
		t.Errorf("looked at for the last time at %s, it begins at %s", last, s.From)
	}
}

// planned is maintenance that holds from one hour after t0 to the next.
func planned(now time.Time) []review.Silence {
	from, until := t0.Add(time.Hour), t0.Add(2*time.Hour)
	if now.Before(from) || !now.Before(until) {
		return nil
	}
	return []review.Silence{{ID: "maintenance-night", By: "maintenance night", Why: "maintenance", From: from, Until: until}}
}

func TestPlannedMaintenanceHoldsAndEnds(t *testing.T) {
	b := newBench()
	b.Standing = planned
	before := signal("before", "k1", b.now)
	before.AckWithin = 65 * time.Minute
	old, _ := b.raise(t, before)
	b.wait(t, 61*time.Minute)
	during, _ := b.raise(t, chained("k2", b.now))
	if during.Silence == nil || !during.AckBy.IsZero() {
		t.Errorf("a review that opens within is not held: %+v", during.Silence)
	}
	b.wait(t, 30*time.Minute)
	if got := b.stored(t, old.ID); got.Silence == nil || !got.Escalated.IsZero() {
		t.Errorf("one from before escalated at %s", got.Escalated)
	}
	b.wait(t, 29*time.Minute)
	for _, id := range []string{old.ID, during.ID} {
		if got := b.stored(t, id); got.Silence != nil || got.AckBy.IsZero() {
			t.Errorf("%s after it: %+v, acknowledge by %s", id, got.Silence, got.AckBy)
		}
	}
}

func TestWhatIsReopenedWithinASilenceIsSilenced(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	b.silence(t, time.Time{}, b.now.Add(time.Hour))
	b.now = b.now.Add(time.Minute)
	if got := b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "ann"}); got.Silence == nil || !got.AckBy.IsZero() {
		t.Errorf("it calls by %s", got.AckBy)
	}
}

func TestSilencesThatMakeNoSense(t *testing.T) {
	b := newBench()
	for name, s := range map[string]review.Silence{
		"nobody": {Why: "x", Until: t0.Add(time.Hour)}, "no reason": {By: "ann", Until: t0.Add(time.Hour)},
		"past": {By: "ann", Why: "x", Until: t0}, "for ever": {By: "ann", Why: "x", Until: t0.Add(review.MaxSilence + time.Hour)},
		"backwards": {By: "ann", Why: "x", From: t0.Add(2 * time.Hour), Until: t0.Add(time.Hour)},
	} {
		if _, err := b.Silence(t.Context(), s); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestTwoWhoEndASilenceAtOnceBothSucceed(t *testing.T) {
	b := newBench()
	s := b.silence(t, time.Time{}, b.now.Add(time.Hour))
	later, other := b.Later, review.NewDesk(b.store, func() time.Time { return b.now })
	b.Later = func(ctx context.Context, id string, at time.Time) error {
		b.Later = later // the other comes between the reading and the writing
		_, err := other.EndSilence(ctx, s.ID, "eve")
		return errors.Join(err, later(ctx, id, at))
	}
	if got, err := b.EndSilence(t.Context(), s.ID, "bob"); err != nil || got.EndedBy != "eve" {
		t.Errorf("ended by %s, %v", got.EndedBy, err)
	}
}

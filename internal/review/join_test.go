package review_test

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// shared raises a signal of a part of the common cause "data".
func shared(t *testing.T, b *bench, part string, at time.Time) review.Review {
	t.Helper()
	s := signal("data", "k-"+part+at.String(), at)
	s.Part = part
	r, _, err := b.Raise(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) state(t *testing.T, id string) review.State {
	t.Helper()
	r, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

func TestAPassThatIsKnownAlreadyCountsForAPart(t *testing.T) {
	b := newBench()
	b.passes(t, "m1", t0.Add(time.Hour))
	r := shared(t, b, "m1", t0)
	if got := b.state(t, r.ID); got != review.Resolved {
		t.Errorf("the part passed after its signal, and the review is %s", got)
	}
	b = newBench()
	r = shared(t, b, "m1", t0)
	b.passes(t, "m2", t0.Add(time.Hour))
	if err := b.Gather(t.Context(), "data", []review.Part{{Cause: "m2", LastSignal: t0}}); err != nil {
		t.Fatal(err)
	}
	b.passes(t, "m1", t0.Add(time.Hour))
	if got := b.state(t, r.ID); got != review.Resolved {
		t.Errorf("both parts passed, one before it was gathered, and the review is %s", got)
	}
}

func TestThePartsPassInAnyOrder(t *testing.T) {
	for _, first := range []string{"m1", "m2"} {
		b := newBench()
		shared(t, b, "m1", t0)
		r := shared(t, b, "m2", t0.Add(10*time.Minute))
		at := map[string]time.Time{"m1": t0.Add(5 * time.Minute), "m2": t0.Add(20 * time.Minute)}
		second := map[string]string{"m1": "m2", "m2": "m1"}[first]
		b.passes(t, first, at[first])
		b.passes(t, second, at[second])
		if got := b.state(t, r.ID); got != review.Resolved {
			t.Errorf("%s passed first, and the review is %s", first, got)
		}
	}
}

func TestWhatCantWaitEndsTheGrace(t *testing.T) {
	b := newBench()
	s := signal("m1", "k1", t0)
	s.Grace = time.Minute
	if r, _, err := b.Raise(t.Context(), s); err != nil || r.CallsFrom.IsZero() {
		t.Fatal(r.CallsFrom, err)
	}
	s = signal("m1", "k2", t0)
	s.Severity = review.Critical
	if r, _, err := b.Raise(t.Context(), s); err != nil || !r.CallsFrom.IsZero() {
		t.Errorf("a critical signal waits until %s (%v)", r.CallsFrom, err)
	}
}

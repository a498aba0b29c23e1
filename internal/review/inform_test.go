package review_test

import (
	"errors"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

func (b *bench) inform(t *testing.T, cause, key, text string) bool {
	t.Helper()
	told, err := b.Inform(t.Context(), cause, key, text)
	if err != nil {
		t.Fatal(err)
	}
	return told
}

func TestInformAddsOneLineAndChangesNoState(t *testing.T) {
	b := newBench()
	if b.inform(t, "drift", "n1", "early") {
		t.Error("told a cause that has no review")
	}
	r, _ := b.raise(t, signal("drift", "k1", t0))
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
	b.now = b.now.Add(time.Hour)
	if !b.inform(t, "drift", "n1", "version 13 deployed, the next window still breached") || b.inform(t, "drift", "n1", "again") {
		t.Error("want the line added once")
	}
	got, err := b.Get(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	last := got.History[len(got.History)-1]
	if got.State != review.Acknowledged || last.From != last.To || last.By != review.System || last.Why != "version 13 deployed, the next window still breached" || len(got.History) != 3 {
		t.Errorf("got %s with %+v", got.State, got.History)
	}
}

func TestInformReachesAResolvedReview(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, signal("drift", "k1", t0))
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	b.inform(t, "drift", "n1", "it helped")
	if got, err := b.Get(t.Context(), r.ID); err != nil || got.State != review.Resolved || got.History[len(got.History)-1].Why != "it helped" {
		t.Errorf("got %+v %v", got.History, err)
	}
	if open := b.list(t, review.Filter{Unresolved: true}, 10); len(open) != 0 {
		t.Errorf("it is listed as open: %v", ids(open))
	}
}

func TestInformRefusesWhatCanNeverBeFiled(t *testing.T) {
	if _, err := newBench().Inform(t.Context(), "drift", "", "text"); !errors.Is(err, review.ErrSignal) {
		t.Errorf("got %v", err)
	}
}

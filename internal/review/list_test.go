package review_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

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

package effect_test

import (
	"context"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func newDesk(t *testing.T) *review.Desk {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	// The store forgets by the real clock, so the desk has to live by it too.
	return review.NewDesk(db.Store(), time.Now)
}

func TestReviewActionIsFiledOnce(t *testing.T) {
	desk := newDesk(t)
	e := effect.NewReview(desk)
	a := action(policy.Review)
	a.AckWithin = policy.Duration(30 * time.Minute)
	first, err := e.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	again, err := effect.NewReview(desk).Do(t.Context(), a)
	if err != nil || again.Ref != first.Ref {
		t.Fatalf("%+v then %+v, %v", first, again, err)
	}
	r, err := desk.Get(t.Context(), first.Ref)
	if err != nil || r.Count != 1 || r.Title != a.Title || r.Reason != a.Reason || r.Severity != review.Warning ||
		r.Workspace != "contoso-ml" || r.Model != a.Model || !r.About(a.Asset) || !r.LastSignal.Equal(t0) || r.AckBy.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestResolveActionClosesTheReviewOfItsCause(t *testing.T) {
	desk := newDesk(t)
	e := effect.NewReview(desk)
	opened, err := e.Do(t.Context(), action(policy.Review))
	if err != nil {
		t.Fatal(err)
	}
	passed := action(policy.Resolve)
	passed.Key, passed.Window, passed.Occurred = "another", "next", t0.Add(30*time.Minute)
	out, err := e.Do(t.Context(), passed)
	if err != nil || out.Ref != opened.Ref {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err = e.Do(t.Context(), passed); err != nil || out.Ref != "" {
		t.Errorf("again: %+v, %v", out, err)
	}
	if r, err := desk.Get(t.Context(), opened.Ref); err != nil || r.State != review.Resolved || !r.Resolution.Auto {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReviewTargetRefusesOtherWork(t *testing.T) {
	e := effect.NewReview(newDesk(t))
	odd := action(policy.Review)
	odd.Severity = "apocalyptic"
	for name, a := range map[string]policy.Action{
		"retrain": action(policy.Retrain), "rollback": action(policy.Rollback), "unknown severity": odd,
	} {
		if _, err := e.Do(t.Context(), a); !isPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Do(ctx, action(policy.Review)); err == nil || isPermanent(err) {
		t.Errorf("ended context: %v", err)
	}
}

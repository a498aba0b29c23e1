package effect_test

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func TestADeliveryWaitsForItsTime(t *testing.T) {
	c := review.Change{News: review.NewsOpened, Review: review.Review{ID: "aaaaaaaaaaaaaaaaaaaaaaaaaa-1", Rev: 7, State: review.Open, Targets: []string{"first"}}}
	first := effect.NewDelivery("review/a", "first", &c, t0)
	if !first.NextAttempt.IsZero() || first.Type != policy.Deliver || first.Target != "first" || first.Asset != "review/a" {
		t.Errorf("%+v", first)
	}
	if again := effect.NewDelivery("review/a", "first", &c, t0); again.ID != first.ID {
		t.Error("the same news of one revision has two ids")
	}
	if other := effect.NewDelivery("review/a", "second", &c, t0); other.ID == first.ID {
		t.Error("two targets share an intent")
	}
	c.Review.Rev++
	if next := effect.NewDelivery("review/a", "first", &c, t0); next.ID == first.ID {
		t.Error("two revisions share an intent")
	}
	c.CallAt = t0.Add(time.Hour)
	if got := effect.NewDelivery("review/a", "first", &c, t0); !got.NextAttempt.Equal(c.CallAt) {
		t.Errorf("it goes out at %s, not at %s", got.NextAttempt, c.CallAt)
	}
	c.CallAt = t0.Add(-time.Hour)
	if got := effect.NewDelivery("review/a", "first", &c, t0); !got.NextAttempt.IsZero() {
		t.Errorf("it waits for %s, which is over", got.NextAttempt)
	}
	if got := effect.NewDelivery("review/a", "first", &c, t0).Inputs; got["review"] != c.Review.ID || got["rev"] != 8 || got["news"] != int(review.NewsOpened) {
		t.Errorf("inputs %v", got)
	}
}

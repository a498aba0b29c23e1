package app

import (
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// escalated is a change of a review that called its first target and one more,
// and was once at a third.
func escalated(n review.News) review.Change {
	return review.Change{News: n, Review: review.Review{
		ID: "aaaaaaaaaaaaaaaaaaaaaaaaaa-1", Rev: 7, State: review.Open, Targets: []string{"first"}, Level: 1,
		Chain: []review.Rung{{Target: "second"}, {Target: "third"}}, Reached: []string{"second", "third"},
	}}
}

func TestWhoHearsOfAChange(t *testing.T) {
	for name, tc := range map[string]struct {
		news     review.News
		silenced bool
		want     []string
	}{
		"escalated":               {review.NewsEscalated, false, []string{"first", "second", "third"}},
		"nothing worth telling":   {0, false, nil},
		"more severe, silenced":   {review.NewsSeverity, true, nil},
		"counted, silenced":       {review.NewsCounted, true, nil},
		"resolved, silenced":      {review.NewsResolved, true, []string{"first", "second", "third"}},
		"acknowledged, silenced":  {review.NewsAcknowledged, true, []string{"first", "second", "third"}},
		"the silence is over now": {review.NewsAwake, false, []string{"first", "second", "third"}},
	} {
		c := escalated(tc.news)
		if tc.silenced {
			c.Review.Silence = &review.Silenced{ID: "s"}
		}
		if got := addressees(&c); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestOnlyWhoIsCalledNowIsCalled(t *testing.T) {
	c := escalated(review.NewsSeverity | review.NewsComment)
	for target, want := range map[string]review.News{
		"first": review.NewsSeverity | review.NewsComment, "second": review.NewsSeverity | review.NewsComment,
		"third": review.NewsComment | review.NewsCounted,
	} {
		if got := newsFor(target, &c); got != want {
			t.Errorf("%s hears %b, want %b", target, got, want)
		}
	}
	quiet := escalated(review.NewsResolved)
	if got := newsFor("third", &quiet); got != review.NewsResolved {
		t.Errorf("the end is told as %b", got)
	}
}

func TestAStepOfAnEscalationCallsThoseOfTheStep(t *testing.T) {
	c := escalated(review.NewsEscalated)
	for target, want := range map[string]review.News{"first": review.NewsCounted, "second": review.NewsEscalated, "third": review.NewsCounted} {
		if got := newsFor(target, &c); got != want {
			t.Errorf("%s hears %b, want %b", target, got, want)
		}
	}
	c.Review.Level, c.Review.Round = 0, 1 // from the start again
	if got := newsFor("first", &c); got != review.NewsEscalated {
		t.Errorf("in the second round the first hears %b", got)
	}
}

func TestADeliveryWaitsForItsTime(t *testing.T) {
	c := escalated(review.NewsOpened)
	first := newDelivery("review/a", "first", &c)
	if !first.NextAttempt.IsZero() || first.Type != policy.Deliver || first.Target != "first" || first.Asset != "review/a" {
		t.Errorf("%+v", first)
	}
	if again := newDelivery("review/a", "first", &c); again.ID != first.ID {
		t.Error("the same news of one revision has two ids")
	}
	if other := newDelivery("review/a", "second", &c); other.ID == first.ID {
		t.Error("two targets share an intent")
	}
	c.Review.Rev++
	if next := newDelivery("review/a", "first", &c); next.ID == first.ID {
		t.Error("two revisions share an intent")
	}
	c.CallAt = time.Now().Add(time.Hour)
	if got := newDelivery("review/a", "first", &c); !got.NextAttempt.Equal(c.CallAt) {
		t.Errorf("it goes out at %s, not at %s", got.NextAttempt, c.CallAt)
	}
	c.CallAt = time.Now().Add(-time.Hour)
	if got := newDelivery("review/a", "first", &c); !got.NextAttempt.IsZero() {
		t.Errorf("it waits for %s, which is over", got.NextAttempt)
	}
	want := effect.DeliverInputs(&c.Review, review.NewsOpened)
	if got := newDelivery("review/a", "first", &c).Inputs; got["rev"] != want["rev"] || got["news"] != want["news"] {
		t.Errorf("inputs %v, want %v", got, want)
	}
}

func TestMaintenanceStandsAsSilences(t *testing.T) {
	f, err := policy.Parse("modelwarden.yaml", []byte(`
maintenance:
  - {name: night, from: 2026-03-01, to: 2026-03-01, repeat: daily, match: {model: churn, severity: [info, warning]}, reason: backups}
  - {name: later, from: 2026-12-20, to: 2026-12-21}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	got := standing(f, at)
	if len(got) != 1 {
		t.Fatalf("%d hold", len(got))
	}
	s := got[0]
	if s.ID != "maintenance-night" || s.By != "maintenance night" || s.Why != "backups" || s.State(at) != review.SilenceActive || !s.Until.Equal(at.Add(12*time.Hour)) {
		t.Errorf("%+v", s)
	}
	for r, want := range map[*review.Review]bool{
		{Model: "model/ws/churn/3", Severity: review.Warning}:  true,
		{Model: "model/ws/churn/3", Severity: review.Critical}: false,
		{Model: "model/ws/fraud/3", Severity: review.Info}:     false,
	} {
		if s.Match.Matches(r) != want {
			t.Errorf("it matches %s %s: %t", r.Severity, r.Model, !want)
		}
	}
	if all := standing(f, time.Date(2026, 12, 20, 12, 0, 0, 0, time.UTC)); len(all) != 2 || all[1].Why != "maintenance" {
		t.Errorf("in December: %+v", all)
	}
}

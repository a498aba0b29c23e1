package review_test

import (
	"slices"
	"testing"

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
		if got := c.Addressees(); !slices.Equal(got, tc.want) {
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
		if got := c.NewsFor(target); got != want {
			t.Errorf("%s hears %b, want %b", target, got, want)
		}
	}
	quiet := escalated(review.NewsResolved)
	if got := quiet.NewsFor("third"); got != review.NewsResolved {
		t.Errorf("the end is told as %b", got)
	}
}

func TestAStepOfAnEscalationCallsThoseOfTheStep(t *testing.T) {
	c := escalated(review.NewsEscalated)
	for target, want := range map[string]review.News{"first": review.NewsCounted, "second": review.NewsEscalated, "third": review.NewsCounted} {
		if got := c.NewsFor(target); got != want {
			t.Errorf("%s hears %b, want %b", target, got, want)
		}
	}
	c.Review.Level, c.Review.Round = 0, 1 // from the start again
	if got := c.NewsFor("first"); got != review.NewsEscalated {
		t.Errorf("in the second round the first hears %b", got)
	}
}

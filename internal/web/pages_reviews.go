package web

import (
	"cmp"
	"net/http"

	"github.com/modelwarden/modelwarden/internal/review"
)

// reviewsPage lists reviews, what is not resolved unless asked otherwise.
func (s *server) reviewsPage(r *http.Request) (view, error) {
	q := r.URL.Query()
	in := ReviewsInput{
		State: cmp.Or(q.Get("state"), "unresolved"), Severity: q.Get("severity"), Asset: q.Get("asset"), Policy: q.Get("policy"),
		Window: Window{q.Get("since"), q.Get("until")}, Paging: paging(r),
	}
	if in.State == "all" {
		in.State = ""
	}
	found, err := s.listReviews(r.Context(), &in)
	l := newListing(r, found)
	l.Filter["state"] = cmp.Or(q.Get("state"), "unresolved")
	return view{Template: "reviews", Title: "Reviews", Section: "reviews", Data: l}, err
}

// reviewData is a review's card, its pictures, and who is told next.
type reviewData struct {
	review.Card
	Charts []chart
	Told   []string
	Next   []review.Call
	// Hourly draws how many signals there were each hour.
	Hourly string
	// Can tells which verbs are offered.
	Can map[string]bool
	// Still and Passed count the causes that were put together.
	Still, Passed int
}

func (s *server) reviewPage(r *http.Request) (view, error) {
	c, err := s.card(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	d := reviewData{Card: c, Charts: newCharts(c.Measured), Hourly: c.Review.Hourly(), Can: map[string]bool{}}
	d.Told, d.Next = d.Review.Calls()
	for _, v := range c.Verbs {
		d.Can[string(v)] = true
	}
	for _, p := range d.Review.Parts {
		if p.Passed.IsZero() {
			d.Still++
		} else {
			d.Passed++
		}
	}
	return view{Template: "review", Title: d.Review.Title, Section: "reviews", Data: d}, nil
}

package web

import (
	"cmp"
	"context"
	"net/http"

	"github.com/modelwarden/modelwarden/internal/policy"
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

// reviewData is the card: what is wrong, why, what was done and what was not.
type reviewData struct {
	Review review.Review
	// Decisions are those on the newest signals' events.
	Decisions []policy.Decision
	// Done are the other actions of the same events, as they stand now.
	Done []policy.Action
	// Held are the planned actions that were not taken, each with its reason.
	Held     []heldAction
	Breaches []breachOf
	// Verbs tells which of on-call's verbs the state allows.
	Verbs map[string]bool
}

type heldAction struct {
	policy.PlannedAction
	Policy string
	Event  string
}

type breachOf struct {
	Event  string
	Detail MonitorWindow
}

// cardEvents bounds how many signals' events a card looks into.
const cardEvents = 5

func (s *server) reviewPage(r *http.Request) (view, error) {
	rv, err := s.Desk.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	d := reviewData{Review: rv, Verbs: verbsOf(rv.State)}
	seen := map[string]bool{}
	for _, n := range rv.Signals {
		if n.Event == "" || seen[n.Event] || len(seen) == cardEvents {
			continue
		}
		seen[n.Event] = true
		if err := s.lookInto(r.Context(), &d, n.Event); err != nil {
			return view{}, err
		}
	}
	return view{Template: "review", Title: rv.Title, Section: "reviews", Data: d}, nil
}

// lookInto adds what one event led to; an event that is no more adds nothing.
func (s *server) lookInto(ctx context.Context, d *reviewData, key string) error {
	ev, err := s.getEvent(ctx, &EventInput{Key: key})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	d.Decisions = append(d.Decisions, ev.Decisions...)
	for _, a := range ev.Actions {
		if a.Type != policy.Review {
			d.Done = append(d.Done, a)
		}
	}
	for _, dec := range ev.Decisions {
		for _, a := range dec.Actions {
			if a.Verdict != policy.Act {
				d.Held = append(d.Held, heldAction{a, dec.Policy, key})
			}
		}
	}
	if len(ev.Breaches) > 0 {
		d.Breaches = append(d.Breaches, breachOf{key, MonitorWindow{
			Monitor: ev.Asset, At: ev.Time, Breached: true, Breaches: ev.Breaches, Loss: ev.Loss,
		}})
	}
	return nil
}

// verbsOf tells which verbs make sense in a state.
func verbsOf(st review.State) map[string]bool {
	return map[string]bool{
		string(review.Ack):     st == review.Open || st == review.Snoozed,
		string(review.Snooze):  st != review.Resolved,
		string(review.Resolve): st != review.Resolved,
		string(review.Remark):  true,
	}
}

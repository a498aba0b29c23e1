package web

import (
	"net/http"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// eventsPage lists events.
func (s *server) eventsPage(r *http.Request) (view, error) {
	q := r.URL.Query()
	found, err := s.listEvents(r.Context(), &EventsInput{
		Asset: q.Get("asset"), Kind: q.Get("kind"), Workspace: q.Get("workspace"), ID: q.Get("id"),
		Window: Window{q.Get("since"), q.Get("until")}, Paging: paging(r),
	})
	if err != nil {
		return view{}, err
	}
	data := struct {
		listing[lineage.EventLine]
		Kinds []string
	}{newListing(r, found), kinds()}
	return view{Template: "events", Title: "Events", Section: "events", Data: data}, nil
}

func kinds() []string {
	var out []string
	for _, k := range append(event.Kinds(), event.Unknown) {
		out = append(out, string(k))
	}
	return out
}

// eventPage shows one event and what it caused.
func (s *server) eventPage(r *http.Request) (view, error) {
	d, err := s.getEvent(r.Context(), &EventInput{Key: r.PathValue("key")})
	return view{Template: "event", Title: "Event " + string(d.Kind), Section: "events", Data: d}, err
}

// decisionsPage lists decisions.
func (s *server) decisionsPage(r *http.Request) (view, error) {
	q := r.URL.Query()
	found, err := s.listDecisions(r.Context(), &DecisionsInput{
		Asset: q.Get("asset"), Model: q.Get("model"), Policy: q.Get("policy"), Verdict: q.Get("verdict"), Reason: q.Get("reason"),
		Window: Window{q.Get("since"), q.Get("until")}, Paging: paging(r),
	})
	return view{Template: "decisions", Title: "Decisions", Section: "decisions", Data: newListing(r, found)}, err
}

// actionsPage lists actions.
func (s *server) actionsPage(r *http.Request) (view, error) {
	q := r.URL.Query()
	found, err := s.listActions(r.Context(), &ActionsInput{
		Asset: q.Get("asset"), Policy: q.Get("policy"), Type: q.Get("type"), State: q.Get("state"), Target: q.Get("target"),
		Window: Window{q.Get("since"), q.Get("until")}, Paging: paging(r),
	})
	return view{Template: "actions", Title: "Actions", Section: "actions", Data: newListing(r, found)}, err
}

package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/modelwarden/modelwarden/internal/review"
)

// verbRoutes mounts the forms of the pages. Each does what the API's verb
// does, then leads back to the page that shows the outcome.
func (s *server) verbRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /reviews/{id}/{verb}", s.form(s.reviewForm))
	mux.HandleFunc("POST /silences", s.form(s.silenceForm))
	mux.HandleFunc("POST /silences/{id}/end", s.form(func(r *http.Request) (string, error) {
		_, err := s.endSilence(r.Context(), r.PathValue("id"), r.PostFormValue("by"))
		return "/silences", err
	}))
	s.handleRest(mux, http.MethodPost, "/actions/{id}/retry", "id", s.form(s.retryForm))
	mux.HandleFunc("POST /quarantine/{id}/replay", s.form(func(r *http.Request) (string, error) {
		_, err := s.replayQuarantined(r.Context(), &QuarantinedInput{ID: r.PathValue("id")})
		return "/trouble", err
	}))
	mux.HandleFunc("POST /dead/{id}/replay", s.form(func(r *http.Request) (string, error) {
		body := &ReplayBody{Act: r.PostFormValue("act") == "true"}
		_, err := s.replayDead(r.Context(), &ReplayInput{DeadInput{r.PathValue("id")}, body})
		return "/trouble", err
	}))
	mux.HandleFunc("POST /dead/{id}/discard", s.form(func(r *http.Request) (string, error) {
		return "/trouble", s.Dead.Discard(r.Context(), r.PathValue("id"))
	}))
}

// form reads a posted form, does what it asks, and sends the browser on.
func (s *server) form(do func(*http.Request) (to string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			s.refuse(w, r, problem(http.StatusBadRequest, "the form can't be read: it may hold at most %d KiB", maxBody>>10))
			return
		}
		to, err := do(r)
		if err != nil {
			s.refuse(w, r, s.asProblem(r.Context(), err))
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// reviewForm does a verb on a review. What only starts something else, an
// action or a silence, does not mind that the review changed since it was
// looked at.
func (s *server) reviewForm(r *http.Request) (string, error) {
	id, verb := r.PathValue("id"), review.Verb(r.PathValue("verb"))
	by, why := r.PostFormValue("by"), r.PostFormValue("why")
	var err error
	switch verb {
	case review.RetrainNow, review.RollBackNow:
		_, err = s.order(r.Context(), id, verb, OrderBody{Target: r.PostFormValue("target"), By: by, Why: why})
	case review.SilenceIt:
		_, err = s.silenceReview(r.Context(), id, QuietBody{By: by, Why: why, For: r.PostFormValue("for")})
	default:
		b := CommandBody{By: by, Why: why, Version: r.PostFormValue("version")}
		if verb == review.Snooze {
			b.For = r.PostFormValue("for")
		}
		_, err = s.command(r.Context(), id, verb, b)
	}
	return "/reviews/" + url.PathEscape(id), err
}

func (s *server) retryForm(r *http.Request) (string, error) {
	return "/actions", s.retry(r.Context(), r.PathValue("id"))
}

func (s *server) retry(ctx context.Context, id string) error {
	_, err := s.retryAction(ctx, &ActionInput{ID: id})
	return err
}

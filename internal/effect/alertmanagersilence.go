package effect

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// silenceAuthor marks our silences among other people's.
const silenceAuthor = "modelwarden"

// minSilence is the shortest silence worth making: one that is over by the
// server's clock would be refused.
const minSilence = time.Minute

// States of a silence as Alertmanager names them, as far as they matter.
const silenceExpired = "expired"

// postedSilence is a silence as Alertmanager takes it (postableSilence).
type postedSilence struct {
	ID        string         `json:"id,omitempty"`
	Matchers  []alertMatcher `json:"matchers"`
	StartsAt  time.Time      `json:"startsAt"`
	EndsAt    time.Time      `json:"endsAt"`
	CreatedBy string         `json:"createdBy"`
	Comment   string         `json:"comment"`
}

// keptSilence is a silence as Alertmanager gives it back (gettableSilence).
type keptSilence struct {
	postedSilence
	Status struct {
		State string `json:"state"`
	} `json:"status"`
}

// calm is a time in which a review calls nobody; none while until is zero.
type calm struct {
	until time.Time
	why   string
}

// calmOf says how long a review is quiet. The ends follow from the review
// alone, so that asking for the same again changes nothing. An acknowledgement
// has no end of its own: after review.MaxSilence it calls again.
func calmOf(r *review.Review, now time.Time) calm {
	var c calm
	switch {
	case r.State == review.Acknowledged:
		c = calm{r.AckedAt.Add(review.MaxSilence), "acknowledged by " + r.AckedBy}
	case r.State == review.Snoozed:
		c = calm{r.SnoozedUntil, "snoozed"}
	case r.State == review.Open && r.Silence != nil:
		c = calm{r.Silence.Until, "silenced by " + r.Silence.By}
	}
	if c.until = c.until.UTC().Truncate(time.Second); c.until.Before(now.Add(minSilence)) {
		return calm{}
	}
	c.why = clip(inertPage(c.why+" in Modelwarden: review "+r.ID), maxPageSummary)
	return c
}

// hush keeps one silence of a review's alert while the review is quiet, and
// none else. Silences are the cluster's: one server is asked and told, the
// first that answers.
func (m *alertmanager) hush(ctx context.Context, r *review.Review, known alertRef, now time.Time) (alertRef, error) {
	matchers, failed := m.matchers(r.ID), make([]error, len(m.servers))
	for i := range m.servers {
		s := &m.servers[i]
		var kept []keptSilence
		var ans *answer
		if ans, failed[i] = s.call(ctx, http.MethodGet, "api/v2/silences", alertFilter(matchers), nil, &kept, now); failed[i] != nil {
			continue
		}
		kept = slices.DeleteFunc(kept, func(k keptSilence) bool { return k.CreatedBy != silenceAuthor && k.ID != known.Silence })
		return s.hush(ctx, hushing{matchers: matchers, want: calmOf(r, now), kept: kept, known: known, now: now, clock: ans.clock(now)})
	}
	return known, together(failed...)
}

// hushing is what one server is to be made to keep.
type hushing struct {
	matchers []alertMatcher
	want     calm
	// kept are the review's silences there, known is what the ticket remembers.
	kept       []keptSilence
	known      alertRef
	now, clock time.Time
}

// active is one that has not ended.
func (h *hushing) active() (keptSilence, bool) {
	i := slices.IndexFunc(h.kept, func(k keptSilence) bool { return k.Status.State != silenceExpired })
	if i < 0 {
		return keptSilence{}, false
	}
	return h.kept[i], true
}

// settled reports whether a silence is what is wanted, or what somebody made of
// it since.
func (h *hushing) settled(k keptSilence) bool {
	return k.EndsAt.Truncate(time.Second).Equal(h.want.until) && k.Comment == h.want.why ||
		k.ID == h.known.Silence && h.known.Until.Equal(h.want.until)
}

// endedByHand reports whether there was a silence to this very end and somebody
// took it away: they want to be called. One that is not even listed was lost
// by a server that was started anew without its files.
func (h *hushing) endedByHand() bool {
	return h.known.Until.Equal(h.want.until) && (h.known.Silence == "" ||
		slices.ContainsFunc(h.kept, func(k keptSilence) bool { return k.ID == h.known.Silence }))
}

func (s *alertServer) hush(ctx context.Context, h hushing) (alertRef, error) {
	if h.want.until.IsZero() {
		return alertRef{}, s.unhush(ctx, &h)
	}
	out := alertRef{Until: h.want.until}
	made := postedSilence{
		Matchers: h.matchers, StartsAt: h.clock.UTC(), EndsAt: h.want.until, CreatedBy: silenceAuthor, Comment: h.want.why,
	}
	if k, ok := h.active(); ok {
		if h.settled(k) {
			out.Silence = k.ID
			return out, nil
		}
		// With its id and beginning the silence is changed where it stands.
		made.ID, made.StartsAt = k.ID, k.StartsAt
	} else if h.endedByHand() {
		return out, nil
	}
	var answered struct {
		ID string `json:"silenceID"`
	}
	if _, err := s.call(ctx, http.MethodPost, "api/v2/silences", nil, made, &answered, h.now); err != nil {
		return h.known, fmt.Errorf("the silence could not be made: %w", err)
	}
	out.Silence = answered.ID
	return out, nil
}

// unhush ends all that have not ended.
func (s *alertServer) unhush(ctx context.Context, h *hushing) error {
	var failed []error
	for _, k := range h.kept {
		if k.Status.State == silenceExpired {
			continue
		}
		if _, err := s.call(ctx, http.MethodDelete, "api/v2/silence/"+url.PathEscape(k.ID), nil, nil, nil, h.now); err != nil {
			failed = append(failed, fmt.Errorf("the silence %s could not be ended: %w", k.ID, err))
		}
	}
	return together(failed...)
}

package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Silence is a silence and where it stands.
type Silence struct {
	review.Silence
	State string `json:"state" enum:"pending,active,expired" doc:"pending: it begins later. expired: it ended by itself or was ended"`
}

// silence is a silence as it stands now.
func (s *server) silence(x review.Silence) Silence { return Silence{x, x.State(s.Now())} }

// SilencesInput selects silences.
type SilencesInput struct {
	State string `query:"state" enum:"pending,active,expired" doc:"Only this state"`
	Paging
}

// SilenceInput names a silence.
type SilenceInput struct {
	ID string `path:"id" maxLength:"200" doc:"The silence's id"`
}

// NewSilenceInput makes a silence.
type NewSilenceInput struct{ Body SilenceBody }

// SilenceBody says which reviews are silenced, for how long, by whom, and why.
type SilenceBody struct {
	Match review.Match `json:"match" doc:"Which reviews, by globs: each list that is given must match one of a review's values. An empty match silences everything"`
	From  string       `json:"from,omitempty" maxLength:"64" doc:"When it begins, RFC 3339. Without it, now"`
	Until string       `json:"until,omitempty" maxLength:"64" doc:"When it ends, RFC 3339"`
	For   string       `json:"for,omitempty" maxLength:"32" doc:"Instead of until: how long" example:"4h"`
	By    string       `json:"by" maxLength:"200" doc:"Who does this"`
	Why   string       `json:"why" maxLength:"2000" doc:"Why nobody is to be called"`
}

// EndSilenceInput ends a silence.
type EndSilenceInput struct {
	SilenceInput
	Body EndSilenceBody
}

// EndSilenceBody says who ends it.
type EndSilenceBody struct {
	By string `json:"by" maxLength:"200" doc:"Who does this"`
}

// DeleteSilenceInput is EndSilenceInput for those who delete.
type DeleteSilenceInput struct {
	SilenceInput
	By string `query:"by" required:"true" maxLength:"200" doc:"Who does this"`
}

func (s *server) silenceRoutes(a huma.API) {
	const path, tag = "/api/v1/silences", "Silences"
	register(a, s, get("list-silences", path, tag, "List silences, the newest first"), s.listSilences)
	register(a, s, get("get-silence", path+"/{id}", tag, "One silence"), s.getSilence)
	create := post("create-silence", path, tag, "Let nobody be called for certain reviews for a while")
	create.DefaultStatus = http.StatusCreated
	register(a, s, create, func(ctx context.Context, in *NewSilenceInput) (Silence, error) { return s.createSilence(ctx, in.Body) })
	register(a, s, post("end-silence", path+"/{id}/end", tag, "End a silence before its time; it stays in the list as expired"),
		func(ctx context.Context, in *EndSilenceInput) (Silence, error) {
			return s.endSilence(ctx, in.ID, in.Body.By)
		})
	remove := post("delete-silence", path+"/{id}", tag, "The same as ending it")
	remove.Method = http.MethodDelete
	register(a, s, remove, func(ctx context.Context, in *DeleteSilenceInput) (Silence, error) {
		return s.endSilence(ctx, in.ID, in.By)
	})
}

func (s *server) listSilences(ctx context.Context, in *SilencesInput) (List[Silence], error) {
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return List[Silence]{}, err
	}
	found, next, err := s.Desk.Silences(ctx, in.State, cursor, in.Limit)
	if err != nil {
		return List[Silence]{}, err
	}
	items := make([]Silence, len(found))
	for i := range found {
		items[i] = s.silence(found[i])
	}
	return page(items, next), nil
}

func (s *server) getSilence(ctx context.Context, in *SilenceInput) (Silence, error) {
	found, err := s.Desk.GetSilence(ctx, in.ID)
	return s.silence(found), err
}

func (s *server) createSilence(ctx context.Context, b SilenceBody) (Silence, error) {
	from := time.Time{}
	if b.From != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, b.From); err != nil {
			return Silence{}, badInput("body.from", b.From, "from %q is not a time: write 2026-11-02T09:00:00Z", b.From)
		}
	}
	until, err := s.end(b.Until, b.For, from)
	if err != nil {
		return Silence{}, err
	}
	made, err := s.Desk.Silence(ctx, review.Silence{Match: b.Match, From: from.UTC(), Until: until, By: b.By, Why: b.Why})
	return s.silence(made), err
}

func (s *server) endSilence(ctx context.Context, id, by string) (Silence, error) {
	ended, err := s.Desk.EndSilence(ctx, id, by)
	return s.silence(ended), err
}

// end reads an end that is given as a time or as a length from a beginning,
// which is now where it is zero. Neither is no end.
func (s *server) end(until, lasting string, from time.Time) (time.Time, error) {
	if from.IsZero() {
		from = s.Now()
	}
	switch {
	case until != "" && lasting != "":
		return time.Time{}, badInput("body.for", lasting, "give either until or for, not both")
	case until != "":
		t, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return t, badInput("body.until", until, "until %q is not a time: write 2026-11-02T09:00:00Z", until)
		}
		return t.UTC(), nil
	case lasting != "":
		d, err := policy.ParseDuration(lasting)
		if err != nil || d <= 0 {
			return time.Time{}, badInput("body.for", lasting, "for %q is not a length of time: write 30m, 4h or 2d", lasting)
		}
		return from.Add(time.Duration(d)).UTC(), nil
	}
	return time.Time{}, nil
}

package web

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/review"
)

// cards builds what on-call needs to know of a review.
type cards interface {
	Of(ctx context.Context, r review.Review) (review.Card, error)
}

// bareCards know nothing but the review.
type bareCards struct{}

func (bareCards) Of(_ context.Context, r review.Review) (review.Card, error) {
	return review.Card{Review: r, Runbook: r.Runbook, Verbs: r.Allowed()}, nil
}

// Media types of a card.
const (
	typeJSON     = "application/json"
	typeMarkdown = "text/markdown"
	typeText     = "text/plain"
)

// CardInput names a review, and how its card is wanted.
type CardInput struct {
	ReviewInput
	Format string `query:"format" enum:"json,markdown,text" doc:"The form of the answer; without it, what the Accept header prefers, else JSON"`
	Accept string `header:"Accept" hidden:"true"`
}

// mediaType is the form that was asked for.
func (in *CardInput) mediaType() string {
	switch in.Format {
	case "json":
		return typeJSON
	case "markdown":
		return typeMarkdown
	case "text":
		return typeText
	}
	for accepted := range strings.SplitSeq(in.Accept, ",") {
		name, _, _ := strings.Cut(accepted, ";")
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case typeJSON, typeMarkdown, typeText:
			return name
		}
	}
	return typeJSON
}

// cardAnswer is a card in one of its forms.
type cardAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) cardRoutes(a huma.API) {
	op := get("get-review-card", "/api/v1/reviews/{id}/card", "Reviews",
		"All that on-call needs to know of a review: what is wrong, why, what changed, what was done, what can be done")
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses = map[string]*huma.Response{"200": {Description: "The card", Content: map[string]*huma.MediaType{
		typeJSON:     {Schema: a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[review.Card](), true, "Card")},
		typeMarkdown: text, typeText: text,
	}}}
	huma.Register(a, op, func(ctx context.Context, in *CardInput) (*cardAnswer, error) {
		c, err := s.card(ctx, in.ID)
		if err != nil {
			return nil, s.asAnswer(ctx, err)
		}
		return s.writeCard(&c, in.mediaType())
	})
}

func (s *server) card(ctx context.Context, id string) (review.Card, error) {
	r, err := s.Desk.Get(ctx, id)
	if err != nil {
		return review.Card{}, err
	}
	return s.Cards.Of(ctx, r)
}

func (s *server) writeCard(c *review.Card, mediaType string) (*cardAnswer, error) {
	switch mediaType {
	case typeMarkdown:
		return &cardAnswer{typeMarkdown + "; charset=utf-8", []byte(review.Markdown(c, s.Now()))}, nil
	case typeText:
		return &cardAnswer{typeText + "; charset=utf-8", []byte(review.Text(c, s.Now()))}, nil
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, huma.NewError(http.StatusInternalServerError, "the card can't be written")
	}
	return &cardAnswer{typeJSON, b}, nil
}

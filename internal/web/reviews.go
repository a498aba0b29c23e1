package web

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/review"
)

// ReviewsInput selects reviews.
type ReviewsInput struct {
	State    string `query:"state" enum:"open,acknowledged,snoozed,resolved,unresolved" doc:"Only this state; unresolved is all but resolved"`
	Severity string `query:"severity" enum:"info,warning,error,critical" doc:"Only this severity"`
	Asset    string `query:"asset" maxLength:"1000" doc:"Only reviews that speak of this asset or model"`
	Policy   string `query:"policy" maxLength:"200" doc:"Only those that this policy fed"`
	Window
	Paging
}

// ReviewInput names a review.
type ReviewInput struct {
	ID string `path:"id" doc:"The review's id"`
}

// CommandInput is a verb on a review.
type CommandInput struct {
	ReviewInput
	Body CommandBody
}

// CommandBody are the particulars of a verb.
type CommandBody struct {
	By      string `json:"by" maxLength:"200" doc:"Who does this"`
	Why     string `json:"why,omitempty" maxLength:"2000" doc:"The reason; the text of a comment; what a resolution found"`
	Until   string `json:"until,omitempty" maxLength:"64" doc:"For snooze: when it ends, RFC 3339"`
	For     string `json:"for,omitempty" maxLength:"32" doc:"For snooze, instead of until: how long" example:"4h"`
	Version string `json:"version,omitempty" maxLength:"200" doc:"The review's version that was looked at: the verb is refused when it has changed since"`
}

func (s *server) reviewRoutes(a huma.API) {
	register(a, s, get("list-reviews", "/api/v1/reviews", "Reviews", "List reviews, the last opened first"), s.listReviews)
	register(a, s, get("get-review", "/api/v1/reviews/{id}", "Reviews", "One review"), s.getReview)
	for verb, summary := range map[review.Verb]string{
		review.Ack: "Take a review on", review.Snooze: "Put a review off for a while",
		review.Resolve: "Close a review", review.Remark: "Add a remark to a review", review.Reopen: "Take the resolution of a review back",
	} {
		op := post(string(verb)+"-review", "/api/v1/reviews/{id}/"+string(verb), "Reviews", summary)
		register(a, s, op, func(ctx context.Context, in *CommandInput) (review.Review, error) {
			return s.command(ctx, in.ID, verb, in.Body)
		})
	}
}

func (s *server) listReviews(ctx context.Context, in *ReviewsInput) (List[review.Review], error) {
	var none List[review.Review]
	f := review.Filter{State: review.State(in.State), Severity: review.Severity(in.Severity), Policy: in.Policy}
	if in.State == "unresolved" {
		f.State, f.Unresolved = "", true
	}
	asset, err := assetParam("query.asset", in.Asset)
	if err != nil {
		return none, err
	}
	span, err := s.span(in.Window)
	if err != nil {
		return none, err
	}
	f.Asset, f.Since, f.Until = string(asset), span.Since, span.Until
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return none, err
	}
	items, next, err := s.Desk.List(ctx, f, cursor, in.Limit)
	return page(items, next), err
}

func (s *server) getReview(ctx context.Context, in *ReviewInput) (review.Review, error) {
	return s.Desk.Get(ctx, in.ID)
}

func (s *server) command(ctx context.Context, id string, verb review.Verb, b CommandBody) (review.Review, error) {
	until, err := s.end(b.Until, b.For, time.Time{})
	if err != nil {
		return review.Review{}, err
	}
	return s.Desk.Do(ctx, id, review.Command{Verb: verb, By: b.By, Why: b.Why, Until: until, Version: b.Version})
}

package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// orders is what this package needs of oncall.Orders: actions that a person
// asks for from a review. An empty target is the likeliest one.
type orders interface {
	Place(ctx context.Context, r review.Review, t policy.ActionType, target, by, why string) (policy.Action, error)
}

// noOrders stands for a service that places none.
type noOrders struct{}

func (noOrders) Place(context.Context, review.Review, policy.ActionType, string, string, string) (policy.Action, error) {
	return policy.Action{}, problem(http.StatusNotImplemented, "this service starts nothing from a review")
}

// OrderInput asks for an action from a review.
type OrderInput struct {
	ReviewInput
	Body OrderBody
}

// OrderBody says what is asked for, by whom, and why.
type OrderBody struct {
	Target string `json:"target,omitempty" maxLength:"64" doc:"Where it goes, a name of the policy file's targets; by default where the review's own policies send it"`
	By     string `json:"by" maxLength:"200" doc:"Who asks for it"`
	Why    string `json:"why" maxLength:"2000" doc:"Why; it stands in the review's history and with the action"`
}

// QuietInput silences a review.
type QuietInput struct {
	ReviewInput
	Body QuietBody
}

// QuietBody says how long a review is silenced, by whom, and why.
type QuietBody struct {
	By    string `json:"by" maxLength:"200" doc:"Who does this"`
	Why   string `json:"why" maxLength:"2000" doc:"Why nobody is to be called"`
	Until string `json:"until,omitempty" maxLength:"64" doc:"When it ends, RFC 3339"`
	For   string `json:"for,omitempty" maxLength:"32" doc:"Instead of until: how long" example:"4h"`
}

// orderVerbs are the verbs that become actions.
var orderVerbs = map[review.Verb]struct {
	action  policy.ActionType
	summary string
}{
	review.RetrainNow:  {policy.Retrain, "Retrain the model of a review now. Asking again while that is under way gives the same action"},
	review.RollBackNow: {policy.Rollback, "Roll the model of a review back. Asking again while that is under way gives the same action"},
}

func (s *server) orderRoutes(a huma.API) {
	for verb, v := range orderVerbs {
		op := post(string(verb)+"-review", "/api/v1/reviews/{id}/"+string(verb), "Reviews", v.summary)
		op.DefaultStatus = http.StatusAccepted
		register(a, s, op, func(ctx context.Context, in *OrderInput) (policy.Action, error) {
			return s.order(ctx, in.ID, verb, in.Body)
		})
	}
	op := post("silence-review", "/api/v1/reviews/{id}/silence", "Reviews", "Let nobody be called for a review's cause for a while")
	op.DefaultStatus = http.StatusCreated
	register(a, s, op, func(ctx context.Context, in *QuietInput) (Silence, error) {
		return s.silenceReview(ctx, in.ID, in.Body)
	})
}

func (s *server) order(ctx context.Context, id string, verb review.Verb, b OrderBody) (policy.Action, error) {
	r, err := s.Desk.Get(ctx, id)
	if err != nil {
		return policy.Action{}, err
	}
	return s.Orders.Place(ctx, r, orderVerbs[verb].action, b.Target, b.By, b.Why)
}

// silenceReview silences this review's cause and no other.
func (s *server) silenceReview(ctx context.Context, id string, b QuietBody) (Silence, error) {
	r, err := s.Desk.Get(ctx, id)
	if err != nil {
		return Silence{}, err
	}
	until, err := s.end(b.Until, b.For, time.Time{})
	if err != nil {
		return Silence{}, err
	}
	made, err := s.Desk.Silence(ctx, review.Silence{
		Match: review.Match{Cause: []string{review.QuoteGlob(r.Cause)}}, Until: until, By: b.By, Why: b.Why,
	})
	return s.silence(made), err
}

package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// desk is what the inbox does for actions; *review.Desk is it.
type desk interface {
	Raise(ctx context.Context, s review.Signal) (r review.Review, created bool, err error)
	Pass(ctx context.Context, cause string, p review.Passing) (r review.Review, resolved bool, err error)
}

// Review files actions as reviews on the built-in desk, which drops repeated
// keys itself.
type Review struct{ desk desk }

// NewReview makes a target of a desk.
func NewReview(d desk) *Review { return &Review{d} }

// Do implements policy.Effector for review and resolve actions.
func (r *Review) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	var out policy.Outcome
	var err error
	switch a.Type {
	case policy.Review:
		out, err = r.raise(ctx, a)
	case policy.Resolve:
		out, err = r.resolve(ctx, a)
	default:
		err = &policy.PermanentError{Err: fmt.Errorf("a review target can't perform %q: it takes review actions", a.Type)}
	}
	if errors.Is(err, review.ErrSignal) {
		err = &policy.PermanentError{Err: err}
	}
	return out, err
}

func (r *Review) raise(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	filed, created, err := r.desk.Raise(ctx, review.Signal{
		Cause: cause(a), Key: a.Key, At: happened(a), Event: a.Event, Window: a.Window,
		Title: cmp.Or(a.Title, a.Reason, a.Asset), Reason: a.Reason,
		Severity: review.Severity(a.Severity), AckWithin: time.Duration(a.AckWithin),
		Target: named(a.Target), Chain: chain(a.Escalate), Repeat: a.Repeat, Runbook: a.Runbook,
		Part: a.Part, Grace: time.Duration(a.Grace),
		Asset: a.Asset, Model: a.Model, Workspace: lineage.ID(a.Asset).Workspace(), Policy: a.Policy,
	})
	if err != nil {
		return policy.Outcome{}, err
	}
	summary := fmt.Sprintf("added to review %s (%d signals)", filed.ID, filed.Count)
	if created {
		summary = "opened review " + filed.ID
	}
	return policy.Outcome{Summary: summary, Ref: filed.ID, URL: reviewPath(filed.ID)}, nil
}

// named is the target that hears of a review; the inbox itself needs no telling.
func named(target string) string {
	if target == policy.Desk {
		return ""
	}
	return target
}

func chain(steps []policy.EscalationStep) []review.Rung {
	var out []review.Rung
	for _, s := range steps {
		out = append(out, review.Rung{Target: s.Target, Within: review.Interval(s.AckWithin)})
	}
	return out
}

func (r *Review) resolve(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	closed, resolved, err := r.desk.Pass(ctx, cause(a), review.Passing{
		At: happened(a), Window: a.Window, Key: a.Key, Text: cmp.Or(a.Reason, "the cause passed"),
	})
	if err != nil {
		return policy.Outcome{}, err
	}
	if !resolved {
		return policy.Outcome{Summary: "no open review of this cause"}, nil
	}
	return policy.Outcome{Summary: "resolved review " + closed.ID, Ref: closed.ID, URL: reviewPath(closed.ID)}, nil
}

// reviewPath is where this service's own pages show a review.
func reviewPath(id string) string { return "/reviews/" + id }

// cause is what groups the action's review. An action without one shares its
// review with what the same policy says of the same asset.
func cause(a policy.Action) string { return cmp.Or(a.Cause, a.Policy+" on "+a.Asset) }

// happened is when what the action answers to took place.
func happened(a policy.Action) time.Time {
	if a.Occurred.IsZero() {
		return a.Created
	}
	return a.Occurred
}

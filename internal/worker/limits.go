package worker

import (
	"context"
	"errors"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// withinLimits takes the reservations that an action needs, across assets: no
// storm of its data, the model's one retrain in flight, budgets.
func (w *Worker) withinLimits(ctx context.Context, b *batch, a *policy.Action) (hold, error) {
	if a.Type != policy.Retrain && a.Type != policy.Rollback {
		return hold{}, nil
	}
	model, _ := lineage.ParseID(a.Model)
	if a.Type == policy.Retrain && model != "" {
		for _, limit := range []func(context.Context, *batch, *policy.Action) (hold, error){w.stormy, w.oneInFlight} {
			if held, err := limit(ctx, b, a); err != nil || held.by != "" || !held.until.IsZero() {
				return held, err
			}
		}
	}
	asset, _ := lineage.ParseID(a.Asset)
	for _, budget := range b.policies.BudgetsFor(asset.Workspace(), model.Name(), a.Type) {
		ok, err := w.takeBudget(ctx, budget, *a)
		if err != nil {
			return hold{}, err
		}
		if !ok {
			detail := "the budget " + budget.Name + " is used up for " + a.Created.UTC().Format(time.DateOnly)
			n := w.notice(*a, "warning", "budget:"+a.Asset, titleOf(*a)+" was withheld", detail)
			return hold{by: policy.ReasonBudget, detail: detail, notice: &n}, nil
		}
	}
	return hold{}, nil
}

// queuedCheck is how often a retrain that waits for another looks again. The
// other's end wakes it, too; this is for when that was missed.
const queuedCheck = 5 * time.Minute

// oneInFlight keeps retrains of one model to one at a time. Where the policy
// says so, one more may wait for its turn.
func (w *Worker) oneInFlight(ctx context.Context, b *batch, a *policy.Action) (hold, error) {
	queue := b.policies.Queues(a.Policy, a.Target)
	holder, waits, err := w.takeFlight(ctx, lineage.ID(a.Model), a.ID, queue, w.o.Now())
	if err != nil || holder == "" {
		return hold{}, err
	}
	detail := "a retrain of this model is under way: " + holder
	switch {
	case waits:
		return hold{until: w.o.Now().UTC().Add(queuedCheck), detail: detail}, nil
	case queue:
		detail += ", and another waits for its end already"
	}
	return hold{by: policy.ReasonInFlight, detail: detail}, nil
}

// postpone puts an action off that is not to be tried yet.
func (w *Worker) postpone(ctx context.Context, a policy.Action, version string, held hold) error {
	a.State, a.NextAttempt, a.Waiting = policy.Pending, held.until, held.detail
	a.Updated, a.ClaimedBy, a.ClaimedUntil = w.o.Now().UTC(), "", time.Time{}
	if _, err := policy.PutAction(ctx, w.o.Store, a, version); err != nil {
		return err
	}
	w.logAction(a, "action waits")
	w.metrics.action(a, "waiting")
	return w.wake(ctx, a, held.until)
}

// callUp ends the wait of an action, if it still waits.
func (w *Worker) callUp(ctx context.Context, id string) error {
	for range maxConflicts {
		a, version, err := policy.GetAction(ctx, w.o.Store, id)
		if errors.Is(err, lineage.ErrNotFound) || err == nil && (a.State != policy.Pending || a.Waiting == "") {
			return nil
		}
		if err != nil {
			return err
		}
		a.NextAttempt = w.o.Now().UTC()
		_, err = policy.PutAction(ctx, w.o.Store, a, version)
		if err == nil {
			return w.wake(ctx, a, a.NextAttempt)
		}
		if !errors.Is(err, lineage.ErrConflict) {
			return err
		}
	}
	return errConflicts
}

// suppress records that a limit held the action.
func (w *Worker) suppress(ctx context.Context, b *batch, a policy.Action, version string, held hold) error {
	a.State, a.SuppressedBy, a.LastError = policy.Suppressed, held.by, ""
	a.Outcome = &policy.Outcome{Summary: held.detail}
	return w.end(ctx, b, a, version, held.notice)
}

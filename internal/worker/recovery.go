package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// recoveryDepth is how many of an asset's latest actions are looked through
// for retrains that a pass proves effective.
const recoveryDepth = 50

// recovered notes, when a monitor passes, which succeeded retrains it passed
// after, and measures how long that took from the breach. Each retrain counts
// once, by the first pass.
func (w *Worker) recovered(ctx context.Context, pass policy.Action) error {
	_, partition, _ := policy.SplitID(pass.ID)
	page, err := w.o.Store.List(ctx, lineage.Query{Partition: partition, Order: lineage.BySort, Prefix: "action/", Descending: true, Limit: recoveryDepth})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		var a policy.Action
		if err := json.Unmarshal(r.Body, &a); err != nil {
			return fmt.Errorf("stored %s of %s: %w", r.ID, partition, err)
		}
		if err := w.noteRecovery(ctx, a, r.Version, pass.Occurred); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) noteRecovery(ctx context.Context, a policy.Action, version string, passed time.Time) (err error) {
	for range maxConflicts {
		if a.Type != policy.Retrain || a.State != policy.Succeeded || !a.Recovered.IsZero() || !a.Occurred.Before(passed) {
			return nil
		}
		a.Recovered = passed
		_, err = policy.PutAction(ctx, w.o.Store, a, version)
		if err == nil {
			w.metrics.recovery.Observe(passed.Sub(a.Occurred).Seconds())
		}
		if !errors.Is(err, lineage.ErrConflict) {
			return err
		}
		if a, version, err = policy.GetAction(ctx, w.o.Store, a.ID); err != nil {
			return err
		}
	}
	return errConflicts
}

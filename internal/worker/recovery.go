package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
		if a.Type != policy.Retrain || a.State != policy.Succeeded || !a.Recovered.IsZero() || !a.Occurred.Before(pass.Occurred) {
			continue
		}
		a.Recovered = pass.Occurred
		_, err := policy.PutAction(ctx, w.o.Store, a, r.Version)
		if errors.Is(err, lineage.ErrConflict) {
			continue // somebody else noted it
		}
		if err != nil {
			return err
		}
		w.metrics.recovery.Observe(pass.Occurred.Sub(a.Occurred).Seconds())
	}
	return nil
}

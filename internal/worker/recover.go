package worker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Bounds of recover: how far back it looks, and at how many actions.
const (
	recoverSpan  = 7 * 24 * time.Hour
	recoverLimit = 10_000
)

// recover wakes the actions that were left open when a process died and whose
// message is gone, too: buried after too many deaths, or settled between two
// writes. Whoever is woken for nothing does nothing.
func (w *Worker) recover(ctx context.Context) {
	now := w.o.Now().UTC()
	var wakes []lineage.Message
	_, err := lineage.ActionJournal.List(ctx, w.o.Store, lineage.Span{Since: now.Add(-recoverSpan)}, "", recoverLimit, func(e lineage.JournalEntry) (bool, error) {
		a, _, err := policy.GetAction(ctx, w.o.Store, e.Key)
		if err != nil {
			return false, fmt.Errorf("action %s: %w", e.Key, err)
		}
		if a.State == policy.Pending || (a.State == policy.Claimed && a.ClaimedBy != w.o.Name) {
			at := a.NextAttempt
			if at.Before(now) {
				at = now
			}
			wakes = append(wakes, policy.WakeMessage(a.ID, at))
		}
		return true, nil
	})
	if err == nil && len(wakes) > 0 {
		err = w.o.Queue.Send(ctx, wakes)
	}
	if err != nil && ctx.Err() == nil {
		w.o.Logger.Warn("can't look for actions that were left open; their own messages will bring them back", zap.Error(err))
		return
	}
	if len(wakes) > 0 {
		w.o.Logger.Info("woke actions that were left open", zap.Int("actions", len(wakes)))
	}
}

package azureml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// flush sends what was found and saves the cursor.
func (w *fill) flush(ctx context.Context) error {
	if len(w.outbox) > 0 {
		if err := w.o.Queue.Send(ctx, w.outbox); err != nil {
			return fmt.Errorf("queue what was found: %w", err)
		}
		w.told.WithLabelValues(w.ws.Alias).Add(float64(len(w.outbox)))
		w.outbox = nil
	}
	return w.save(ctx)
}

// save writes the backfill and renews the lease, unless somebody cancelled it.
func (w *fill) save(ctx context.Context) error {
	w.job.Updated = w.o.Now().UTC()
	c, err := w.job.Change(w.version)
	if err != nil {
		return err
	}
	versions, err := w.lease.commit(ctx, c)
	if err != nil {
		var failed *lineage.ChangeError
		if errors.As(err, &failed) && failed.ID == lineage.BackfillRecord && errors.Is(err, lineage.ErrConflict) {
			return errBackfillChanged
		}
		return err
	}
	w.version = versions[0]
	return nil
}

// unchanged returns errBackfillChanged when somebody cancelled the backfill.
func (w *fill) unchanged(ctx context.Context) error {
	_, version, err := lineage.GetBackfill(ctx, w.o.Store, w.ws.Alias)
	if err == nil && version != w.version {
		err = errBackfillChanged
	}
	return err
}

// yield waits for the rate, and then for the queue: what waits in it is live.
func (w *fill) yield(ctx context.Context, d time.Duration) error {
	for {
		if err := w.pause(ctx, d); err != nil {
			return err
		}
		depth, err := w.o.Queue.Depth(ctx)
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
		if depth.Ready < w.o.MaxWaiting {
			return nil
		}
		d = w.o.Poll
	}
}

// pause waits, and keeps the lease and an eye on cancellation meanwhile.
func (w *fill) pause(ctx context.Context, d time.Duration) error {
	for ; d > 0; d -= w.o.Poll {
		if !sleep(ctx, min(d, w.o.Poll)) {
			return ctx.Err()
		}
		if err := w.lease.renew(ctx); err != nil {
			return err
		}
		if err := w.unchanged(ctx); err != nil {
			return err
		}
	}
	return nil
}

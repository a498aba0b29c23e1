package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// spread writes what the batch's events say about assets other than their
// own: the far ends of edges, the model as such, the endpoint. Each end is
// idempotent, so an event that was seen before completes what a crash left
// half-written. Patches of one asset are joined into one write.
func (w *Worker) spread(ctx context.Context, b *batch) {
	type work struct {
		patches []lineage.Patch
		items   []*item
	}
	assets := map[lineage.ID]*work{}
	for _, it := range b.items {
		if it.finished || it.job.failure() != nil {
			continue
		}
		for _, p := range it.patches {
			if string(p.Asset) == it.home {
				continue
			}
			if assets[p.Asset] == nil {
				assets[p.Asset] = &work{}
			}
			assets[p.Asset].patches = append(assets[p.Asset].patches, p)
			assets[p.Asset].items = append(assets[p.Asset].items, it)
		}
	}
	var g errgroup.Group
	g.SetLimit(partitionsAtOnce)
	for id, job := range assets {
		g.Go(func() error {
			if err := w.join(ctx, b, id, job.patches); err != nil {
				for _, it := range job.items {
					it.fail(fmt.Errorf("write %s: %w", id, err))
				}
			}
			return nil
		})
	}
	_ = g.Wait()
}

// join applies patches to one asset until nobody interferes.
func (w *Worker) join(ctx context.Context, b *batch, id lineage.ID, patches []lineage.Patch) error {
	defer w.locks.lock(string(id))()
	for try := range maxConflicts {
		err := w.tryJoin(ctx, b, id, patches, try > 0)
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return err
		}
		w.metrics.conflicts.Inc()
	}
	return errConflicts
}

func (w *Worker) tryJoin(ctx context.Context, b *batch, id lineage.ID, patches []lineage.Patch, careful bool) error {
	st, err := w.stateOf(ctx, string(id), careful)
	if err != nil {
		return err
	}
	changed, stage := false, st.stage()
	for _, p := range patches {
		c, overflow := st.asset.Apply(p)
		changed = changed || c
		if err := w.overflow(ctx, string(id), overflow); err != nil {
			return err
		}
	}
	published, err := w.stageChanged(ctx, st, stage)
	if err != nil {
		return err
	}
	if err := st.finish(changed, false); err != nil {
		return err
	}
	if len(st.changes) > 0 {
		versions, err := w.o.Store.Commit(ctx, string(id), st.changes)
		if err != nil {
			return err
		}
		w.stored(st, versions)
		published(ctx)
	}
	b.note(st.asset)
	w.documents.put(st)
	return nil
}

// overflow stores edges that a full document has no room for, each as a
// record of its own, ahead of the commit that mentions them: an edge too many
// is harmless and the repeat of the event finds it.
func (w *Worker) overflow(ctx context.Context, partition string, edges []lineage.Edge) error {
	for _, e := range edges {
		if err := w.storeEdge(ctx, partition, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) storeEdge(ctx context.Context, partition string, e lineage.Edge) error {
	for range maxConflicts {
		got, err := w.o.Store.Get(ctx, partition, e.RecordID())
		if err != nil {
			return err
		}
		c := lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: e.RecordID()}}
		joined := e
		if got[0].Version != "" {
			var stored lineage.Edge
			if err := json.Unmarshal(got[0].Body, &stored); err != nil {
				return fmt.Errorf("stored edge %s: %w", e.RecordID(), err)
			}
			if joined = lineage.JoinEdge(stored, e); joined.Since.Compare(stored.Since) == 0 {
				return nil
			}
			c.Op, c.Record.Version = lineage.Replace, got[0].Version
		}
		if c.Record.Body, err = json.Marshal(joined); err != nil {
			return err
		}
		_, err = w.o.Store.Commit(ctx, partition, []lineage.Change{c})
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return err
		}
	}
	return errConflicts
}

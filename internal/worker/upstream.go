package worker

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds of the walks between models and the data they were trained on.
const (
	maxUpstreamJobs = 4
	maxUpstream     = 8
	// maxFedJobs is how many of the jobs that read a data asset are looked at.
	maxFedJobs  = 64
	readsAtOnce = 8
)

// upstream are the data assets that the job read which made a model version;
// of a model as such, those of the version in service, else of the latest.
func (w *Worker) upstream(ctx context.Context, model lineage.ID) ([]lineage.ID, error) {
	_, version, err := w.modelVersion(ctx, &partitionState{}, model)
	if err != nil || version == nil {
		return nil, err
	}
	var data []lineage.ID
	for _, id := range others(version, lineage.Produced, false, maxUpstreamJobs) {
		job, err := lineage.Load(ctx, w.o.Store, id)
		if err != nil {
			return nil, err
		}
		if job != nil {
			data = append(data, others(job, lineage.Input, false, maxUpstream)...)
		}
	}
	slices.Sort(data)
	data = slices.Compact(data)
	return data[:min(len(data), maxUpstream)], nil
}

// feeds says whether at least n models were made by jobs that read the data,
// in whichever version. It stops as soon as that is clear.
func (w *Worker) feeds(ctx context.Context, data lineage.ID, n int) (bool, error) {
	doc, err := lineage.Load(ctx, w.o.Store, data)
	if err != nil || doc == nil {
		return false, err
	}
	jobs := others(doc, lineage.Input, true, maxFedJobs)
	fed := modelNames{}
	for some := range slices.Chunk(jobs, readsAtOnce) {
		var g errgroup.Group
		for _, id := range some {
			g.Go(func() error {
				job, err := lineage.Load(ctx, w.o.Store, id)
				if err == nil && job != nil {
					fed.add(others(job, lineage.Produced, true, maxUpstream))
				}
				return err
			})
		}
		if err := g.Wait(); err != nil || len(fed.names) >= n {
			return err == nil, err
		}
	}
	return false, nil
}

// modelNames are distinct models, all their versions together.
type modelNames struct {
	mu    sync.Mutex
	names map[lineage.ID]bool
}

func (m *modelNames) add(versions []lineage.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		m.names = map[lineage.ID]bool{}
	}
	for _, v := range versions {
		m.names[modelAsSuch(v)] = true
	}
}

// modelAsSuch is a version's model, all its versions together.
func modelAsSuch(id lineage.ID) lineage.ID {
	return lineage.NewID(lineage.Model, id.Workspace(), id.Name())
}

package worker

import (
	"context"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Enricher adds to an event what Azure ML knows and the event did not carry:
// a run's metrics and inputs, a model version's job. It changes ev in place
// and returns the metrics of the run and of the version in production, where
// it knows them. An error delays the message; it never loses it. What can't be
// found out is no error.
type Enricher interface {
	Enrich(ctx context.Context, ev *event.Event) (Extras, error)
}

// Extras is what enrichment found besides the event's own fields.
type Extras struct {
	Metrics, ChampionMetrics map[string]float64
}

// nothing is the Enricher of an installation without Azure ML access.
type nothing struct{}

func (nothing) Enrich(context.Context, *event.Event) (Extras, error) { return Extras{}, nil }

// enrich asks for what the batch's events do not carry.
func (w *Worker) enrich(ctx context.Context, b *batch) {
	if _, ok := w.o.Enrich.(nothing); ok {
		return
	}
	for _, it := range b.items {
		if it.finished {
			continue
		}
		extras, err := w.o.Enrich.Enrich(ctx, it.ev)
		if err != nil {
			it.fail(err)
			continue
		}
		it.extras, it.patches = extras, lineage.Patches(it.ev)
	}
}

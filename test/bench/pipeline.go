package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// The load of the pipeline section, as Event Grid sends when it is busy.
const (
	pipelineEvents      = 50_000
	pipelineBatch       = 100
	pipelineConnections = 8
)

// pipeline measures events from the first request until all are settled:
// lineage, decisions and effects durable. Beside it stands SQLite alone with
// the same row writes, in groups of the same size.
func (b *bench) pipeline(ctx context.Context) error {
	events := newArena(sandbox.GenOptions{Seed: 2, Events: b.count(pipelineEvents)})
	b.say("pipeline: %d events of %d bytes on average, batches of %d", events.len(), len(events.text)/events.len(), pipelineBatch)
	trace, err := b.traceWrites(ctx, events)
	if err != nil {
		return fmt.Errorf("trace of row writes: %w", err)
	}
	b.say("pipeline: %s", trace)
	var found pipelineFound
	for range b.rounds {
		group, err := b.pipelineRound(ctx, events, trace, &found)
		if err != nil {
			return err
		}
		// SQLite alone runs between the rounds, so that both meet the same disk.
		replayed, err := trace.replay(b.folder(), group)
		if err != nil {
			return fmt.Errorf("replay of row writes: %w", err)
		}
		found.alone = append(found.alone, float64(trace.events)/replayed.Seconds())
	}
	b.capacity = found.rates.median()
	b.reportPipeline(trace, &found)
	return nil
}

// pipelineFound is what the rounds came to: the product's events per second,
// those of SQLite alone, row writes in a transaction, and microseconds of
// processor time for an event.
type pipelineFound struct{ rates, alone, groups, processor rounds }

// pipelineRound is one run on an empty folder. It returns the mean number of
// row writes that were committed together.
func (b *bench) pipelineRound(ctx context.Context, events *arena, trace *trace, found *pipelineFound) (group float64, err error) {
	dir := b.folder()
	s, err := b.startService(ctx, dir, teamPolicies)
	if err != nil {
		return 0, err
	}
	shm := filepath.Join(dir, "data", "modelwarden.db-shm")
	before, err := commits(shm)
	if err != nil {
		return 0, errors.Join(err, s.end())
	}
	elapsed, err := s.drive(ctx, &load{events: events, batch: pipelineBatch, connections: pipelineConnections})
	after, again := commits(shm)
	if err = errors.Join(err, again, s.end()); err != nil {
		return 0, err
	}
	group = float64(len(trace.writes)) / float64(max(1, after-before))
	found.rates = append(found.rates, float64(events.len())/elapsed.Seconds())
	found.groups = append(found.groups, group)
	found.processor = append(found.processor, float64(s.processor().Microseconds())/float64(events.len()))
	return group, os.RemoveAll(dir)
}

func (b *bench) reportPipeline(t *trace, f *pipelineFound) {
	section := fmt.Sprintf("end to end, %d events in batches of %d", t.events, pipelineBatch)
	add := func(what, unit string, r rounds, t *target) {
		b.report.add(row{Section: section, What: what, Value: r.median(), Unit: unit, Spread: r.spread(), Target: t})
	}
	add("accepted to settled", "events/s", f.rates, atLeast(6000))
	b.report.add(besides(row{Section: section, What: "the same", Unit: "events/s", Beside: "SQLite alone", Target: atLeast(0.6)}, f.rates, f.alone))
	add("processor time of an event", "µs", f.processor, nil)
	b.report.add(row{Section: section, What: "row writes of an event", Value: float64(len(t.writes)) / float64(t.events), Note: t.summary()})
	add("row writes in a transaction", "", f.groups, nil)
}

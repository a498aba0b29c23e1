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
	pipelineEvents      = 60_000
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
	var rates, alone, groups rounds
	for range b.rounds {
		rate, group, err := b.pipelineRound(ctx, events, trace)
		if err != nil {
			return err
		}
		// SQLite alone runs between the rounds, so that both meet the same disk.
		replayed, err := trace.replay(b.folder(), group)
		if err != nil {
			return fmt.Errorf("replay of row writes: %w", err)
		}
		rates, groups = append(rates, rate), append(groups, group)
		alone = append(alone, float64(trace.events)/replayed.Seconds())
	}
	b.capacity = rates.median()
	b.reportPipeline(trace, rates, alone, groups)
	return nil
}

// pipelineRound is one run on an empty folder. group is the mean number of row
// writes that were committed together.
func (b *bench) pipelineRound(ctx context.Context, events *arena, trace *trace) (rate, group float64, err error) {
	dir := b.folder()
	s, err := b.startService(ctx, dir, teamPolicies)
	if err != nil {
		return 0, 0, err
	}
	shm := filepath.Join(dir, "data", "modelwarden.db-shm")
	before, err := commits(shm)
	if err != nil {
		return 0, 0, errors.Join(err, s.end())
	}
	elapsed, err := s.drive(ctx, &load{events: events, batch: pipelineBatch, connections: pipelineConnections})
	after, again := commits(shm)
	if err = errors.Join(err, again, s.end()); err != nil {
		return 0, 0, err
	}
	group = float64(len(trace.writes)) / float64(max(1, after-before))
	return float64(events.len()) / elapsed.Seconds(), group, os.RemoveAll(dir)
}

func (b *bench) reportPipeline(t *trace, rates, alone, groups rounds) {
	section := fmt.Sprintf("end to end, %d events in batches of %d", t.events, pipelineBatch)
	perEvent := float64(len(t.writes)) / float64(t.events)
	b.report.add(row{Section: section, What: "accepted to settled", Value: rates.median(), Unit: "events/s", Spread: rates.spread(), Target: atLeast(6000)})
	b.report.add(besides(row{Section: section, What: "the same", Unit: "events/s", Beside: "SQLite alone", Target: atLeast(0.6)}, rates, alone))
	b.report.add(row{Section: section, What: "row writes of an event", Value: perEvent, Note: t.summary()})
	b.report.add(row{Section: section, What: "row writes in a group", Value: groups.median(), Spread: groups.spread()})
}

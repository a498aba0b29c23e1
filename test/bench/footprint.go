package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

const (
	mebibyte = 1 << 20
	megabyte = 1_000_000
	// Resident memory is looked at after the first and after all of these.
	footprintFirst  = 50_000
	footprintEvents = 200_000
	footprintStarts = 10
)

// footprint measures size, start and memory. Memory must not follow the
// number of events: as many again three times over may add a little, for
// caches that fill.
func (b *bench) footprint(ctx context.Context) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	const section = "footprint"
	b.report.add(row{Section: section, What: "binary, stripped", Value: float64(info.Size()) / megabyte, Unit: "MB", Target: atMost(40)})
	starts, err := b.starts(ctx)
	if err != nil {
		return err
	}
	b.report.add(row{Section: section, What: "start to ready, empty folder", Value: starts.median(), Unit: "ms", Spread: starts.spread(), Target: atMost(300)})
	m, err := b.memoryUnderLoad(ctx)
	if err != nil {
		return err
	}
	first, all := b.count(footprintFirst), b.count(footprintEvents)
	b.report.add(row{Section: section, What: "resident memory at most, under load", Value: m.peak, Unit: "MiB", Target: atMost(150)})
	b.report.add(row{Section: section, What: fmt.Sprintf("resident memory after %d events", all), Value: m.last, Unit: "MiB",
		Beside: fmt.Sprintf("after %d", first), Baseline: m.first, Target: atMost(1.25)})
	return nil
}

// starts measures from the start of the process to the first 200 of /readyz.
func (b *bench) starts(ctx context.Context) (rounds, error) {
	b.say("footprint: %d starts", footprintStarts)
	var out rounds
	for range footprintStarts {
		p, err := b.serve(ctx, b.folder())
		if err != nil {
			return nil, err
		}
		out = append(out, milliseconds(p.ready))
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// memoryFound is resident memory in MiB.
type memoryFound struct{ first, last, peak float64 }

// memoryUnderLoad drives one service with all events. Resident memory after a
// part is the mean of samples over its last second of load, since the garbage
// collector lets it swing.
func (b *bench) memoryUnderLoad(ctx context.Context) (m memoryFound, err error) {
	events := newArena(sandbox.GenOptions{Seed: 6, Events: b.count(footprintEvents)})
	b.say("footprint: memory under %d events", events.len())
	s, err := b.startService(ctx, b.folder(), teamPolicies)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	l := &load{events: events, batch: pipelineBatch, connections: pipelineConnections}
	if m.first, err = b.memoryAt(ctx, s, l, b.count(footprintFirst)); err != nil {
		return m, err
	}
	if m.last, err = b.memoryAt(ctx, s, l, events.len()); err != nil {
		return m, err
	}
	_, peak, err := s.memory()
	m.peak = float64(peak) / mebibyte
	return m, err
}

// memoryAt drives the service until events up to end are settled, and answers
// its mean resident memory in MiB over the second half of that.
func (b *bench) memoryAt(ctx context.Context, s *service, l *load, end int) (float64, error) {
	all := l.events
	l.events = &arena{text: all.text, ends: all.ends[:end]}
	defer func() { l.events = all; l.next.Store(int64(end)) }()
	sampling, stop := context.WithCancel(ctx)
	samples := make(chan rounds, 1)
	go func() { samples <- s.sampleMemory(sampling) }()
	_, err := s.drive(ctx, l)
	stop()
	found := <-samples
	if err != nil {
		return 0, err
	}
	found = found[len(found)/2:]
	if len(found) == 0 {
		return 0, errors.New("no memory sample: memory is read from /proc, which this system does not have")
	}
	total := 0.0
	for _, v := range found {
		total += v
	}
	return total / float64(len(found)), nil
}

// sampleMemory reads resident memory, in MiB, ten times a second.
func (s *service) sampleMemory(ctx context.Context) (out rounds) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return out
		case <-tick.C:
		}
		if resident, _, err := s.memory(); err == nil {
			out = append(out, float64(resident)/mebibyte)
		}
	}
}

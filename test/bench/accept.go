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
	acceptConnections = 32
	acceptEvents      = 300_000
	// warmUp opens connections, statements and files before the clock runs.
	warmUp        = 200 * time.Millisecond
	acceptMeasure = 1200 * time.Millisecond
)

// acceptTargets are how many times the glue's rate must be reached.
var acceptTargets = []struct {
	batch  int
	target *target
}{{1, atLeast(5)}, {10, atLeast(2.5)}, {100, atLeast(1.5)}, {1000, nil}}

// contender is a server that takes events in.
type contender struct {
	name  string
	start func(ctx context.Context, dir string) (*process, error)
	// stored counts the events on disk after a crash; nil where nothing is
	// kept, or where events are worked off meanwhile.
	stored func(ctx context.Context, dir string) (int, error)
	wrap   bool
}

const (
	nameBare   = "bare handler"
	nameGlue   = "glue"
	nameAccept = "modelwarden, accept path"
	nameFull   = "modelwarden, all roles"
)

func (b *bench) contenders() []contender {
	baseline := func(kind string) func(context.Context, string) (*process, error) {
		return func(ctx context.Context, dir string) (*process, error) {
			return spawn(ctx, dir, b.self, baselineCommand, "--kind", kind, "--data", dir)
		}
	}
	subscriber := func(ctx context.Context, dir string) (*process, error) {
		return b.serve(ctx, dir, "--roles", "subscriber,web")
	}
	return []contender{
		{name: nameBare, start: baseline("bare"), wrap: true},
		{name: nameGlue, start: baseline("glue"), stored: glueRows},
		{name: nameAccept, start: subscriber, stored: func(ctx context.Context, dir string) (int, error) {
			p, err := subscriber(ctx, dir)
			if err != nil {
				return 0, err
			}
			n, err := p.waiting(ctx, true)
			return n, errors.Join(err, p.stop())
		}},
		{name: nameFull, start: func(ctx context.Context, dir string) (*process, error) { return b.serve(ctx, dir) }},
	}
}

// accept measures accepted, durable events per second by batch size. Every
// round starts each server on an empty folder, kills it after the load, and
// counts what is left: all that was answered must be there.
func (b *bench) accept(ctx context.Context) error {
	events := newArena(sandbox.GenOptions{Seed: 1, Events: b.count(acceptEvents), Assets: 1000})
	b.say("accept: %d events of %d bytes on average, %d connections", events.len(), len(events.text)/events.len(), acceptConnections)
	for _, size := range acceptTargets {
		rates := map[string]rounds{}
		for range b.rounds {
			for _, c := range b.contenders() {
				rate, err := b.acceptRound(ctx, &c, events, size.batch)
				if err != nil {
					return fmt.Errorf("%s, batch %d: %w", c.name, size.batch, err)
				}
				rates[c.name] = append(rates[c.name], rate)
			}
		}
		b.reportAccept(size.batch, size.target, rates)
	}
	return nil
}

// acceptRound is one load on one fresh server, in events per second.
func (b *bench) acceptRound(ctx context.Context, c *contender, events *arena, batch int) (float64, error) {
	dir := b.folder()
	p, err := c.start(ctx, dir)
	if err != nil {
		return 0, err
	}
	warm, measured, err := b.fire(ctx, p, &load{events: events, batch: batch, connections: acceptConnections, wrap: c.wrap})
	if err = errors.Join(err, p.kill()); err != nil {
		return 0, err
	}
	if c.stored != nil {
		stored, err := c.stored(ctx, dir)
		if err != nil {
			return 0, err
		}
		if want := warm.events + measured.events; stored != want {
			return 0, fmt.Errorf("%d events were accepted, %d are on disk after a crash", want, stored)
		}
	}
	return measured.rate(), os.RemoveAll(dir)
}

// fire runs a load, first unmeasured, then measured.
func (b *bench) fire(ctx context.Context, p *process, l *load) (warm, measured sent, err error) {
	clients, err := dialAll(ctx, p.host(), l.connections)
	if err != nil {
		return warm, measured, err
	}
	defer closeAll(clients)
	if warm, err = l.run(ctx, clients, warmUp); err != nil {
		return warm, measured, err
	}
	measured, err = l.run(ctx, clients, b.duration(acceptMeasure))
	return warm, measured, err
}

func (b *bench) reportAccept(batch int, t *target, rates map[string]rounds) {
	section := fmt.Sprintf("accepted and durable, batch %d", batch)
	compare := func(what, beside string, t *target) {
		b.report.add(besides(row{Section: section, What: what, Unit: "events/s", Beside: beside, Target: t}, rates[what], rates[beside]))
	}
	compare(nameAccept, nameGlue, t)
	compare(nameAccept, nameBare, nil)
	compare(nameFull, nameGlue, nil)
	compare(nameGlue, nameBare, nil)
}

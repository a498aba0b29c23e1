package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/azure/cosmos"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// The loads of the Azure section: as Event Grid sends when it is busy, and one
// event after the other, each worked off before the next comes.
const (
	azureEvents  = 10_000
	azureSingles = 400
	azureQueue   = "modelwarden-events"
)

// azure measures what one event costs on the Azure engines: requests and
// request units at Cosmos DB, frames at Service Bus. The servers are those that
// the tests run on, in this process, with their documented formulas; so the
// rate says little and the costs say all.
func (b *bench) azure(ctx context.Context) error {
	for _, l := range []struct {
		section           string
		events, batch     int
		requests, charges *target
	}{
		{"Azure engines, busy: batches of 100", b.count(azureEvents), pipelineBatch, atMost(2), atMost(30)},
		{"Azure engines, quiet: one event at a time", b.count(azureSingles), 1, nil, nil},
	} {
		events := newArena(sandbox.GenOptions{Seed: 4, Events: l.events})
		b.say("azure: %d events, batches of %d", events.len(), l.batch)
		cost, err := b.azureRound(ctx, events, l.batch)
		if err != nil {
			return fmt.Errorf("%s: %w", l.section, err)
		}
		n := float64(events.len())
		add := func(what, unit string, value float64, t *target, note string) {
			b.report.add(row{Section: l.section, What: what, Value: value / n, Unit: unit, Target: t, Note: note})
		}
		add("Cosmos DB requests of an event", "", cost.requests, l.requests, cost.operations)
		add("request units of an event", "RU", cost.units, l.charges, "")
		add("AMQP transfers of an event, both ways", "", cost.transfers, nil, "")
		add("AMQP dispositions of an event, both ways", "", cost.dispositions, nil, "")
		b.report.add(row{Section: l.section, What: "accepted to settled, servers on the same cores", Value: n / cost.elapsed.Seconds(), Unit: "events/s"})
	}
	return nil
}

// azureCost is what a load cost in all.
type azureCost struct {
	requests, units         float64
	transfers, dispositions float64
	operations              string
	elapsed                 time.Duration
}

// azureRound sends one load to a service on fresh servers.
func (b *bench) azureRound(ctx context.Context, events *arena, batch int) (cost azureCost, err error) {
	db := cosmos.New(cosmos.Options{})
	bus := servicebus.New(servicebus.Options{Queues: map[string]servicebus.Queue{azureQueue: {}}})
	defer func() { bus.Close(); err = errors.Join(err, db.Close()) }()
	if err := errors.Join(bus.Start("127.0.0.1:0"), db.Start("127.0.0.1:0")); err != nil {
		return cost, err
	}
	env := []string{
		"MODELWARDEN_SERVICEBUS_CONNECTION_STRING=" + bus.ConnectionString(), "MODELWARDEN_SERVICEBUS_QUEUE=" + azureQueue,
		"MODELWARDEN_COSMOS_ENDPOINT=" + db.URL(), "MODELWARDEN_COSMOS_KEY=" + db.Key(),
	}
	if err := b.provision(ctx, env); err != nil {
		return cost, err
	}
	s, err := b.startServiceWith(ctx, env, b.folder(), teamPolicies)
	if err != nil {
		return cost, err
	}
	s.queued = func(context.Context) (int, error) {
		n := bus.Counts(azureQueue)
		return int(n.Active + n.Locked), nil
	}
	before, sent := db.Stats(), bus.Stats()
	if batch == 1 {
		cost.elapsed, err = s.driveSingly(ctx, events)
	} else {
		cost.elapsed, err = s.drive(ctx, &load{events: events, batch: batch, connections: pipelineConnections})
	}
	after, received := db.Stats(), bus.Stats()
	cost.add(before, after)
	cost.transfers = float64(received.TransfersIn + received.TransfersOut - sent.TransfersIn - sent.TransfersOut)
	cost.dispositions = float64(received.DispositionsIn + received.DispositionsOut - sent.DispositionsIn - sent.DispositionsOut)
	return cost, errors.Join(err, s.end())
}

// provision creates database and container.
func (b *bench) provision(ctx context.Context, env []string) error {
	cmd := exec.CommandContext(ctx, b.binary, "init")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("init: %w\n%s", err, out)
	}
	return nil
}

func (c *azureCost) add(before, after cosmos.Stats) {
	var parts []string
	for op, n := range after {
		requests := n.Requests - before[op].Requests
		if requests == 0 {
			continue
		}
		c.requests += float64(requests)
		c.units += n.RequestUnits - before[op].RequestUnits
		parts = append(parts, fmt.Sprintf("%s %d", op, requests))
	}
	c.operations = strings.Join(parts, ", ")
}

// driveSingly posts one event after the other, each when the one before it is
// worked off.
func (s *service) driveSingly(ctx context.Context, events *arena) (time.Duration, error) {
	c, err := dial(ctx, s.host())
	if err != nil {
		return 0, err
	}
	defer c.close()
	start := time.Now()
	for i := range events.len() {
		if err := c.post(events, i, i+1); err != nil {
			return 0, err
		}
		if err := s.drained(ctx); err != nil {
			return 0, err
		}
	}
	elapsed := time.Since(start)
	s.accepted += events.len()
	return elapsed, s.settled(ctx)
}

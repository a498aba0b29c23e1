package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// manyPolicies is how many policies are loaded to show what those cost that do
// not match.
const manyPolicies = 1000

// decide measures the two pure functions of the worker, and what policies cost
// that have nothing to say.
func (b *bench) decide(context.Context) error {
	b.say("decide: reduce and decide, with 1 and with %d policies", manyPolicies)
	events, err := parsed(sandbox.GenOptions{Seed: 3, Events: 4096})
	if err != nil {
		return err
	}
	breaches := only(events, event.MonitorBreached)
	d := &decideCosts{report: b.report}
	d.cost("reduce", func(b *testing.B) { reduceAll(b, events) })
	var silent [2]float64
	for i, n := range []int{1, manyPolicies} {
		others, err := compile(n, false)
		if err != nil {
			return err
		}
		matching, err := compile(n, true)
		if err != nil {
			return err
		}
		d.cost(fmt.Sprintf("decide on a breach, one of %d matches", n), func(b *testing.B) { decideAll(b, matching, breaches, 1) })
		silent[i] = d.cost(fmt.Sprintf("decide on a breach, none of %d matches", n), func(b *testing.B) { decideAll(b, others, breaches, 0) })
		d.cost(fmt.Sprintf("decide on any event, none of %d matches", n), func(b *testing.B) { decideAll(b, others, events, 0) })
	}
	b.report.add(row{Section: decideSection, What: fmt.Sprintf("none of %d matches", manyPolicies), Value: silent[1], Unit: "ns/event",
		Beside: "none of 1", Baseline: silent[0], Target: atMost(5)})
	b.report.add(row{Section: decideSection, What: "each policy that does not match", Value: max(0, silent[1]-silent[0]) / (manyPolicies - 1), Unit: "ns/event", Target: atMost(1)})
	return d.err
}

const decideSection = "reduce and decide"

// decideCosts collects what functions cost.
type decideCosts struct {
	report *report
	err    error
}

// cost measures f for a second and reports time and allocations per event.
func (d *decideCosts) cost(what string, f func(*testing.B)) float64 {
	r := testing.Benchmark(f)
	if r.N == 0 {
		d.err = errors.Join(d.err, fmt.Errorf("%s: the benchmark failed", what))
		return 0
	}
	ns := float64(r.T.Nanoseconds()) / float64(r.N)
	d.report.add(row{Section: decideSection, What: what, Value: ns, Unit: "ns/event",
		Note: fmt.Sprintf("%d B, %d allocations", r.AllocedBytesPerOp(), r.AllocsPerOp())})
	return ns
}

// parsed are generated events as the worker reads them.
func parsed(o sandbox.GenOptions) ([]*event.Event, error) {
	o.Schema = sandbox.CloudEvents
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		return nil, err
	}
	var out []*event.Event
	for e := range sandbox.Generate(o) {
		items, err := event.Split(typeOne, func(string) string { return "" }, append([]byte(nil), e.Body...))
		if err != nil {
			return nil, err
		}
		for i := range items {
			ev, err := parser.Parse(items[i].Envelope)
			if err != nil {
				return nil, err
			}
			out = append(out, ev)
		}
	}
	return out, nil
}

func only(events []*event.Event, kind event.Kind) (out []*event.Event) {
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// compile loads n policies, each for a model of its own by name, pattern or
// monitor. With matching, one more concerns every model.
func compile(n int, matching bool) (*policy.Set, error) {
	var y strings.Builder
	y.WriteString("targets: {trainer: {log: {}}}\npolicies:\n")
	for i := range n {
		match := fmt.Sprintf("{workspace: contoso-ml, model: payments-%d}", i)
		switch {
		case matching && i == 0:
			match = `{model: "model_*"}`
		case i%3 == 1:
			match = fmt.Sprintf(`{model: "payments-%d-*"}`, i)
		case i%3 == 2:
			match = fmt.Sprintf(`{monitor: ["watch-%d", "watch-%d-*"]}`, i, i)
		}
		body := breachPolicy
		if i%2 == 1 {
			body = otherPolicy
		}
		_, _ = fmt.Fprintf(&y, body, i, match)
	}
	f, err := policy.Parse("bench.yaml", []byte(y.String()))
	if err != nil {
		return nil, err
	}
	return policy.Compile(f, policy.CompileOptions{})
}

// What the policies of compile do, on breaches and on everything else.
const (
	breachPolicy = `  - name: p%d
    on: [monitor.breached, drift.detected]
    match: %s
    when: breach.metric == "PopulationStabilityIndex" && breach.value > 0.25
    sustained: {count: 1, of: 3}
    then:
      - retrain: {target: trainer, cooldown: 6h, maxPerDay: 2}
      - review: {severity: warning, ackWithin: 30m}
`
	otherPolicy = `  - name: p%d
    on: [job.completed, job.failed, job.status, model.registered, model.deployed, monitor.passed]
    match: %s
    then: [{review: {severity: info}}]
`
)

// decideAll asks as the worker does: whether any policy may concern the event,
// and only then what the policies make of it.
func decideAll(b *testing.B, set *policy.Set, events []*event.Event, want int) {
	b.ReportAllocs()
	now := events[0].Time.Add(time.Minute)
	for i := range b.N {
		ev := events[i%len(events)]
		decisions := 0
		if set.Selects(ev) {
			view := policy.View{Asset: string(lineage.PrimaryAsset(ev)), Model: string(lineage.ModelOf(ev))}
			decisions = len(set.Decide(ev, view, now).Decisions)
		}
		if decisions != want {
			b.Fatalf("%d decisions, want %d", decisions, want)
		}
	}
}

// reduceAll turns events into lineage: patches, joined with what is known.
func reduceAll(b *testing.B, events []*event.Event) {
	b.ReportAllocs()
	assets := map[lineage.ID]*lineage.Asset{}
	for i := range b.N {
		if i%len(events) == 0 {
			clear(assets)
		}
		for _, p := range lineage.Patches(events[i%len(events)]) {
			a := assets[p.Asset]
			if a == nil {
				a = &lineage.Asset{}
				assets[p.Asset] = a
			}
			a.Apply(p)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// The load of the latency section: single events at a tenth of what the
// pipeline can do, every probeEvery-th one a breach that a webhook hears of.
const (
	latencyMeasure     = 15 * time.Second
	latencyConnections = 16
	probeEvery         = 20
	// fallbackCapacity is assumed when the pipeline section did not run.
	fallbackCapacity = 6000
	// effectTimeout is how long the last effects are waited for.
	effectTimeout = 20 * time.Second
)

// latencyPolicy is added to the team's: it tells a webhook at once.
const latencyPolicy = `  - name: probe
    on: [monitor.breached]
    match: {workspace: probe-ml}
    when: breach.value > breach.threshold
    then: [{notify: {target: hook}}]
`

// probeSource is a workspace of its own, so that each probe is the first and
// only breach of its model.
const probeSource = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/ml-prod/providers/Microsoft.MachineLearningServices/workspaces/probe-ml"

// latency measures from the first byte of a request to the webhook that its
// breach causes, at a tenth of capacity.
func (b *bench) latency(ctx context.Context) error {
	capacity := b.capacity
	if capacity == 0 {
		capacity = fallbackCapacity
	}
	rate := capacity / 10
	n := int(rate * b.duration(latencyMeasure).Seconds())
	events, probes := latencyEvents(n)
	b.say("latency: %d events at %.0f/s, %d of them probes", n, rate, len(probes))
	policies := strings.Replace(string(teamPolicies), "targets:\n", latencyPolicy+"targets:\n", 1)
	s, err := b.startService(ctx, b.folder(), []byte(policies))
	if err != nil {
		return err
	}
	times, err := s.paced(ctx, events, rate)
	if err == nil {
		err = b.reportLatency(ctx, s, times, probes, rate)
	}
	return errors.Join(err, s.end())
}

// latencyEvents mixes the usual events with probes; probes maps a probe's model to
// its place.
func latencyEvents(n int) (events *arena, probes map[string]int) {
	events, probes = &arena{}, map[string]int{}
	wanted := n / probeEvery
	var breaches [][]byte
	var models []string
	seen := map[string]bool{}
	for e := range sandbox.Generate(sandbox.GenOptions{Seed: 5, Events: 20*wanted + 1000, Assets: 2*wanted + 10, Mix: sandbox.Mix{Breach: 1},
		Schema: sandbox.CloudEvents, Source: probeSource}) {
		if model := probedModel(e.Body); model != "" && !seen[model] && len(breaches) < wanted {
			seen[model] = true
			breaches = append(breaches, append([]byte(nil), e.Body...))
			models = append(models, model)
		}
	}
	for e := range sandbox.Generate(sandbox.GenOptions{Seed: 4, Events: n - len(breaches), Schema: sandbox.CloudEvents}) {
		if k := len(probes); events.len()%probeEvery == probeEvery-1 && k < len(breaches) {
			probes[models[k]] = events.len()
			events.add(breaches[k])
		}
		events.add(e.Body)
	}
	return events, probes
}

// probedModel is the model of a breach event, "" for any other event.
func probedModel(body []byte) string {
	var e struct {
		Data struct {
			ExperimentName string
			RunTags        map[string]string
		}
	}
	if json.Unmarshal(body, &e) != nil || e.Data.RunTags[sandbox.BreachTag] == "" {
		return ""
	}
	return strings.TrimSuffix(e.Data.ExperimentName, "_monitor")
}

// sendTimes are when each event was due and when it was answered.
type sendTimes struct {
	due, answered []time.Time
}

// paced sends single events at a constant rate whatever the answers do, and
// counts from when an event was due: a slow server can't slow the clock.
func (s *service) paced(ctx context.Context, events *arena, rate float64) (*sendTimes, error) {
	clients, err := dialAll(ctx, s.host(), latencyConnections)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	n := events.len()
	t := &sendTimes{due: make([]time.Time, n), answered: make([]time.Time, n)}
	interval := time.Duration(float64(time.Second) / rate)
	work := make(chan int, n)
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		g.Go(func() error {
			for i := range work {
				if err := c.post(events, i, i+1); err != nil {
					return err
				}
				t.answered[i] = time.Now()
			}
			return nil
		})
	}
	start := time.Now()
	for i := range n {
		t.due[i] = start.Add(time.Duration(i) * interval)
		if wait := time.Until(t.due[i]); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	return t, g.Wait()
}

// effects are when the webhook first heard of each probe's model.
func (s *service) effects(ctx context.Context, want int) (map[string]time.Time, error) {
	deadline := time.Now().Add(effectTimeout)
	for {
		first := map[string]time.Time{}
		for _, d := range s.recorder.Deliveries() {
			var m struct {
				Data struct{ Policy, Model string }
			}
			if err := json.Unmarshal(d.Body, &m); err != nil {
				return nil, fmt.Errorf("webhook: %w", err)
			}
			if _, known := first[m.Data.Model]; m.Data.Policy == "probe" && !known {
				first[m.Data.Model] = d.Time
			}
		}
		if len(first) >= want {
			return first, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d breaches had an effect within %s, want %d", len(first), effectTimeout, want)
		}
		pause(ctx, pollEvery)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (b *bench) reportLatency(ctx context.Context, s *service, t *sendTimes, probes map[string]int, rate float64) error {
	effects, err := s.effects(ctx, len(probes))
	if err != nil {
		return err
	}
	var effect, answer rounds
	for model, i := range probes {
		at, ok := effects["model/probe-ml/"+model]
		if !ok {
			return fmt.Errorf("the breach of %s had no effect; others had: %d", model, len(effects))
		}
		effect = append(effect, milliseconds(at.Sub(t.due[i])))
	}
	for i := range t.answered {
		answer = append(answer, milliseconds(t.answered[i].Sub(t.due[i])))
	}
	section := fmt.Sprintf("latency at a tenth of capacity, %.0f events/s one by one", rate)
	for _, x := range []struct {
		what  string
		times rounds
	}{{"request to answer", answer}, {"request to webhook", effect}} {
		b.report.add(row{Section: section, What: x.what + ", p50", Value: x.times.quantile(0.5), Unit: "ms", Note: fmt.Sprintf("of %d", len(x.times))})
		b.report.add(row{Section: section, What: x.what + ", p99", Value: x.times.quantile(0.99), Unit: "ms"})
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

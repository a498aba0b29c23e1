package lineage

import (
	"maps"
	"slices"

	"github.com/modelwarden/modelwarden/internal/event"
)

// The registers here are written by enriched events alone.

// maxMetrics bounds the metrics that are kept of one run.
const maxMetrics = 256

// facts writes what Azure Machine Learning says of a run besides its events:
// a register for each fact, one for its parameters, one for its metrics.
func (p *Patch) facts(r *event.Run) {
	for _, name := range slices.Sorted(maps.Keys(r.Facts)) {
		p.text(name, r.Facts[name])
	}
	p.object("parameters", r.Parameters)
	if len(r.Metrics) == 0 {
		return
	}
	kept := make(map[string]float64, min(len(r.Metrics), maxMetrics))
	for _, name := range slices.Sorted(maps.Keys(r.Metrics))[:min(len(r.Metrics), maxMetrics)] {
		kept[clip(name)] = r.Metrics[name]
	}
	p.value("metrics", kept)
}

// schedule writes a monitor's definition.
func (p *Patch) schedule(s *event.Schedule) {
	if s == nil {
		return
	}
	p.text("endpoint", s.Endpoint)
	p.text("deployment", s.Deployment)
	p.text("every", s.Every)
	p.text("cron", s.Cron)
	p.value("enabled", s.Enabled)
	if len(s.Signals) > 0 {
		p.value("signals", s.Signals[:min(len(s.Signals), maxSignals)])
	}
}

// maxSignals bounds the signals that are kept of a monitor.
const maxSignals = 64

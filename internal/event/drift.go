package event

import (
	"cmp"
	"strings"
)

// driftDetected reads dataDriftId, dataDriftName, runId, baseDatasetId,
// targetDatasetId, driftCoefficient, startTime, endTime; the subject is
// datadrift/{id}/run/{runId}, also seen with both words in the plural.
func (p *Parser) driftDetected(e *Event, d *document) *Problem {
	drift, run := &Drift{}, &Run{}
	var id, name string
	var coefficient *float64
	for key, v := range d.members(d.root) {
		switch {
		case strings.EqualFold(key, "dataDriftId"):
			id = d.name(v)
		case strings.EqualFold(key, "dataDriftName"):
			name = d.name(v)
		case strings.EqualFold(key, "runId"):
			run.ID = d.name(v)
		case strings.EqualFold(key, "baseDatasetId"):
			drift.BaseDataset = d.name(v)
		case strings.EqualFold(key, "targetDatasetId"):
			drift.TargetDataset = d.name(v)
		case strings.EqualFold(key, "driftCoefficient"):
			coefficient = d.number(v)
		case strings.EqualFold(key, "startTime"):
			drift.Start = parseInstant(d.name(v))
		case strings.EqualFold(key, "endTime"):
			drift.End = parseInstant(d.name(v))
		}
	}
	name = cmp.Or(name, id, segment(e.Subject, "datadrift"), segment(e.Subject, "datadrifts"))
	run.ID = cmp.Or(run.ID, segment(e.Subject, "run"), segment(e.Subject, "runs"))
	if name == "" {
		return badData(e, "which drift monitor", "dataDriftName, dataDriftId", "datadrift/{id}/run/{runId}")
	}
	e.setDrift(p, name, run, drift, coefficient)
	return nil
}

// setDrift makes a monitor with one breach of a drift. Without a run, the
// event itself is the window: its redeliveries still coalesce.
func (e *Event) setDrift(p *Parser, name string, run *Run, drift *Drift, coefficient *float64) {
	e.Kind, e.Drift = DriftDetected, drift
	e.Monitor = &Monitor{
		Name:   name,
		Model:  p.watchedModel(e.Workspace.Alias, name, nil),
		Window: cmp.Or(run.ID, e.ID),
	}
	if run.ID != "" {
		e.Run = run
	}
	e.Breaches = []Breach{{
		Monitor: name, Signal: name, SignalType: "data_drift",
		Metric: "drift_coefficient", Value: coefficient, Direction: HigherIsBad,
	}}
}

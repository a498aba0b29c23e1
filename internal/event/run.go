package event

import (
	"cmp"
	"strings"
)

// statuses are the states of an Azure Machine Learning run as Azure writes
// them. [armmachinelearning JobStatus]
var statuses = []string{
	"NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running",
	"Finalizing", "CancelRequested", "Completed", "Failed", "Canceled",
	"NotResponding", "Paused", "Unknown",
}

// status gives a status Azure's casing; one that is unknown stays as it is.
func status(s string) string {
	if strings.EqualFold(s, "Cancelled") {
		return "Canceled"
	}
	for _, known := range statuses {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return s
}

// kindOf is what a status means. A cancellation is somebody's wish, not a
// failure.
func kindOf(status string) Kind {
	switch status {
	case "Completed":
		return JobCompleted
	case "Failed", "NotResponding":
		return JobFailed
	default:
		return JobStatus
	}
}

func (p *Parser) runCompleted(e *Event, d *document) *Problem {
	run, tags := readRun(d)
	run.Status = cmp.Or(run.Status, "Completed")
	e.Kind = JobCompleted
	return p.finishRun(e, run, tags)
}

func (p *Parser) runStatusChanged(e *Event, d *document) *Problem {
	run, tags := readRun(d)
	e.Kind = kindOf(run.Status)
	return p.finishRun(e, run, tags)
}

// readRun reads experimentId, experimentName, runId, runType, runTags,
// runProperties and runStatus, and the breach tags in their order.
func readRun(d *document) (*Run, []breachTag) {
	run := &Run{}
	var tags []breachTag
	for key, v := range d.members(d.root) {
		switch {
		case strings.EqualFold(key, "runId"):
			run.ID = d.name(v)
		case strings.EqualFold(key, "experimentId"):
			run.ExperimentID = d.name(v)
		case strings.EqualFold(key, "experimentName"):
			run.ExperimentName = d.name(v)
		case strings.EqualFold(key, "runType"):
			run.Type = d.name(v)
		case strings.EqualFold(key, "runStatus"):
			run.Status = status(d.name(v))
		case strings.EqualFold(key, "runTags"):
			run.Tags, tags = d.stringMap(v), d.breachTags(v)
		case strings.EqualFold(key, "runProperties"):
			run.Properties = d.stringMap(v)
		}
	}
	return run, tags
}

// finishRun fills in what follows from the parts of a run's event. The subject
// is experiments/{id}/runs/{runId}.
func (p *Parser) finishRun(e *Event, run *Run, tags []breachTag) *Problem {
	run.ID = cmp.Or(run.ID, segment(e.Subject, "runs"))
	if run.ID == "" {
		return badData(e, "which run", "runId", "experiments/{id}/runs/{runId}")
	}
	run.ExperimentID = cmp.Or(run.ExperimentID, segment(e.Subject, "experiments"))
	run.Inputs, e.Trimmed = p.inputs(run.Properties, run.Tags)
	run.Origin = origin(run)
	e.Run = run
	p.monitorRun(e, tags)
	return nil
}

var originKey = newKeyList([]string{OriginTag})

// origin is the action that a run's tags, else its properties, name.
func origin(run *Run) string {
	for _, m := range []map[string]string{run.Tags, run.Properties} {
		if v := originKey.values(m); len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

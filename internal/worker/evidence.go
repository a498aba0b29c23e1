package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Bounds of what is looked at for one retrain.
const (
	maxLoopJobs     = 4
	maxLoopVersions = 8
)

// evidence reads what the lineage knows of a retrain: its run, the model
// versions that came of it, where they went into service, and what the monitor
// has measured. monitor is the document of the action's partition.
func (w *Worker) evidence(ctx context.Context, a *policy.Action, c *clue, monitor *lineage.Asset) (policy.Evidence, error) {
	e := policy.Evidence{Comparison: c.comparison}
	versions, err := w.jobEvidence(ctx, a, c, &e)
	if err != nil {
		return e, err
	}
	model, _ := lineage.ParseID(a.Model)
	for _, id := range versions {
		if model != "" && id.Name() != model.Name() {
			continue
		}
		v, err := w.versionEvidence(ctx, id)
		if err != nil {
			return e, err
		}
		e.Versions = append(e.Versions, v)
	}
	if monitor == nil || monitor.ID.Kind() != lineage.Monitor {
		e.Unmeasured = true
		return e, nil
	}
	signal, _ := a.Inputs["signal"].(string)
	e.Windows = measuredOf(monitor, signal, a.Window)
	return e, nil
}

// jobEvidence finds the retrain's run and what it produced.
func (w *Worker) jobEvidence(ctx context.Context, a *policy.Action, c *clue, e *policy.Evidence) ([]lineage.ID, error) {
	versions := slices.Clone(c.version)
	if id, err := lineage.ParseID(a.Loop.Version); err == nil {
		versions = append(versions, id)
	}
	for _, id := range candidateJobs(a, c) {
		job, err := lineage.Load(ctx, w.o.Store, id)
		if err != nil {
			return nil, err
		}
		if job == nil {
			continue
		}
		versions = append(versions, others(job, lineage.Produced, true, maxLoopVersions)...)
		if e.Job != "" {
			continue
		}
		e.Job = string(id)
		if status := job.Text("status"); status != "" {
			if _, ended := endState(status); ended {
				e.Status, e.Ended = status, job.Fields["status"].S.At
			}
		}
	}
	unheard(a, e)
	slices.Sort(versions)
	return slices.Compact(versions), nil
}

// unheard says how a run ended that no event told of: the target reports none,
// or it was waited for in vain.
func unheard(a *policy.Action, e *policy.Evidence) {
	switch {
	case !e.Ended.IsZero():
	case a.State == policy.Succeeded && a.Outcome != nil && a.Outcome.Run == "":
		e.Status, e.Ended = "Completed", a.Loop.Started
	case a.State == policy.Failed:
		e.Status, e.Ended = "NotResponding", a.Updated
	}
}

// candidateJobs are the runs that may be the retrain's: first the one that the
// target named, then those that name the action.
func candidateJobs(a *policy.Action, c *clue) []lineage.ID {
	run := ""
	if a.Outcome != nil {
		run = a.Outcome.Run
	}
	jobs := slices.Clone(c.jobs)
	if run != "" {
		_, partition, _ := policy.SplitID(a.ID)
		jobs = append(jobs, lineage.NewID(lineage.Job, lineage.ID(partition).Workspace(), run))
	}
	if id, err := lineage.ParseID(a.Loop.Job); err == nil {
		jobs = append(jobs, id)
	}
	slices.SortFunc(jobs, func(x, y lineage.ID) int {
		named := func(id lineage.ID) int {
			if id.Name() == run {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(named(x), named(y)), cmp.Compare(x, y))
	})
	jobs = slices.Compact(jobs)
	return jobs[:min(len(jobs), maxLoopJobs)]
}

// versionEvidence reads when a version was registered and when it first went
// into service.
func (w *Worker) versionEvidence(ctx context.Context, id lineage.ID) (policy.VersionEvidence, error) {
	v := policy.VersionEvidence{ID: string(id)}
	doc, err := lineage.Load(ctx, w.o.Store, id)
	if err != nil || doc == nil {
		return v, err
	}
	if f, ok := doc.Fields["registered"]; ok {
		v.Registered = f.S.At
	}
	for _, e := range doc.Edges {
		if e.Type == lineage.Deployed && e.Out && (v.Deployed.IsZero() || e.Since.At.Before(v.Deployed)) {
			v.Deployment, v.Deployed = string(e.Other), e.Since.At
		}
	}
	return v, nil
}

// startLoop notes that a target took a retrain on.
func startLoop(a *policy.Action, now time.Time) {
	if a.Type == policy.Retrain && a.Loop == nil {
		a.Loop = &policy.Loop{Started: now}
		*a.Loop = a.Loop.With(policy.Evidence{})
	}
}

// remark is what the review of the cause is told of a retrain.
func remark(a *policy.Action) string {
	text := fmt.Sprintf("retrain %s: %s", a.Key, a.Loop.Why)
	if a.Loop.Comparison != nil {
		text += "; " + a.Loop.Comparison.Text()
	}
	return text + " (" + string(a.Loop.Verdict) + ")"
}

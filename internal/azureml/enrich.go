package azureml

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Champion finds the version of a model that is in service, with its job where
// the lineage knows it; the zero Model is none.
type Champion = func(ctx context.Context, workspace, model string) (event.Model, error)

// Enricher adds to events what a workspace knows and they do not carry.
type Enricher struct {
	source Source
	known  func(event.Workspace) bool
}

// NewEnricher asks a source about the events of the workspaces that known
// admits; nil admits every event that says which workspace it is of.
func NewEnricher(source Source, known func(event.Workspace) bool) *Enricher {
	if known == nil {
		known = func(event.Workspace) bool { return true }
	}
	return &Enricher{source: source, known: known}
}

// Wants says whether there may be more to know about an event. It asks nobody.
func (e *Enricher) Wants(ev *event.Event) bool {
	if ev.Workspace.ID == "" || !e.known(ev.Workspace) {
		return false
	}
	return ev.Model != nil || ev.Deployment != nil || ev.Monitor != nil || ev.Run != nil
}

// Enrich changes ev in place, within what its Kind calls for, and returns the
// metrics of its run and those of the run that made the champion. What does
// not exist is no error; any error means that asking again may help.
func (e *Enricher) Enrich(ctx context.Context, ev *event.Event, champion Champion) (metrics, championMetrics map[string]float64, err error) {
	switch {
	case ev.Model != nil:
		metrics, err = e.model(ctx, ev)
	case ev.Deployment != nil:
		err = e.deployment(ctx, ev)
	case ev.Monitor != nil:
		metrics, err = e.monitor(ctx, ev)
	case ev.Run != nil:
		metrics, err = e.job(ctx, ev.Workspace, ev.Run)
	}
	if err != nil {
		return nil, nil, err
	}
	championMetrics, err = e.champion(ctx, ev, champion)
	return metrics, championMetrics, err
}

// found tells what there was to read; that it does not exist is an answer.
func found(err error) (bool, error) {
	if errors.Is(err, lineage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// model finds the job of a registered version, and what that job ran.
func (e *Enricher) model(ctx context.Context, ev *event.Event) (map[string]float64, error) {
	m := ev.Model
	if m.Job == "" {
		v, err := e.source.ModelVersion(ctx, ev.Workspace, m.Name, m.Version)
		if ok, err := found(err); !ok {
			return nil, err
		}
		m.Job = v.Job
	}
	if m.Job == "" {
		return nil, nil
	}
	job, err := e.source.Job(ctx, ev.Workspace, m.Job)
	if ok, err := found(err); !ok {
		return nil, err
	}
	m.Run = &event.Run{
		ID: m.Job, ExperimentName: job.Experiment, Type: job.Type,
		Tags: job.Tags, Properties: job.Properties, Origin: job.Tags[event.OriginTag],
	}
	// A job that registers its model before it ends is running where it is
	// read. Under the stamp of the registration, which may be the newer one,
	// that would hide the end that its own event told.
	if job.IsEnded() {
		m.Run.Status = job.Status
	}
	return e.describe(ctx, ev.Workspace, m.Run, job)
}

// job adds to a run what it read and ran on, why it failed, and what it logged.
func (e *Enricher) job(ctx context.Context, ws event.Workspace, run *event.Run) (map[string]float64, error) {
	job, err := e.source.Job(ctx, ws, run.ID)
	if ok, err := found(err); !ok {
		return nil, err
	}
	if (Job{Status: run.Status}).IsEnded() && !job.IsEnded() {
		return nil, fmt.Errorf("job %s is still %s where it is read, its event says %s: what it logged may not be there yet", run.ID, job.Status, run.Status)
	}
	return e.describe(ctx, ws, run, job)
}

func (e *Enricher) describe(ctx context.Context, ws event.Workspace, run *event.Run, job Job) (map[string]float64, error) {
	for _, name := range slices.Sorted(maps.Keys(job.Inputs)) {
		if data := job.Inputs[name].Data; data != nil && !slices.Contains(run.Inputs, *data) {
			run.Inputs = append(run.Inputs, *data)
		}
	}
	run.Facts = factsOf(job)
	logged, err := e.source.Run(ctx, ws, run.ID)
	if ok, err := found(err); !ok {
		return nil, err
	}
	run.Parameters = logged.Params
	if job.IsEnded() {
		run.Metrics = logged.Metrics
	}
	return logged.Metrics, nil
}

// factsOf are the registers of a job's own asset.
func factsOf(job Job) map[string]string {
	facts := map[string]string{
		"component": job.Component, "code": job.Code, "environment": job.Environment, "compute": job.Compute,
		"error": job.Error, "studio": job.Studio, "parent": job.Parent, "displayName": job.DisplayName,
		"started": instant(job.Started), "ended": instant(job.Ended),
	}
	maps.DeleteFunc(facts, func(_, v string) bool { return v == "" })
	return facts
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// deployment adds an endpoint's traffic, and what the deployment serves where
// the event does not say. Services of the first generation are no online
// endpoints and are not found.
func (e *Enricher) deployment(ctx context.Context, ev *event.Event) error {
	d := ev.Deployment
	endpoint, err := e.source.Endpoint(ctx, ev.Workspace, d.Endpoint)
	if ok, err := found(err); !ok {
		return err
	}
	d.Traffic = endpoint.Traffic
	if serves, ok := endpoint.deployment(d.Name); ok && len(d.Models) == 0 && serves.Model.Name != "" {
		d.Models = []event.ModelRef{serves.Model}
	}
	return nil
}

func (e Endpoint) deployment(name string) (Deployment, bool) {
	i := slices.IndexFunc(e.Deployments, func(d Deployment) bool { return strings.EqualFold(d.Name, name) })
	if i < 0 {
		return Deployment{}, false
	}
	return e.Deployments[i], true
}

// monitor adds a monitor's definition and, where the breach tag was cut, the
// breaches that the run's metrics still tell.
func (e *Enricher) monitor(ctx context.Context, ev *event.Event) (map[string]float64, error) {
	m, err := e.source.Monitor(ctx, ev.Workspace, ev.Monitor.Name)
	if ok, err := found(err); err != nil {
		return nil, err
	} else if ok {
		ev.Monitor.Schedule = scheduleOf(m)
		if err := e.watched(ctx, ev, m); err != nil {
			return nil, err
		}
	}
	if ev.Run == nil {
		return nil, nil
	}
	run, err := e.source.Run(ctx, ev.Workspace, ev.Run.ID)
	if ok, err := found(err); !ok {
		return nil, err
	}
	rehydrate(ev, m, run.Metrics)
	return run.Metrics, nil
}

// watched finds the model that a monitor watches, where the event does not say:
// the one that its definition names, else the one that its deployment serves.
func (e *Enricher) watched(ctx context.Context, ev *event.Event, m Monitor) error {
	if ev.Monitor.Model != "" {
		return nil
	}
	if ev.Monitor.Model = m.Model.Name; ev.Monitor.Model != "" || m.Endpoint == "" {
		return nil
	}
	endpoint, err := e.source.Endpoint(ctx, ev.Workspace, m.Endpoint)
	if ok, err := found(err); !ok {
		return err
	}
	if d, ok := endpoint.deployment(m.Deployment); ok {
		ev.Monitor.Model = d.Model.Name
	}
	return nil
}

func scheduleOf(m Monitor) *event.Schedule {
	s := &event.Schedule{Endpoint: m.Endpoint, Deployment: m.Deployment, Cron: m.Cron, Enabled: m.Enabled}
	if m.Every > 0 {
		s.Every = m.Every.String()
	}
	for _, signal := range m.Signals {
		out := event.Signal{Name: signal.Name, Type: signal.Type}
		for _, t := range signal.Thresholds {
			out.Thresholds = append(out.Thresholds, event.Threshold(t))
		}
		s.Signals = append(s.Signals, out)
	}
	return s
}

// champion reads the metrics of the run that made the version in service.
func (e *Enricher) champion(ctx context.Context, ev *event.Event, champion Champion) (map[string]float64, error) {
	id := lineage.ModelOf(ev)
	if id == "" {
		return nil, nil
	}
	m, err := champion(ctx, ev.Workspace.Alias, id.Name())
	if err != nil || m.Name == "" {
		return nil, err
	}
	if m.Job == "" {
		v, err := e.source.ModelVersion(ctx, ev.Workspace, m.Name, m.Version)
		if ok, err := found(err); !ok {
			return nil, err
		}
		m.Job = v.Job
	}
	if m.Job == "" {
		return nil, nil
	}
	run, err := e.source.Run(ctx, ev.Workspace, m.Job)
	if ok, err := found(err); !ok {
		return nil, err
	}
	return run.Metrics, nil
}

package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is a job's status in Azure ML's words.
type Status string

// Statuses, in the order a job walks them; a job ends in one of the last
// three.
const (
	NotStarted Status = "NotStarted"
	Queued     Status = "Queued"
	Running    Status = "Running"
	Finalizing Status = "Finalizing"
	Completed  Status = "Completed"
	Failed     Status = "Failed"
	Canceled   Status = "Canceled"
)

// Ended tells whether the status is final.
func (s Status) Ended() bool { return s == Completed || s == Failed || s == Canceled }

// walk is the way of a job: each status after a share of the training time.
var walk = []struct {
	status Status
	after  float64
}{{Queued, 0.05}, {Running, 0.15}, {Finalizing, 0.9}, {Completed, 1}}

// Job is a snapshot of a job.
type Job struct {
	Name, Experiment, Component string
	Status                      Status
	Tags, Properties            map[string]string
	// Metrics are the final ones; empty before the end.
	Metrics map[string]float64
	// Model and Version name what the job registered by itself, if anything.
	Model, Version string
	// Message says why it failed.
	Message string
}

type job struct {
	name, experiment, runType string
	spec                      JobSpec
	status                    Status
	tags, properties          map[string]string
	created, started, ended   time.Time
	trained                   *dataVersion // nil when it trains on nothing
	training                  *Training    // nil when it registers nothing
	metrics                   []metric
	model                     *modelVersion
	message                   string
	done                      chan struct{}
	experimentID              string
}

func (j *job) subject() string { return "experiments/" + j.experimentID + "/runs/" + j.name }

func (j *job) eventFields() []field {
	return []field{
		{"experimentId", j.experimentID}, {"experimentName", j.experiment},
		{"runId", j.name}, {"runType", j.runType},
		{"runTags", maps.Clone(j.tags)}, {"runProperties", maps.Clone(j.properties)},
	}
}

// SubmitJob starts a job and returns its name. A name that exists already is
// left as it is: submission is idempotent by name.
func (w *Workspace) SubmitJob(spec JobSpec) (name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j, _, err := w.submit(spec)
	if err != nil {
		return "", fmt.Errorf("submit job %.255q: %w", spec.Name, err)
	}
	return j.name, nil
}

// submit creates the job or finds it. Callers hold w.mu.
func (w *Workspace) submit(spec JobSpec) (j *job, created bool, err error) {
	if old, ok := w.jobs[spec.Name]; ok {
		return old, false, nil
	}
	if err := spec.validate(); err != nil {
		return nil, false, err
	}
	if len(w.jobs) >= w.opts.MaxAssets {
		return nil, false, ErrFull
	}
	component, _ := splitAssetRef(spec.Component)
	training := w.trainingFor(component)
	trained, err := w.inputFor(spec, training)
	if err != nil {
		return nil, false, err
	}
	spec.Name = orElse(spec.Name, w.ids.run())
	j = w.newJob(spec.Name, orElse(spec.Experiment, orElse(component, "Default")), spec.Tags)
	j.spec, j.training, j.trained = spec, training, trained
	if component != "" {
		j.runType = "azureml.PipelineRun"
	}
	j.properties["azureml.git.commit"] = stableUUID(w.opts.Seed, "git/"+component)[:7]
	j.properties["ContentSnapshotId"] = stableUUID(w.opts.Seed, "snapshot/"+component)
	if trained != nil {
		j.properties[PropTrainingData] = trained.ref()
	}
	w.keep(j)
	w.scheduleWalk(j)
	return j, true, nil
}

func (w *Workspace) newJob(name, experiment string, tags map[string]string) *job {
	j := &job{
		name: name, experiment: experiment, runType: "azureml.scriptrun", status: NotStarted,
		tags: maps.Clone(tags), properties: map[string]string{}, created: w.stamp(),
		done: make(chan struct{}), experimentID: stableUUID(w.opts.Seed, "experiment/"+experiment),
	}
	if j.tags == nil {
		j.tags = map[string]string{}
	}
	return j
}

func (w *Workspace) keep(j *job) {
	w.jobs[j.name] = j
	w.jobOrder = append(w.jobOrder, j)
}

func (w *Workspace) trainingFor(component string) *Training {
	i := slices.IndexFunc(w.opts.Training, func(t Training) bool { return component != "" && t.Component == component })
	if i < 0 {
		return nil
	}
	return &w.opts.Training[i]
}

// inputFor finds what the job trains on: its training_data input, else the
// training's own data asset. A job with neither trains on nothing.
func (w *Workspace) inputFor(spec JobSpec, t *Training) (*dataVersion, error) {
	ref := spec.Inputs["training_data"]
	if ref == "" && t != nil {
		ref = t.Data
	}
	if ref == "" {
		return nil, nil
	}
	d, err := w.findData(ref)
	if err != nil {
		return nil, fmt.Errorf("input training_data %q: %w", ref, err)
	}
	return d, nil
}

func (w *Workspace) scheduleWalk(j *job) {
	for _, step := range walk {
		w.later(time.Duration(step.after*float64(w.opts.TrainTime)), func() { w.advance(j, step.status) })
	}
}

// advance moves a job on, unless it has ended. Called with w.mu held.
func (w *Workspace) advance(j *job, to Status) {
	if j.status.Ended() {
		return
	}
	if to == Completed && j.spec.Fail != "" {
		w.end(j, Failed, j.spec.Fail)
		return
	}
	if to == Completed {
		w.complete(j)
		return
	}
	j.status = to
	if to == Running {
		j.started = w.stamp()
		w.emitRunStatus(j)
	}
}

func (w *Workspace) complete(j *job) {
	if j.trained != nil {
		j.metrics = w.trainingMetrics(j)
	}
	j.ended = w.stamp()
	j.status = Completed
	w.emitRunStatus(j)
	w.emitRunCompleted(j)
	if j.training != nil {
		w.publish(j)
	}
	close(j.done)
}

// publish registers and deploys what a training job made. A sandbox that is
// full says so on the job, as Azure would on a step that can't register.
func (w *Workspace) publish(j *job) {
	m, err := w.register(j.training.Model, j, j.training.Tags)
	if err == nil {
		j.model = m
		if j.training.Endpoint != "" {
			err = w.deploy(j.training.Endpoint, orElse(j.training.Deployment, "blue"), m)
		}
	}
	if err != nil {
		j.message = fmt.Sprintf("publish model %q: %v", j.training.Model, err)
	}
}

// end stops a job short of completion.
func (w *Workspace) end(j *job, status Status, message string) {
	j.status, j.message, j.ended = status, message, w.stamp()
	if !w.opts.SilentFailures {
		w.emitRunStatus(j)
	}
	close(j.done)
}

// FailJob ends a running job as Failed.
func (w *Workspace) FailJob(name, message string) error { return w.stop(name, Failed, message) }

// CancelJob ends a running job as Canceled.
func (w *Workspace) CancelJob(name string) error {
	return w.stop(name, Canceled, "The job was cancelled.")
}

func (w *Workspace) stop(name string, status Status, message string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[name]
	switch {
	case j == nil:
		return fmt.Errorf("end job %q: %w", name, ErrNotFound)
	case j.status.Ended():
		return fmt.Errorf("end job %q, which is %s: %w", name, strings.ToLower(string(j.status)), ErrState)
	}
	w.end(j, status, message)
	return nil
}

// Job returns a snapshot of a job.
func (w *Workspace) Job(name string) (Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[name]
	if j == nil {
		return Job{}, fmt.Errorf("job %q: %w", name, ErrNotFound)
	}
	return j.snapshot(), nil
}

func (j *job) snapshot() Job {
	s := Job{
		Name: j.name, Experiment: j.experiment, Component: j.spec.Component, Status: j.status,
		Tags: maps.Clone(j.tags), Properties: maps.Clone(j.properties), Message: j.message,
		Metrics: map[string]float64{},
	}
	for _, m := range j.metrics {
		s.Metrics[m.key] = m.last()
	}
	if j.model != nil {
		s.Model, s.Version = j.model.name, j.model.version
	}
	return s
}

// WaitJob waits until a job has ended and its model, if any, is registered
// and deployed.
func (w *Workspace) WaitJob(ctx context.Context, name string) (Job, error) {
	w.mu.Lock()
	j := w.jobs[name]
	w.mu.Unlock()
	if j == nil {
		return Job{}, fmt.Errorf("wait for job %q: %w", name, ErrNotFound)
	}
	select {
	case <-j.done:
		return w.Job(name)
	case <-w.ctx.Done():
		return Job{}, fmt.Errorf("wait for job %q: the sandbox was closed: %w", name, ErrState)
	case <-ctx.Done():
		return Job{}, fmt.Errorf("wait for job %q: %w", name, ctx.Err())
	}
}

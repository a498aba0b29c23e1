// Package azureml is what the service asks Azure Machine Learning, as a port:
// events say that something happened, the workspace says the rest. The adapter
// behind it is internal/azure/ml.
//
// Every method of every interface here returns promptly with the context's
// error when its context ends, is safe for concurrent use and does not retry
// for its caller beyond what the service's Retry-After asks for within the
// deadline. An error wraps lineage.ErrNotFound where the thing does not exist,
// a *policy.PermanentError where a retry can't help (rights, a bad request) and
// a *policy.RetryAfterError where the service said when to come back; anything
// else may be tried again. Errors hold no secrets.
package azureml

import (
	"context"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Source answers about single things of a workspace.
type Source interface {
	// Job is a job by its name, which is its run's id.
	Job(ctx context.Context, ws event.Workspace, name string) (Job, error)
	// ModelVersion is a registered version.
	ModelVersion(ctx context.Context, ws event.Workspace, name, version string) (ModelVersion, error)
	// Run is what was logged to a run: MLflow's side of a job.
	Run(ctx context.Context, ws event.Workspace, id string) (Run, error)
	// Endpoint is a managed online endpoint with its deployments and traffic.
	Endpoint(ctx context.Context, ws event.Workspace, name string) (Endpoint, error)
	// Monitor is a monitoring schedule.
	Monitor(ctx context.Context, ws event.Workspace, name string) (Monitor, error)
}

// Lister walks a workspace, page by page. cursor is "" at the start and what
// the page before returned as next after; next is "" at the end.
type Lister interface {
	// Jobs come newest first.
	Jobs(ctx context.Context, ws event.Workspace, cursor string) (page []Job, next string, err error)
	// ModelVersions are those of all models, in no particular order.
	ModelVersions(ctx context.Context, ws event.Workspace, cursor string) (page []ModelVersion, next string, err error)
	Endpoints(ctx context.Context, ws event.Workspace, cursor string) (page []Endpoint, next string, err error)
	Monitors(ctx context.Context, ws event.Workspace, cursor string) (page []Monitor, next string, err error)
}

// Operator changes things in a workspace.
type Operator interface {
	// Submit creates a pipeline job under a name, which is its idempotency
	// key: a job that exists under it is returned and created is false.
	Submit(ctx context.Context, ws event.Workspace, spec JobSpec) (job Job, created bool, err error)
	// InvokeBatch starts a run of a batch endpoint; see Submit.
	InvokeBatch(ctx context.Context, ws event.Workspace, spec BatchSpec) (job Job, created bool, err error)
	// SetTraffic replaces an endpoint's traffic if it still is what the caller
	// saw, and waits until the service says that it is in force. It returns
	// lineage.ErrConflict when it was changed meanwhile.
	SetTraffic(ctx context.Context, ws event.Workspace, endpoint string, saw, want map[string]int) error
	// TagModel sets and (with an empty value) removes tags of a model version
	// and leaves the others alone, as far as a service without ETags allows:
	// it reads again and repeats when its write was lost.
	TagModel(ctx context.Context, ws event.Workspace, name, version string, tags map[string]string) error
}

// Job is a job of any type.
type Job struct {
	Name, DisplayName, Experiment string
	// Type is command, pipeline, sweep, automl, spark or as Azure says.
	Type string
	// Status is one of Azure's (NotStarted ... Completed, Failed, Canceled).
	Status string
	// Error is the service's message of a failed job, at most 2,000 bytes.
	Error string
	// Component, Code, Environment and Compute are what it runs, as Azure
	// names them ("azureml:train_churn:3" or an ARM id); "" where it does not
	// say.
	Component, Code, Environment, Compute string
	// Inputs are data asset versions and literals by input name.
	Inputs map[string]Input
	// Outputs are named outputs' URIs.
	Outputs map[string]string
	// Parent is the pipeline run's name of a step.
	Parent                  string
	Tags, Properties        map[string]string
	Created, Started, Ended time.Time
	// Studio is the page for people.
	Studio string
}

// IsEnded says whether the job's status is final.
func (j Job) IsEnded() bool {
	switch j.Status {
	case "Completed", "Failed", "Canceled", "NotResponding":
		return true
	}
	return false
}

// Input is one input of a job.
type Input struct {
	// Data is the data asset version it names, nil for literals and paths.
	Data *event.DataRef
	// Value is the literal, or the URI as Azure has it.
	Value string
}

// ModelVersion is a registered model version.
type ModelVersion struct {
	Name, Version string
	// Job is the name of the job that made it, "" if Azure does not know.
	Job                   string
	Stage, Type, URI      string
	Archived              bool
	Description           string
	Tags, Properties      map[string]string
	Created, LastModified time.Time
}

// Run is what MLflow knows of a run.
type Run struct {
	ID, Experiment, Status string
	// Metrics are the newest value of each; NaN and infinities are left out.
	Metrics map[string]float64
	Params  map[string]string
	Tags    map[string]string
}

// Endpoint is a managed online endpoint.
type Endpoint struct {
	Name, State string
	// Traffic is percent by deployment.
	Traffic     map[string]int
	Deployments []Deployment
	Tags        map[string]string
	ScoringURI  string
}

// Deployment is one deployment of an endpoint.
type Deployment struct {
	Name, State string
	// Model is the model version it serves; zero where it serves none.
	Model        event.ModelRef
	Instance     string
	Tags         map[string]string
	Created      time.Time
	LastModified time.Time
}

// Monitor is a model monitoring schedule.
type Monitor struct {
	Name    string
	Enabled bool
	// Endpoint and Deployment are what it watches, Model the model version
	// where it names one.
	Endpoint, Deployment string
	Model                event.ModelRef
	// Every is the length of its window, as far as its trigger says; zero
	// where it does not (cron).
	Every   time.Duration
	Cron    string
	Signals []Signal
	Tags    map[string]string
}

// Signal is what a monitor measures.
type Signal struct {
	Name string
	// Type is as events name them: data_drift, prediction_drift, ...
	Type       string
	Thresholds []Threshold
}

// Threshold is a metric's bound; Value is nil where it has none, which never
// breaches.
type Threshold struct {
	Metric string
	Value  *float64
}

// JobSpec is a pipeline job from a registered component.
type JobSpec struct {
	Name, Experiment, DisplayName string
	// Component is "azureml:<name>:<version>", or an ARM id.
	Component string
	// Inputs are literals, "azureml:<data>:<version>" or
	// "azureml:<data>@latest".
	Inputs map[string]any
	// Compute is the default compute's name; "" leaves it to the component.
	Compute string
	Tags    map[string]string
}

// BatchSpec is a run of a batch endpoint.
type BatchSpec struct {
	Name, Endpoint, Deployment string
	Inputs                     map[string]any
	Tags                       map[string]string
}

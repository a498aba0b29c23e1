// Package event turns what Azure sends into one canonical lifecycle event.
//
// Bytes take two steps here. [Split] cuts a request body (Event Grid schema,
// CloudEvents 1.0 structured, batched or binary, Azure Monitor common alert
// schema) into [Envelope] values: one canonical CloudEvent each, payload
// untouched. [Parser.Parse] reads an envelope's payload into a typed [Event].
// The subscriber performs the first step, the worker the second, so that a
// payload nobody understands is already durable when that is found out.
//
// Nothing in this package performs I/O or looks at a clock.
package event

import (
	"encoding/json"
	"time"
)

// Kind names what happened, in Modelwarden's own vocabulary, whatever schema
// the sender used.
type Kind string

// The kinds. Unknown is an event of an Azure ML workspace whose type this
// version does not know: it is kept in the log and has no effect.
const (
	ModelRegistered     Kind = "model.registered"
	ModelDeployed       Kind = "model.deployed"
	JobCompleted        Kind = "job.completed"
	JobFailed           Kind = "job.failed"
	JobStatus           Kind = "job.status"
	MonitorBreached     Kind = "monitor.breached"
	MonitorPassed       Kind = "monitor.passed"
	DriftDetected       Kind = "drift.detected"
	AlertFired          Kind = "alert.fired"
	AlertResolved       Kind = "alert.resolved"
	SubscriptionDeleted Kind = "subscription.deleted"
	Unknown             Kind = "unknown"
)

// Kinds lists every kind a policy may name in `on`, in the order of the
// documentation.
func Kinds() []Kind {
	return []Kind{
		ModelRegistered, ModelDeployed, JobCompleted, JobFailed, JobStatus,
		MonitorBreached, MonitorPassed, DriftDetected, AlertFired, AlertResolved,
		SubscriptionDeleted,
	}
}

// Event is one typed lifecycle event. Exactly the parts that its Kind calls
// for are set; a part that the payload did not carry is nil or empty, never
// invented.
type Event struct {
	Envelope

	Kind      Kind      `json:"kind"`
	Workspace Workspace `json:"workspace"`

	// Model is set for model.registered.
	Model *Model `json:"model,omitempty"`
	// Deployment is set for model.deployed.
	Deployment *Deployment `json:"deployment,omitempty"`
	// Run is set for job.*, monitor.* and, with little in it, drift.detected.
	Run *Run `json:"run,omitempty"`
	// Monitor is set for monitor.* and drift.detected.
	Monitor *Monitor `json:"monitor,omitempty"`
	// Breaches are the violations that monitor.breached or drift.detected
	// report, in the order of the payload.
	Breaches []Breach `json:"breaches,omitempty"`
	// Loss tells what the capped breach tag cost; nil when nothing was lost.
	Loss *Loss `json:"loss,omitempty"`
	// Drift is set for drift.detected.
	Drift *Drift `json:"drift,omitempty"`
	// Alert is set for alert.*.
	Alert *Alert `json:"alert,omitempty"`
	// Trimmed counts what was left out because the payload held more than an
	// event may carry: of each map more than 512 tags, properties or other
	// named values, more than 1,000 models of a deployment, more than 256
	// inputs of a run, more than 64 targets or conditions of an alert.
	Trimmed int `json:"trimmed,omitempty"`
	// Enriched says that the event carries what Azure Machine Learning was
	// asked for besides what was sent. It does not change its identity.
	Enriched bool `json:"enriched,omitempty"`
}

// Workspace is where an event came from.
type Workspace struct {
	// Alias is the short name that asset ids carry: what the configuration
	// says, else the workspace's name in lower case.
	Alias string `json:"alias"`
	// ID is the ARM resource id in lower case; ARM ids compare without case.
	ID string `json:"id,omitempty"`
}

// Model is a registered model version.
type Model struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	// Job is the run that produced the version, found through the configured
	// link keys in properties and tags; empty when none of them says.
	Job string `json:"job,omitempty"`
	// Run is that run; nil unless the event is enriched.
	Run *Run `json:"run,omitempty"`
}

// ModelRef names a model version.
type ModelRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Deployment is a service that now serves Models.
type Deployment struct {
	// Endpoint is the service's name in lower case; Name the deployment
	// below it, "default" where the event does not say (v1 services have one).
	Endpoint    string            `json:"endpoint"`
	Name        string            `json:"name"`
	ComputeType string            `json:"computeType,omitempty"`
	Models      []ModelRef        `json:"models"`
	Tags        map[string]string `json:"tags,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	// Traffic is the endpoint's, in percent by deployment; nil unless the
	// event is enriched.
	Traffic map[string]int `json:"traffic,omitempty"`
}

// Run is a job's run.
type Run struct {
	ID             string `json:"id"`
	ExperimentID   string `json:"experimentId,omitempty"`
	ExperimentName string `json:"experimentName,omitempty"`
	// Type is Azure's run type ("azureml.StepRun", "azureml.PipelineRun",
	// "azureml.scriptrun"); empty when Azure sent null.
	Type string `json:"type,omitempty"`
	// Status is one of Azure's statuses with its usual casing ("Completed",
	// "Failed", "Running"); RunCompleted carries none and means "Completed".
	Status     string            `json:"status,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	// Inputs are the data asset versions that the run's tags and properties
	// name under the configured link keys.
	Inputs []DataRef `json:"inputs,omitempty"`
	// Origin is the id of the Modelwarden action that started the run, from
	// the tag OriginTag; empty for runs of others.
	Origin string `json:"origin,omitempty"`
	// Facts is what no event carries: component, code, environment, compute,
	// error, studio, parent. Parameters and Metrics are what was logged to the
	// run. All are nil unless the event is enriched.
	Facts      map[string]string  `json:"facts,omitempty"`
	Parameters map[string]string  `json:"parameters,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
}

// OriginTag is the run tag (and model property) that leads from a job back to
// the Modelwarden action that submitted it.
const OriginTag = "modelwarden.action"

// DataRef names a data asset version.
type DataRef struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Monitor is the model monitor that an event speaks of.
type Monitor struct {
	Name string `json:"name"`
	// Model is the watched model's name, without a version: by
	// configuration, else by the run's own tags, else by the naming
	// convention `<model>_monitor`; empty when none of them says.
	Model string `json:"model,omitempty"`
	// Window identifies the monitoring run that measured: every event about
	// the same run has the same window, so breaches coalesce by it.
	Window string `json:"window"`
	// Root is true when the event speaks of the monitor's whole pipeline run
	// rather than of one of its steps.
	Root bool `json:"root,omitempty"`
	// Schedule is the monitor's definition; nil unless the event is enriched.
	Schedule *Schedule `json:"schedule,omitempty"`
}

// Schedule is what a model monitor measures, and where.
type Schedule struct {
	Endpoint   string `json:"endpoint,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	// Every is the length of its window, as "24h0m0s"; Cron its trigger where
	// that is no plain recurrence.
	Every   string   `json:"every,omitempty"`
	Cron    string   `json:"cron,omitempty"`
	Enabled bool     `json:"enabled"`
	Signals []Signal `json:"signals,omitempty"`
}

// Signal is what a monitor measures and the bounds that it holds it to.
type Signal struct {
	Name       string      `json:"name"`
	Type       string      `json:"type,omitempty"`
	Thresholds []Threshold `json:"thresholds,omitempty"`
}

// Threshold is a metric's bound; without a Value it never breaches.
type Threshold struct {
	Metric string   `json:"metric"`
	Value  *float64 `json:"value,omitempty"`
}

// Drift is what a dataset drift monitor (v1) compared.
type Drift struct {
	// BaseDataset and TargetDataset are Azure's ids of the two datasets.
	BaseDataset   string `json:"baseDataset,omitempty"`
	TargetDataset string `json:"targetDataset,omitempty"`
	// Start and End bound the data that was looked at; zero when not said.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
}

// Direction says on which side of its threshold a metric is bad.
type Direction string

// Directions.
const (
	HigherIsBad Direction = "higher_is_bad"
	LowerIsBad  Direction = "lower_is_bad"
)

// Breach is one violated threshold: one feature (or the aggregate) of one
// signal.
type Breach struct {
	Monitor string `json:"monitor"`
	// Signal is the signal's configured name; SignalType is what it measures
	// ("data_drift", "prediction_drift", "data_quality",
	// "feature_attribution_drift", "model_performance",
	// "generation_quality"), empty when its name does not tell.
	Signal     string `json:"signal"`
	SignalType string `json:"signalType,omitempty"`
	Feature    string `json:"feature,omitempty"`
	Metric     string `json:"metric,omitempty"`
	// Value and Threshold are nil when the payload had null, no number, or
	// was cut before it. Null never breaches by itself: it means "unknown".
	Value     *float64  `json:"value,omitempty"`
	Threshold *float64  `json:"threshold,omitempty"`
	Direction Direction `json:"direction,omitempty"`
	// Exceeded is how far beyond the threshold the value lies, as a ratio of
	// the threshold: 0.75 for 0.35 over 0.2 where higher is bad. Nil where it
	// can't be told (unknown value, or threshold zero).
	Exceeded *float64 `json:"exceeded,omitempty"`
}

// Loss tells what a truncated breach tag no longer says.
type Loss struct {
	// Reason is one of the Loss constants, the first that applies.
	Reason string `json:"reason"`
	// Signals names the signals whose list was cut.
	Signals []string `json:"signals,omitempty"`
	// Kept counts the breaches that were read whole; more may have existed.
	Kept int `json:"kept"`
	// Fragment is the cut remainder, at most 200 bytes of it.
	Fragment string `json:"fragment,omitempty"`
	// Rehydrated counts the breaches that the run's metrics gave back, which
	// the event now carries besides those kept.
	Rehydrated int `json:"rehydrated,omitempty"`
}

// Reasons of a Loss.
const (
	// LossTruncated: the tag ends before its list does.
	LossTruncated = "truncated"
	// LossUnreadable: the list is whole, an entry of it is not to be read.
	LossUnreadable = "unreadable"
	// LossTooMany: the list is longer than an event may carry.
	LossTooMany = "too_many"
)

// Alert is an Azure Monitor alert instance.
type Alert struct {
	ID       string `json:"id"`
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	// Targets are the alert's target resources' ARM ids as sent.
	Targets     []string          `json:"targets,omitempty"`
	Endpoint    string            `json:"endpoint,omitempty"`
	Deployment  string            `json:"deployment,omitempty"`
	Model       string            `json:"model,omitempty"`
	Description string            `json:"description,omitempty"`
	Fired       time.Time         `json:"fired,omitzero"`
	Resolved    time.Time         `json:"resolved,omitzero"`
	Conditions  []AlertCondition  `json:"conditions,omitempty"`
	Custom      map[string]string `json:"custom,omitempty"`
}

// AlertCondition is one metric condition of an alert.
type AlertCondition struct {
	Metric      string            `json:"metric"`
	Operator    string            `json:"operator,omitempty"`
	Threshold   *float64          `json:"threshold,omitempty"`
	Value       *float64          `json:"value,omitempty"`
	Aggregation string            `json:"aggregation,omitempty"`
	Dimensions  map[string]string `json:"dimensions,omitempty"`
}

// Envelope is one canonical CloudEvents 1.0 event. Source holds Event Grid's
// topic where the sender used that schema, Type its eventType.
type Envelope struct {
	ID      string          `json:"id"`
	Source  string          `json:"source"`
	Type    string          `json:"type"`
	Subject string          `json:"subject,omitempty"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data,omitempty"`
	// Synthetic marks an event that Modelwarden made itself, of what Azure
	// Machine Learning told no event about. It travels as the CloudEvents
	// extension SyntheticExtension and is no part of an event's identity.
	Synthetic bool `json:"synthetic,omitempty"`
}

// SyntheticExtension is the CloudEvents extension attribute of a synthetic
// event; its value is true.
const SyntheticExtension = "mwsynthetic"

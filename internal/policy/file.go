package policy

import (
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// APIVersion is the version of the policy file that this program reads.
const APIVersion = "modelwarden/v1"

// Mode says whether decisions are carried out.
type Mode string

// Modes. In ModeObserve a policy decides and records, but does nothing.
const (
	ModeEnforce Mode = "enforce"
	ModeObserve Mode = "observe"
)

// File is the policy part of a configuration. It stands alone or inline in a
// larger configuration; see Parse and Merge.
type File struct {
	// APIVersion is modelwarden/v1. Defaults to that.
	APIVersion string `yaml:"apiVersion,omitempty" json:"apiVersion,omitempty"`
	// Mode holds for every policy that does not say otherwise. Defaults to
	// enforce.
	Mode     Mode     `yaml:"mode,omitempty" json:"mode,omitempty"`
	Policies []Policy `yaml:"policies,omitempty" json:"policies,omitempty"`
	// Targets are the places that actions go to, by name. The name desk is
	// the built-in inbox and needs no entry.
	Targets map[string]Target `yaml:"targets,omitempty" json:"targets,omitempty"`
	// Freezes are times in which actions of some types are withheld.
	Freezes []Freeze `yaml:"freezes,omitempty" json:"freezes,omitempty"`
	// Budgets are limits over all assets and policies together.
	Budgets []Budget `yaml:"budgets,omitempty" json:"budgets,omitempty"`
	// Storm says when retrains of several models are held because the models
	// share the data. Defaults to 3 models within 1h.
	Storm *Storm `yaml:"storm,omitempty" json:"storm,omitempty"`
	// Reviews are settings of the inbox.
	Reviews *Reviews `yaml:"reviews,omitempty" json:"reviews,omitempty"`
	// Maintenance are times in which reviews are kept and nobody is called.
	Maintenance []Maintenance `yaml:"maintenance,omitempty" json:"maintenance,omitempty"`
	// RetrainOnDataQuality lets an event that reports a breach of data quality
	// start retrains. Defaults to false: a review on the data instead.
	RetrainOnDataQuality *bool `yaml:"retrainOnDataQuality,omitempty" json:"retrainOnDataQuality,omitempty"`
}

// Policy is one rule: which events, under which condition, lead to what.
type Policy struct {
	// Name is unique over all files: letters, digits, dot, dash, underscore.
	Name string `yaml:"name" json:"name"`
	// Mode overrides the file's towards caution: a policy can observe in an
	// enforcing file, not the other way round. Defaults to the file's.
	Mode Mode `yaml:"mode,omitempty" json:"mode,omitempty"`
	// On lists the kinds of event that the policy decides on.
	On []event.Kind `yaml:"on" json:"on"`
	// Match narrows the events down. Defaults to all.
	Match Match `yaml:"match,omitempty" json:"match,omitzero"`
	// When is a CEL condition. Defaults to true.
	When string `yaml:"when,omitempty" json:"when,omitempty"`
	// Sustained demands several breached windows. Defaults to one.
	Sustained *Sustained `yaml:"sustained,omitempty" json:"sustained,omitempty"`
	// Then are the actions, each judged by itself: one that is withheld does
	// not withhold the others.
	Then []Step `yaml:"then" json:"then"`
}

// Match selects events. Every key that is given must match; a key matches
// when one of its patterns matches one of the event's values, and an event
// that has no such value does not match. Patterns are globs: * stands for any
// text, ? for one character, everything else for itself; \ takes the next
// character literally. Workspace, endpoint and severity ignore case, as Azure
// does.
type Match struct {
	Workspace Patterns `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	// Model is the name of the model concerned, without version.
	Model   Patterns `yaml:"model,omitempty" json:"model,omitempty"`
	Monitor Patterns `yaml:"monitor,omitempty" json:"monitor,omitempty"`
	// Signal and SignalType select single breaches of an event.
	Signal     Patterns `yaml:"signal,omitempty" json:"signal,omitempty"`
	SignalType Patterns `yaml:"signalType,omitempty" json:"signalType,omitempty"`
	// Asset is the event's primary asset, "monitor/contoso-ml/churn*".
	Asset      Patterns `yaml:"asset,omitempty" json:"asset,omitempty"`
	Endpoint   Patterns `yaml:"endpoint,omitempty" json:"endpoint,omitempty"`
	Experiment Patterns `yaml:"experiment,omitempty" json:"experiment,omitempty"`
	// Job is the run's id.
	Job Patterns `yaml:"job,omitempty" json:"job,omitempty"`
	// Severity is an alert's, Sev0 to Sev4.
	Severity Patterns `yaml:"severity,omitempty" json:"severity,omitempty"`
	// Tags are those of the event's model, deployment or run, or the custom
	// properties of its alert; all listed must match.
	Tags map[string]Patterns `yaml:"tags,omitempty" json:"tags,omitempty"`
}

// Sustained demands that Count of the latest Of measured windows were
// breached, the window at hand included.
type Sustained struct {
	Count int `yaml:"count" json:"count"`
	Of    int `yaml:"of" json:"of"`
}

// Step is one entry of `then`: exactly one of its fields is set.
type Step struct {
	Retrain  *RetrainStep  `yaml:"retrain,omitempty" json:"retrain,omitempty"`
	Review   *ReviewStep   `yaml:"review,omitempty" json:"review,omitempty"`
	Rollback *RollbackStep `yaml:"rollback,omitempty" json:"rollback,omitempty"`
	Notify   *NotifyStep   `yaml:"notify,omitempty" json:"notify,omitempty"`
}

// Limits are what every action can have. They count per policy, action type,
// target and asset.
type Limits struct {
	// Target is a name in `targets`. A review's defaults to desk; others
	// need one.
	Target string `yaml:"target,omitempty" json:"target,omitempty"`
	// Cooldown is the least time between two. Defaults to none.
	Cooldown Duration `yaml:"cooldown,omitempty" json:"cooldown,omitempty"`
	// MaxPerDay is the most within any 24 hours. Defaults to no limit.
	MaxPerDay *int `yaml:"maxPerDay,omitempty" json:"maxPerDay,omitempty"`
}

// RetrainStep starts a training. One retrain of a model runs at a time.
type RetrainStep struct {
	Limits `yaml:",inline"`
	// Timeout is when a retrain that nobody heard of again no longer counts
	// as running. Defaults to 24h.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// SuspendAfter is after how many retrains in a row that did not help the
	// policy asks for no more, for the monitor concerned, until that passes,
	// the policy changes or a person resumes it. 0 is never. Defaults to 2.
	SuspendAfter *int `yaml:"suspendAfter,omitempty" json:"suspendAfter,omitempty"`
	// WhenBusy is what happens while another retrain of the model is under
	// way: drop this one, or queue it, at most one per model. Defaults to drop.
	WhenBusy WhenBusy `yaml:"whenBusy,omitempty" json:"whenBusy,omitempty"`
}

// WhenBusy says what becomes of a retrain of a model that is being retrained.
type WhenBusy string

// What WhenBusy can be.
const (
	WhenBusyDrop  WhenBusy = "drop"
	WhenBusyQueue WhenBusy = "queue"
)

// ReviewStep opens a review, or adds to the open one of the same cause.
type ReviewStep struct {
	Limits `yaml:",inline"`
	// Severity is info, warning, error or critical. Defaults to warning.
	Severity string `yaml:"severity,omitempty" json:"severity,omitempty"`
	// SeverityAt raises the severity by how far a breached value lies beyond
	// its threshold, as a ratio of the threshold: {error: 0.5, critical: 1}
	// makes a value at twice its threshold critical. It never lowers one.
	// Defaults to none.
	SeverityAt map[string]float64 `yaml:"severityAt,omitempty" json:"severityAt,omitempty"`
	// AckWithin is when an unacknowledged review escalates. Defaults to
	// never.
	AckWithin Duration `yaml:"ackWithin,omitempty" json:"ackWithin,omitempty"`
	// Escalate lists who is told next, one after the other, while nobody
	// acknowledges; at most 10.
	Escalate []EscalationStep `yaml:"escalate,omitempty" json:"escalate,omitempty"`
	// Repeat is how many more times the whole chain is gone through, target
	// included, when its end is reached; at most 20. Defaults to 0.
	Repeat int `yaml:"repeat,omitempty" json:"repeat,omitempty"`
	// Runbook is the address of what to do, https or http.
	Runbook string `yaml:"runbook,omitempty" json:"runbook,omitempty"`
}

// EscalationStep is one rung of an escalation chain.
type EscalationStep struct {
	// Target is a name in `targets`.
	Target string `yaml:"target" json:"target"`
	// AckWithin is the time that this rung has. Defaults to the one's before.
	AckWithin Duration `yaml:"ackWithin,omitempty" json:"ackWithin,omitempty"`
}

// RollbackStep takes a model version out of service.
type RollbackStep struct {
	Limits `yaml:",inline"`
}

// NotifyStep tells a target, and expects nothing back.
type NotifyStep struct {
	Limits `yaml:",inline"`
}

// Type is what the step does; "" when it does not say, or says two things.
func (s Step) Type() ActionType {
	set := s.types()
	if len(set) != 1 {
		return ""
	}
	return set[0]
}

func (s Step) types() []ActionType {
	var out []ActionType
	if s.Retrain != nil {
		out = append(out, Retrain)
	}
	if s.Review != nil {
		out = append(out, Review)
	}
	if s.Rollback != nil {
		out = append(out, Rollback)
	}
	if s.Notify != nil {
		out = append(out, Notify)
	}
	return out
}

// limits are the step's, without its defaults.
func (s Step) limits() Limits {
	switch {
	case s.Retrain != nil:
		return s.Retrain.Limits
	case s.Review != nil:
		return s.Review.Limits
	case s.Rollback != nil:
		return s.Rollback.Limits
	case s.Notify != nil:
		return s.Notify.Limits
	}
	return Limits{}
}

// Problem is one thing that is wrong with a policy file: file, line, column,
// path and what to do.
type Problem = strictyaml.Problem

// Problems is the error of Parse, Merge and Compile.
type Problems = strictyaml.Problems

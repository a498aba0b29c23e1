package policy

import (
	"context"
	"strings"
	"time"
)

// ActionType is what an action does.
type ActionType string

// Action types. Resolve closes the open reviews of a cause that has passed,
// Publish tells others of a change of the service's own, and Deliver brings the
// ticket of a review at a target up to date; the engine plans these itself, no
// policy names them.
const (
	Retrain  ActionType = "retrain"
	Review   ActionType = "review"
	Rollback ActionType = "rollback"
	Notify   ActionType = "notify"
	Resolve  ActionType = "resolve"
	Publish  ActionType = "publish"
	Deliver  ActionType = "deliver"
)

// State is where an action stands.
type State string

// States: pending → claimed → succeeded | failed, or suppressed when a limit
// across assets (budget, one retrain in flight per model) held it at
// dispatch. A failed action goes back to pending when somebody retries it. A
// retrain whose target started a run is `running` until the run's own events
// end it.
const (
	Pending    State = "pending"
	Claimed    State = "claimed"
	Running    State = "running"
	Succeeded  State = "succeeded"
	Failed     State = "failed"
	Suppressed State = "suppressed"
)

// Action is an intent and what became of it. It is stored in the partition
// of the asset it was decided for.
type Action struct {
	// ID is "<key>@<partition>": enough to find the record.
	ID string `json:"id"`
	// Key is the idempotency key: a digest of policy, asset, window, type and
	// target, so every way to the same decision ends in the same key.
	Key  string     `json:"key"`
	Type ActionType `json:"type"`
	// Target is a name in the policy file's targets.
	Target string `json:"target"`

	Policy     string `json:"policy"`
	PolicyHash string `json:"policyHash"`
	// Event is the log key of the event that caused it, TraceParent the W3C
	// trace context of the request that brought that event.
	Event       string `json:"event"`
	TraceParent string `json:"traceparent,omitempty"`
	Asset       string `json:"asset"`
	// Model is the model concerned (`model/ws/name` or with version), if any.
	Model  string `json:"model,omitempty"`
	Window string `json:"window"`
	// Cause groups reviews: all actions of one cause feed one review.
	Cause string `json:"cause,omitempty"`
	// Part is the action's own cause, where Cause is what several have in common.
	Part string `json:"part,omitempty"`
	// Grace is how long a new review waits with its calls, to see whether it
	// becomes part of another.
	Grace Duration `json:"grace,omitempty"`
	// Severity is for reviews: info, warning, error, critical.
	Severity string `json:"severity,omitempty"`
	// AckWithin is for reviews: when an open one escalates; zero is never.
	AckWithin Duration `json:"ackWithin,omitempty"`
	// Escalate, Repeat and Runbook are for reviews, see ReviewStep.
	Escalate []EscalationStep `json:"escalate,omitempty"`
	Repeat   int              `json:"repeat,omitempty"`
	Runbook  string           `json:"runbook,omitempty"`
	// Title and Reason are sentences for people: what is wrong, and why the
	// policy acts.
	Title  string `json:"title"`
	Reason string `json:"reason"`
	// Inputs are the values the decision was made on, and what the effector
	// passes on to its target.
	Inputs map[string]any `json:"inputs,omitempty"`

	// Occurred is when it happened, by the event's own clock.
	Occurred time.Time `json:"occurred"`

	State    State     `json:"state"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Attempts int       `json:"attempts"`
	// NextAttempt is when a pending action is tried again.
	NextAttempt time.Time `json:"nextAttempt,omitzero"`
	// Waiting says what a pending action waits for that was not tried yet.
	Waiting string `json:"waiting,omitempty"`
	// ClaimedBy is the worker that performs a claimed action; ClaimedUntil is
	// when another may take it over.
	ClaimedBy    string    `json:"claimedBy,omitempty"`
	ClaimedUntil time.Time `json:"claimedUntil,omitzero"`
	Outcome      *Outcome  `json:"outcome,omitempty"`
	// Loop is what became of a retrain that a target took on.
	Loop *Loop `json:"loop,omitempty"`
	// Recovered is when the monitor first passed after a retrain succeeded; zero
	// until then.
	Recovered time.Time `json:"recovered,omitzero"`
	// LastError is the latest attempt's error, without secrets.
	LastError string `json:"lastError,omitempty"`
	// SuppressedBy says which limit held the action: "budget", "in_flight",
	// "storm".
	SuppressedBy string `json:"suppressedBy,omitempty"`
	// Overridden is the limit that a person set aside by retrying the action
	// that it held: "storm".
	Overridden string `json:"overridden,omitempty"`
}

// Outcome is what an effector achieved.
type Outcome struct {
	// Summary is one sentence, without secrets.
	Summary string `json:"summary"`
	// URL leads a person to what was made, if it has a place.
	URL string `json:"url,omitempty"`
	// Run is the id of the run that the target started; the action then stays
	// running until the run's events end it.
	Run string `json:"run,omitempty"`
	// Ref is the target's own id of what was made (a review's id, ...).
	Ref string `json:"ref,omitempty"`
}

// ActionID joins key and partition.
func ActionID(key, partition string) string { return key + "@" + partition }

// SplitID splits an action id, or an event's log key, into key and partition.
func SplitID(id string) (key, partition string, ok bool) {
	key, partition, ok = strings.Cut(id, "@")
	return key, partition, ok && key != "" && partition != ""
}

// Effector performs actions on one target.
//
// Do is called with the action's deterministic Key and must make sure that
// calling it again with the same key, after success or after a crash in the
// middle, has no further effect that a person or a bill would notice: by
// passing the key on to a target that drops repeats, or by looking the key up
// first. Do does not retry; its caller does. It returns within the context's
// deadline. An error is retryable unless it wraps a *PermanentError; error
// texts and outcomes never contain secrets.
type Effector interface {
	Do(ctx context.Context, a Action) (Outcome, error)
}

// PermanentError is an effector's refusal that a retry can't mend (the target
// answered 4xx, a template is wrong).
type PermanentError struct{ Err error }

// Error implements error.
func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap gives the cause to errors.Is.
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryAfterError is a retryable error whose target said when to come back.
type RetryAfterError struct {
	Err   error
	After time.Duration
}

// Error implements error.
func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap gives the cause to errors.Is.
func (e *RetryAfterError) Unwrap() error { return e.Err }

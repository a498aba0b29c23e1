package policy

import (
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Verdict is what a policy made of an event.
type Verdict string

// Verdicts. Act: at least one action was planned. Hold: nothing was, Reason
// says why. Observe: something would have been planned, but the file or the
// policy is in observe mode.
const (
	Act     Verdict = "act"
	Hold    Verdict = "hold"
	Observe Verdict = "observe"
)

// Reasons, bounded so that they can be metric labels. A decision's and each
// of its actions' Reason is one of these.
const (
	ReasonActed          = "acted"
	ReasonConditionFalse = "condition_false"
	ReasonConditionError = "condition_error"
	ReasonNotSustained   = "not_sustained"
	ReasonSameWindow     = "same_window"
	ReasonCooldown       = "cooldown"
	ReasonCap            = "cap"
	ReasonFreeze         = "freeze"
	ReasonInFlight       = "in_flight"
	ReasonBudget         = "budget"
	ReasonObserve        = "observe_mode"
	ReasonFenced         = "fenced"
	ReasonAllHeld        = "all_held"
	// ReasonLate is for a window older than one that was acted on already.
	ReasonLate = "late_window"
	// ReasonSuspended is for a policy whose retrains did not help.
	ReasonSuspended = "suspended"
	// ReasonDataQuality is for a retrain that would learn from broken data,
	// ReasonStorm for one of several whose models share the data.
	ReasonDataQuality = "data_quality"
	ReasonStorm       = "storm"
)

// Decision is one policy's verdict on one event (and one signal, where an
// event reports several), with all that is needed to explain it later.
type Decision struct {
	Policy string `json:"policy"`
	// PolicyHash is a digest of the policy's own text after parsing: the same
	// rules give the same hash, whatever the layout.
	PolicyHash string `json:"policyHash"`
	// Event is the log key of the event.
	Event  string    `json:"event"`
	Asset  string    `json:"asset"`
	Model  string    `json:"model,omitempty"`
	Signal string    `json:"signal,omitempty"`
	Window string    `json:"window,omitempty"`
	At     time.Time `json:"at"`

	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
	// Detail is a sentence for people: "2 of the last 3 windows breached".
	Detail string `json:"detail,omitempty"`
	// Condition is the policy's `when`; Inputs the values it read.
	Condition string         `json:"condition,omitempty"`
	Inputs    map[string]any `json:"inputs,omitempty"`
	// Breaches are those the condition was true for, at most 50 of them;
	// MoreBreaches counts the rest.
	Breaches     []event.Breach  `json:"breaches,omitempty"`
	MoreBreaches int             `json:"moreBreaches,omitempty"`
	Actions      []PlannedAction `json:"actions,omitempty"`
}

// PlannedAction is one entry of `then` and what was decided about it.
type PlannedAction struct {
	Type   ActionType `json:"type"`
	Target string     `json:"target"`
	// Key is the action's idempotency key, set whether or not it was held.
	Key     string  `json:"key"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
	Detail  string  `json:"detail,omitempty"`
}

// Memory is what one policy remembers about one asset. It is stored in the
// asset's own partition and changed in the commit of the decision. It is
// bounded: old windows and firings fall out as soon as no rule can need them.
type Memory struct {
	// Windows are the measured windows, per signal, oldest first.
	Windows []Window `json:"windows,omitempty"`
	// Fired are when each action (by type and target) was last planned.
	Fired []Firing `json:"fired,omitempty"`
	// Trials are the latest retrains and whether they helped, oldest first.
	Trials []Trial `json:"trials,omitempty"`
}

// Window is one measured window of one signal.
type Window struct {
	Signal string    `json:"signal,omitempty"`
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	// Breached is whether the policy's condition held in it.
	Breached bool `json:"breached"`
	// Decided is set once actions were planned for this window, so that a
	// second event about it plans none.
	Decided bool `json:"decided,omitempty"`
	// Observed is Decided for a policy in observe mode: it would have acted.
	// Enforcing policies don't look at it.
	Observed bool `json:"observed,omitempty"`
}

// Firing is one planned action, for cooldowns, caps and in-flight checks.
type Firing struct {
	Type   ActionType `json:"type"`
	Target string     `json:"target"`
	Key    string     `json:"key"`
	At     time.Time  `json:"at"`
	// Ended is set when the action came to an end; an unended retrain is in
	// flight until its time-out.
	Ended bool `json:"ended,omitempty"`
	// Simulated is set on what observe mode would have done. It makes observe
	// mode show cooldowns and caps as they would be; enforcing policies don't
	// look at it.
	Simulated bool `json:"simulated,omitempty"`
}

// View is what a decision sees besides the event: what the lineage knows.
// Absent knowledge is nil and reads as an absent key in conditions.
type View struct {
	// Asset is the event's primary asset id; Model the concerned model's id.
	Asset, Model string
	// ModelFields are tags, properties, stage, owner, name, version of the
	// concerned model version.
	ModelFields map[string]any
	// Metrics are the run's, ChampionMetrics those of the version in
	// production.
	Metrics, ChampionMetrics map[string]float64
	// InFlight is the key of a retrain of this model that has not ended.
	InFlight string
	// History are counts over time ("breaches_24h", "retrains_7d").
	History map[string]any
	// LastPassed is when the monitor last passed, by its event; zero is never.
	// A monitor.passed event that ends a breached run is not a pass.
	LastPassed time.Time
	// Upstream are the data assets that the model was trained on. It matters
	// for events that tell of bad data, see TellsOfBadData.
	Upstream []string
	// Memory holds this asset's memory by policy name.
	Memory map[string]Memory
	// Fenced is true on a replay that must not act.
	Fenced bool
	// Turn says which of the policies are to decide.
	Turn Turn
	// Decided are the policies that decided AtOnce.
	Decided []string
	// Missing says why what was waited for is not there; "" where it is.
	Missing string
}

// Result is what Decide returns: decisions in the order of the policies, the
// actions to create, and the memories that changed.
type Result struct {
	Decisions []Decision
	Actions   []Action
	Memory    map[string]Memory
}

package review

import "time"

// Card is everything that on-call needs to know of one review: what is wrong,
// why it fired, what changed, what was done, what was held back, what helped
// before, and what can be done. It is what the page shows, what the API
// answers, and what tools are told; see [Markdown] and [Text].
//
// Its parts are bounded, see MaxCard; where a list was cut, the part says so.
type Card struct {
	Review Review `json:"review"`
	// URL is the review's page; "" when the service does not know where people
	// reach it.
	URL string `json:"url,omitempty"`

	// Measured are the metrics behind the review over time.
	Measured []Series `json:"measured,omitempty"`
	// Why are the decisions of the newest signals.
	Why []Ground `json:"why,omitempty"`
	// Changed is what is different since LastHealthy, when the cause was last
	// known to be absent; LastHealthy is zero when no such time is known.
	LastHealthy time.Time `json:"lastHealthy,omitzero"`
	Changed     []Shift   `json:"changed,omitempty"`
	// MoreChanged counts the changes beyond those listed.
	MoreChanged int `json:"moreChanged,omitempty"`
	// Done are the actions that were taken, Held those that were not.
	Done []Deed `json:"done,omitempty"`
	Held []Deed `json:"held,omitempty"`
	// Similar are earlier reviews of the same cause or asset, the newest first.
	Similar []Past `json:"similar,omitempty"`
	// Owner answers for the model; Runbook is the address of what to do.
	Owner   string `json:"owner,omitempty"`
	Runbook string `json:"runbook,omitempty"`
	// Tickets are what other tools hold of the review.
	Tickets []Ticket `json:"tickets,omitempty"`
	// Verbs are what can be done now. RetrainTargets and RollbackTargets are
	// where a retrain or a rollback that a person asks for can go, the likeliest
	// first.
	Verbs           []Verb   `json:"verbs"`
	RetrainTargets  []string `json:"retrainTargets,omitempty"`
	RollbackTargets []string `json:"rollbackTargets,omitempty"`
	// Gaps says what could not be found out, one sentence each; the rest of the
	// card holds all the same.
	Gaps []string `json:"gaps,omitempty"`
}

// MaxCard bounds each list of a card, MaxPoints the points of a series.
const (
	MaxCard   = 20
	MaxPoints = 60
)

// Series is one metric over time.
type Series struct {
	Monitor string `json:"monitor,omitempty"` // asset id
	Signal  string `json:"signal,omitempty"`
	Feature string `json:"feature,omitempty"`
	Metric  string `json:"metric"`
	// Threshold is the newest; nil when none is known. LowerIsBad says on which
	// side of it the trouble is.
	Threshold  *float64 `json:"threshold,omitempty"`
	LowerIsBad bool     `json:"lowerIsBad,omitempty"`
	// Points are in the order of time.
	Points []Point `json:"points"`
}

// Point is one measurement. Value is nil where a window passed and its value is
// not known.
type Point struct {
	At       time.Time `json:"at"`
	Value    *float64  `json:"value,omitempty"`
	Breached bool      `json:"breached"`
}

// Ground is one policy's decision.
type Ground struct {
	Policy  string    `json:"policy"`
	Event   string    `json:"event"` // log key
	At      time.Time `json:"at,omitzero"`
	Verdict string    `json:"verdict"`
	// Reason is the decision's reason in words; Window what it was about.
	Reason string `json:"reason"`
	Window string `json:"window,omitempty"`
	// Values are what the condition read, name = value, sorted by name.
	Values []string `json:"values,omitempty"`
}

// Kinds of Shift.
const (
	ShiftData        = "data"
	ShiftCode        = "code"
	ShiftEnvironment = "environment"
	ShiftModel       = "model"
	ShiftJob         = "job"
	ShiftDeployment  = "deployment"
	ShiftTraffic     = "traffic"
	ShiftOther       = "other"
)

// Shift is one difference in the lineage around the review's assets.
type Shift struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	// Asset is what is different.
	Asset string `json:"asset"`
	// What is a sentence fragment: "new version 8 (was 7)".
	What string `json:"what"`
}

// Deed is an action, taken or held back.
type Deed struct {
	At     time.Time `json:"at,omitzero"`
	ID     string    `json:"id,omitempty"` // the action's; "" when none was planned
	Type   string    `json:"type"`         // retrain, rollback, ...
	Target string    `json:"target,omitempty"`
	Policy string    `json:"policy,omitempty"`
	// State is the action's state; for what was held, by what: cooldown,
	// budget, freeze, in_flight, storm, observe, ...
	State string `json:"state"`
	// Text is a sentence: the outcome, or why it was held.
	Text string `json:"text,omitempty"`
	URL  string `json:"url,omitempty"`
}

// Allowed are the verbs that a review's state allows, the likeliest first, those
// that act on a model apart.
func (r *Review) Allowed() []Verb {
	switch r.State {
	case Resolved:
		return []Verb{Reopen, Remark}
	case Acknowledged:
		return []Verb{Resolve, Snooze, Remark, SilenceIt}
	}
	return []Verb{Ack, Snooze, Resolve, Remark, SilenceIt}
}

// Past is an earlier review.
type Past struct {
	ID         string    `json:"id"`
	Title      string    `json:"title"`
	Severity   Severity  `json:"severity"`
	Opened     time.Time `json:"opened"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	// ResolvedBy and Resolution say who or what ended it, and how.
	ResolvedBy string `json:"resolvedBy,omitempty"`
	Resolution string `json:"resolution,omitempty"`
	// SameCause is true when it is of this review's very cause.
	SameCause bool `json:"sameCause,omitempty"`
}

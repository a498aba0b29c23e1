// Package review keeps the tickets that on-call works on. One review gathers
// every signal of one cause, from the first breach until the cause has passed
// or a person has resolved it.
//
// [Review] and its methods are a pure state machine: they take the time as an
// argument and touch nothing outside. [Desk] keeps reviews in a
// lineage.Store, all of one cause in one partition, so that a signal and its
// idempotency key are one atomic write.
//
//	open ──ack──▶ acknowledged ──resolve──▶ resolved
//	  │  ◀─severity, reopen──┘ │               ▲ │
//	  ├──snooze──▶ snoozed ◀───┘               │ │
//	  │  ◀─time, severity─┘ └──────────────────┤ │
//	  └────────────resolve, cause passed───────┘ │
//	  ◀────────reopen, cause back soon───────────┘
//
// While a review is open and nobody acknowledges it, it escalates along its
// chain, deadline by deadline. A silence keeps it from calling anybody, and its
// deadlines wait.
//
// A cause that comes back soon after it passed by itself reopens its review,
// and that one then waits until the cause has stayed away for a while before it
// resolves by itself again. What a person resolved stays resolved, unless a
// person reopens it: the next signal of the cause opens another review, linked
// to it.
package review

import (
	"slices"
	"time"
)

// State is where a review stands.
type State string

// The states. Open waits for a person; acknowledged is in somebody's hands;
// snoozed is open again at SnoozedUntil; resolved is over.
const (
	Open         State = "open"
	Acknowledged State = "acknowledged"
	Snoozed      State = "snoozed"
	Resolved     State = "resolved"
)

// States lists every state in the order of a review's life.
func States() []State { return []State{Open, Acknowledged, Snoozed, Resolved} }

// System is the name that history gives to what no person did.
const System = "modelwarden"

// Bounds of what one review carries, in entries and in bytes of text.
const (
	MaxSignals  = 20
	MaxAssets   = 50
	MaxPolicies = 20
	MaxHistory  = 60
	MaxComments = 100
	MaxTargets  = 20
	MaxChain    = 10
	MaxParts    = 60
	MaxPulse    = 96

	maxText = 2000
	maxName = 200
)

// Review is one ticket.
type Review struct {
	// ID names the review and says where it is kept: "<digest>-<n>", the
	// digest of the cause and the number within it. It fits one URL path
	// segment.
	ID string `json:"id"`
	// Cause is what all signals of this review have in common.
	Cause string `json:"cause"`
	// Previous is the id of the cause's review before this one, if any.
	Previous string `json:"previous,omitempty"`

	// Title says what is wrong, Reason why a policy thought so. They come
	// from the most severe signal, and among equals from the newest.
	Title  string `json:"title"`
	Reason string `json:"reason,omitempty"`
	// Severity is the highest that any signal carried.
	Severity Severity `json:"severity"`
	State    State    `json:"state"`

	Opened  time.Time `json:"opened"`
	Updated time.Time `json:"updated"`
	// Unresolved is when the review last became that: Opened, or when it was
	// reopened after it had been resolved. OpenSince is when it last became
	// open, from whatever state.
	Unresolved time.Time `json:"unresolvedSince"`
	OpenSince  time.Time `json:"openSince"`
	// AckWithin is the shortest acknowledgement time that a signal asked
	// for; AckBy the running deadline. AckBy is set only while open.
	AckWithin Interval  `json:"ackWithin,omitzero"`
	AckBy     time.Time `json:"ackBy,omitzero"`
	// Escalated is when a deadline last passed without an acknowledgement since
	// OpenSince. Level is the rung that was reached: 0 is the first target, n
	// the n-th of Chain. Round counts how often the chain began anew.
	Escalated time.Time `json:"escalated,omitzero"`
	Level     int       `json:"level,omitempty"`
	Round     int       `json:"round,omitempty"`
	// Targets are the names of those that are told first; Chain is who is told
	// next while nobody acknowledges, Repeat how often it is gone through again.
	Targets []string `json:"targets,omitempty"`
	Chain   []Rung   `json:"chain,omitempty"`
	Repeat  int      `json:"repeat,omitempty"`
	// Reached are the targets of the chain that were ever told: they are kept up
	// to date, even where the escalation began anew below them.
	Reached []string `json:"reached,omitempty"`
	// Silence, while there is one, keeps the review from calling anybody.
	Silence *Silenced `json:"silence,omitempty"`
	// AckedAt and AckedBy tell of the acknowledgement since OpenSince.
	AckedAt time.Time `json:"ackedAt,omitzero"`
	AckedBy string    `json:"ackedBy,omitempty"`
	// CallsFrom is when the review's first calls go out, where they wait to see
	// whether it becomes part of another.
	CallsFrom time.Time `json:"callsFrom,omitzero"`
	// NextUpdate is when tickets are next brought up to date for nothing but
	// more signals.
	NextUpdate time.Time `json:"nextUpdate,omitzero"`
	// SnoozedUntil is set only while snoozed.
	SnoozedUntil time.Time `json:"snoozedUntil,omitzero"`
	// ResolveAt is set while the cause has passed and the review waits to see
	// whether it stays away, because it came back before; Pending is the passing.
	ResolveAt time.Time `json:"resolveAt,omitzero"`
	Pending   *Passing  `json:"pending,omitempty"`
	// Reopened counts how often the cause came back after it had passed.
	Reopened int `json:"reopened,omitempty"`
	// Parts are the causes that were put together in this review, because what
	// they have in common is what is wrong.
	Parts        []Part `json:"parts,omitempty"`
	PartsDropped int    `json:"partsDropped,omitempty"`
	// Joined is the review that this one's signals went on in.
	Joined string `json:"joined,omitempty"`
	// ResolvedAt and Resolution are set only once resolved.
	ResolvedAt time.Time   `json:"resolvedAt,omitzero"`
	Resolution *Resolution `json:"resolution,omitempty"`

	// Count is how many signals were merged; Signals are the newest
	// MaxSignals of them, newest first, and LastSignal the newest one's time.
	Count      int       `json:"count"`
	LastSignal time.Time `json:"lastSignal"`
	Signals    []Note    `json:"signals"`

	// Assets are those the signals spoke of, in order of appearance;
	// AssetsDropped counts those beyond MaxAssets.
	Assets        []string `json:"assets"`
	AssetsDropped int      `json:"assetsDropped,omitempty"`
	Model         string   `json:"model,omitempty"`
	Workspace     string   `json:"workspace,omitempty"`
	Policies      []string `json:"policies,omitempty"`
	// Runbook is the address of what to do.
	Runbook string `json:"runbook,omitempty"`
	// Pulse counts the signals of each hour that had any, the newest MaxPulse
	// of them, oldest first.
	Pulse []Beat `json:"pulse,omitempty"`

	// History holds the newest MaxHistory changes of state, oldest first.
	History        []Transition `json:"history"`
	HistoryDropped int          `json:"historyDropped,omitempty"`
	// Comments are the newest MaxComments, oldest first.
	Comments        []Comment `json:"comments,omitempty"`
	CommentsDropped int       `json:"commentsDropped,omitempty"`

	// Rev counts the committed changes.
	Rev int `json:"rev,omitempty"`
	// Version is the stored record's, for [Command.Version].
	Version string `json:"version,omitempty"`
}

// Note is what a review keeps of one signal.
type Note struct {
	At time.Time `json:"at"`
	// Key is the action's idempotency key, Event the event's log key.
	Key   string `json:"key"`
	Event string `json:"event,omitempty"`
	Text  string `json:"text,omitempty"`
	// Window is the measured window that the signal is about.
	Window string `json:"window,omitempty"`
}

// Transition is one change of a review's state, or of its urgency (From and
// To are then equal).
type Transition struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	From State     `json:"from,omitempty"`
	To   State     `json:"to"`
	Why  string    `json:"why,omitempty"`
}

// Rung is one step of an escalation chain.
type Rung struct {
	Target string   `json:"target"`
	Within Interval `json:"within"`
}

// Silenced says which silence holds a review, and until when.
type Silenced struct {
	ID    string    `json:"id"`
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
	Until time.Time `json:"until"`
}

// Part is one cause among those of a review.
type Part struct {
	Cause string `json:"cause"`
	Model string `json:"model,omitempty"`
	// LastSignal is its newest signal's time; Passed when it passed after that.
	LastSignal time.Time `json:"lastSignal"`
	Passed     time.Time `json:"passed,omitzero"`
}

// Beat is the number of signals within the hour that begins at Hour.
type Beat struct {
	Hour time.Time `json:"hour"`
	N    int       `json:"n"`
}

// Comment is a person's remark.
type Comment struct {
	// Key, where there is one, names what brought it, so that a repeat adds
	// nothing.
	Key  string    `json:"key,omitempty"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Text string    `json:"text"`
}

// Resolution says how a review ended.
type Resolution struct {
	By    string `json:"by"`
	Cause string `json:"cause,omitempty"`
	// Auto is true when the cause passed by itself, Passed then when it did.
	Auto   bool      `json:"auto,omitempty"`
	Passed time.Time `json:"passed,omitzero"`
	// Key is the resolving action's, where there was one.
	Key string `json:"key,omitempty"`
}

// Interval is a time.Duration that reads and writes as text ("30m0s").
type Interval time.Duration

// String writes the interval as Go writes a duration.
func (i Interval) String() string { return time.Duration(i).String() }

// MarshalText writes String.
func (i Interval) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (i *Interval) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*i = Interval(d)
	return err
}

// About reports whether the review speaks of the asset or model with this id.
func (r *Review) About(asset string) bool {
	return r.Model == asset || slices.Contains(r.Assets, asset)
}

// clip shortens text to at most n bytes, at a character boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

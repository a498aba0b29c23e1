package lineage

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Entry is the log entry of one event, the record `event/<key>` in the
// partition of the event's home. It is created in the commit of the event's
// effects, so its existence means that the event was worked on.
type Entry struct {
	// ID is the log key, "<event key>@<partition>".
	ID   string     `json:"id"`
	Kind event.Kind `json:"kind"`
	// Asset is the primary asset, "" when there is none.
	Asset     ID     `json:"asset,omitempty"`
	Workspace string `json:"workspace"`

	// Received is when the subscriber accepted it, Queued when the queue did,
	// Committed when this entry was written.
	Received  time.Time `json:"received,omitzero"`
	Queued    time.Time `json:"queued,omitzero"`
	Committed time.Time `json:"committed"`
	// Via, Subscription and DeliveryCount tell the way in.
	Via           string `json:"via,omitempty"`
	Subscription  string `json:"subscription,omitempty"`
	DeliveryCount string `json:"deliveryCount,omitempty"`
	TraceParent   string `json:"traceparent,omitempty"`
	// Fenced marks a replay that was not allowed to act.
	Fenced bool `json:"fenced,omitempty"`

	// Page is the journal page that lists the event.
	Page string `json:"page"`
	// Decisions counts the decisions, which are in record `decision/<key>`.
	Decisions int `json:"decisions,omitempty"`
	// Actions are the ids of the intents that this event caused.
	Actions []string `json:"actions,omitempty"`
	// Breaches counts what the event reported; Loss what it could not.
	Breaches int         `json:"breaches,omitempty"`
	Loss     *event.Loss `json:"loss,omitempty"`
	// Notes are sentences about what was assumed or left out of the event.
	Notes []string `json:"notes,omitempty"`
	// Enrichment is what came of asking Azure Machine Learning about the
	// event; nil where there was nothing to ask.
	Enrichment *Enrichment `json:"enrichment,omitempty"`
	// Chunks counts the records `blob/<key>/<n>` that hold Event where it is
	// too large for one record; Event is then empty.
	Chunks int `json:"chunks,omitempty"`

	// Event is the canonical CloudEvent as it was queued.
	Event json.RawMessage `json:"event,omitempty"`
}

// Enrichment is how far asking about an event has come.
type Enrichment struct {
	// State is one of the constants below.
	State string `json:"state"`
	// Waiting is true while policies that read what the answer brings have not
	// decided.
	Waiting bool `json:"waiting,omitempty"`
	// Ended is when the state became final.
	Ended time.Time `json:"ended,omitzero"`
	// Detail says why an answer is missing, or not used.
	Detail string `json:"detail,omitempty"`
	// Page is the journal page that lists what was decided after the commit of
	// the event; Policies and Actions are what that was.
	Page     string   `json:"page,omitempty"`
	Policies []string `json:"policies,omitempty"`
	Actions  []string `json:"actions,omitempty"`
}

// States of an Enrichment.
const (
	EnrichmentPending = "pending"
	EnrichmentDone    = "done"
	EnrichmentFailed  = "failed"
)

// EventLine is what a list shows of an event: the body of its line in the
// EventJournal.
type EventLine struct {
	Key       string     `json:"key"`
	ID        string     `json:"id"`
	Kind      event.Kind `json:"kind"`
	Asset     ID         `json:"asset,omitempty"`
	Workspace string     `json:"workspace"`
	Type      string     `json:"type"`
	Subject   string     `json:"subject,omitempty"`
	Time      time.Time  `json:"time"`
	Received  time.Time  `json:"received,omitzero"`
	Committed time.Time  `json:"committed"`
	Decisions int        `json:"decisions,omitempty"`
	Actions   int        `json:"actions,omitempty"`
	Breaches  int        `json:"breaches,omitempty"`
}

// Record ids within an asset's partition.
const (
	AssetRecord    = "asset"
	MemoryRecord   = "memory"
	eventPrefix    = "event/"
	decisionPrefix = "decision/"
	actionPrefix   = "action/"
	blobPrefix     = "blob/"
)

// EventRecord is the id of an event's log entry.
func EventRecord(k event.Key) string { return eventPrefix + string(k) }

// DecisionRecord is the id of the decisions on an event.
func DecisionRecord(k event.Key) string { return decisionPrefix + string(k) }

// ActionRecord is the id of an action by its key.
func ActionRecord(key string) string { return actionPrefix + key }

// EventSort orders an asset's events by time: RFC 3339 in UTC with nine
// digits, so that byte order is time order.
func EventSort(at time.Time, k event.Key) string {
	return eventPrefix + SortTime(at) + "/" + string(k)
}

// SortTime writes a time so that byte order is time order.
func SortTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// LogKey joins an event's key and the partition that holds it.
func LogKey(k event.Key, partition string) string { return string(k) + "@" + partition }

// SplitLogKey undoes LogKey.
func SplitLogKey(id string) (k event.Key, partition string, ok bool) {
	a, b, ok := strings.Cut(id, "@")
	return event.Key(a), b, ok && a != "" && b != ""
}

package policy

import (
	"encoding/json"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// ChangeType names a change of the service's own that others may want to hear
// of; it is the type of the CloudEvent that tells of it.
type ChangeType string

// Types of change.
const (
	DecisionMade    ChangeType = "Modelwarden.Decision.Made"
	ActionPerformed ChangeType = "Modelwarden.Action.Performed"
	ReviewChanged   ChangeType = "Modelwarden.Review.Changed"
	StageChanged    ChangeType = "Modelwarden.Stage.Changed"
)

// ChangeTypes lists them all.
func ChangeTypes() []ChangeType {
	return []ChangeType{DecisionMade, ActionPerformed, ReviewChanged, StageChanged}
}

// Changes is the target of publications. No policy names it; it exists where
// the configuration says where to publish.
const Changes = "(changes)"

// Change is one change, as it is published.
type Change struct {
	// ID is deterministic: the same change has the same id however often it is
	// published, so whoever listens can drop repeats.
	ID   string     `json:"id"`
	Type ChangeType `json:"type"`
	// Subject is the asset or review that changed.
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	// Data is a JSON object.
	Data json.RawMessage `json:"data"`
}

// changesInput is the input that holds a publication's changes.
const changesInput = "changes"

// NewPublication is the intent to publish changes that one commit makes to a
// partition. It is pending: whoever is woken for it performs it.
func NewPublication(partition string, now time.Time, changes ...Change) Action {
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	key := event.Digest(append([]string{"publish"}, ids...)...)
	return Action{
		ID: ActionID(key, partition), Key: key, Type: Publish, Target: Changes,
		Policy: "builtin/publish", Asset: partition,
		Title: "Publish " + string(changes[0].Type), Inputs: map[string]any{changesInput: changes},
		Occurred: now, State: Pending, Created: now, Updated: now,
	}
}

// PublishedChanges are the changes that a publication tells of.
func PublishedChanges(a Action) ([]Change, error) {
	b, err := json.Marshal(a.Inputs[changesInput])
	if err != nil {
		return nil, err
	}
	var out []Change
	return out, json.Unmarshal(b, &out)
}

package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Publications turn the service's own changes into intents to publish them,
// which are committed together with the change and performed like any other
// action. The nil Publications plan nothing.
type Publications struct {
	// Queue takes the messages that wake workers for the intents.
	Queue policy.Sender
	// Wants says whether changes of a type are published.
	Wants func(policy.ChangeType) bool
	// Now is the clock.
	Now func() time.Time
}

// Plan gives the record that publishes a change, to be committed to the
// partition with the change itself, and what to call after that commit; see
// policy.Plan.
func (p *Publications) Plan(ctx context.Context, partition string, c policy.Change) (extra []lineage.Change, committed func(context.Context), err error) {
	if !p.wants(c.Type) {
		return nil, func(context.Context) {}, nil
	}
	now := p.Now().UTC()
	return policy.Plan(ctx, p.Queue, now, policy.NewPublication(partition, now, c))
}

func (p *Publications) wants(t policy.ChangeType) bool { return p != nil && p.Wants(t) }

// decisionsMade plans the publication of an event's decisions. Policies that
// had nothing to say about it are not worth telling.
func (w *Worker) decisionsMade(st *partitionState, it *item) []policy.Action {
	if !w.o.Publications.wants(policy.DecisionMade) {
		return nil
	}
	var changes []policy.Change
	for _, d := range it.decisions {
		if d.Reason == policy.ReasonConditionFalse || len(changes) == maxPublishedDecisions {
			continue
		}
		d.Inputs = nil
		if len(d.Breaches) > maxPublishedBreaches {
			d.MoreBreaches += len(d.Breaches) - maxPublishedBreaches
			d.Breaches = d.Breaches[:maxPublishedBreaches]
		}
		data, err := json.Marshal(d)
		if err != nil {
			continue // a stored decision is always JSON
		}
		changes = append(changes, policy.Change{
			ID:   event.Digest("decision", d.Event, d.Policy, d.Signal),
			Type: policy.DecisionMade, Subject: d.Asset, Time: st.now, Data: data,
		})
	}
	if len(changes) == 0 {
		return nil
	}
	return []policy.Action{policy.NewPublication(st.home, st.now, changes...)}
}

// Bounds of one publication of decisions; all of them are in the event's
// entry.
const (
	maxPublishedDecisions = 50
	maxPublishedBreaches  = 10
)

// performed is the change that the end of an action is.
func performed(a policy.Action) policy.Change {
	data, _ := json.Marshal(map[string]any{ // texts and times: always JSON
		"id": a.ID, "type": a.Type, "target": a.Target, "state": a.State, "policy": a.Policy, "asset": a.Asset,
		"model": a.Model, "event": a.Event, "attempts": a.Attempts, "outcome": a.Outcome, "lastError": a.LastError, "suppressedBy": a.SuppressedBy,
	})
	return policy.Change{
		ID:   event.Digest("action", a.ID, string(a.State), a.Updated.UTC().Format(time.RFC3339Nano)),
		Type: policy.ActionPerformed, Subject: a.Asset, Time: a.Updated, Data: data,
	}
}

// stageChanged plans the publication of a model version's new stage, if that
// is what the commit in the making brings.
func (w *Worker) stageChanged(ctx context.Context, st *partitionState, before string) (committed func(context.Context), err error) {
	id, after := st.asset.ID, st.stage()
	if before == after || after == "" {
		return func(context.Context) {}, nil
	}
	data, _ := json.Marshal(map[string]string{"asset": string(id), "from": before, "to": after}) // strings
	extra, committed, err := w.o.Publications.Plan(ctx, st.home, policy.Change{
		ID:   event.Digest("stage", string(id), after, fmt.Sprint(st.asset.Rev+1)),
		Type: policy.StageChanged, Subject: string(id), Time: st.now, Data: data,
	})
	st.changes = append(st.changes, extra...)
	return committed, err
}

// stage is the stage of a model version; "" for everything else and for what
// is not known yet.
func (st *partitionState) stage() string {
	if st.asset.ID.Kind() != lineage.Model || st.asset.ID.Version() == "" {
		return ""
	}
	return st.asset.Stage()
}

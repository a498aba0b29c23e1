package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// ErrNotSuspended means that no retrain by the policy stands against it.
var ErrNotSuspended = errors.New("no ineffective retrain counts against the policy, so there is nothing to resume")

// resumeTries bounds how often Resume starts over because the asset changed.
const resumeTries = 20

// Resume makes a policy that suspended itself ask for retrains of an asset
// (the monitor) again: those that did not help no longer count. by and why go
// into the history of the review that told of the suspension, which is closed
// by the returned action; the caller sends its WakeMessage. It returns
// lineage.ErrNotFound where nothing is known of the asset or the policy never
// decided on it, and ErrNotSuspended.
func Resume(ctx context.Context, store lineage.Store, name, asset, by, why string, now time.Time) (Action, error) {
	for range resumeTries {
		a, err := resume(ctx, store, name, asset, by, why, now)
		if !errors.Is(err, lineage.ErrConflict) {
			return a, err
		}
	}
	return Action{}, fmt.Errorf("policy %s: %w", name, lineage.ErrConflict)
}

func resume(ctx context.Context, store lineage.Store, name, asset, by, why string, now time.Time) (Action, error) {
	got, err := store.Get(ctx, asset, lineage.MemoryRecord, lineage.AssetRecord)
	if err != nil {
		return Action{}, err
	}
	memory := map[string]Memory{}
	if got[0].Version != "" {
		if err := json.Unmarshal(got[0].Body, &memory); err != nil {
			return Action{}, fmt.Errorf("stored policy memory of %s: %w", asset, err)
		}
	}
	m, known := memory[name]
	if !known || got[1].Version == "" {
		return Action{}, fmt.Errorf("policy %s has decided nothing on %s: %w", name, asset, lineage.ErrNotFound)
	}
	forgiven, changed := m.ForgiveAll()
	if !changed {
		return Action{}, fmt.Errorf("policy %s on %s: %w", name, asset, ErrNotSuspended)
	}
	memory[name] = forgiven
	body, err := json.Marshal(memory)
	if err != nil {
		return Action{}, err
	}
	a := resumed(m, name, asset, by, why, now)
	planned, err := ActionChange(a, "")
	if err != nil {
		return Action{}, err
	}
	// The asset's document is written along, unchanged: whoever decides with
	// what it remembers from before must fail, and read again.
	_, err = store.Commit(ctx, asset, []lineage.Change{planned,
		{Op: lineage.Replace, Record: lineage.Record{ID: lineage.MemoryRecord, Version: got[0].Version, Body: body}},
		{Op: lineage.Replace, Record: lineage.Record{ID: lineage.AssetRecord, Version: got[1].Version, Body: got[1].Body}},
	})
	return a, err
}

// resumed is the action that closes the review of a suspension for a person.
func resumed(m Memory, name, asset, by, why string, now time.Time) Action {
	last := ""
	for _, t := range m.Trials {
		if t.Verdict == Ineffective && !t.Forgiven {
			last = ActionID(t.Key, asset)
		}
	}
	cause := SuspensionCause(name, asset)
	key := event.Digest("resume", cause, last)
	reason := "resumed by " + clip(by, 200)
	if why != "" {
		reason += ": " + clip(why, 1000)
	}
	return Action{
		ID: ActionID(key, asset), Key: key, Type: Resolve, Target: Desk, Policy: name, Asset: asset, Cause: cause,
		Title: "Resumed", Reason: reason, Inputs: map[string]any{"action": last},
		Occurred: now, State: Pending, Created: now, Updated: now,
	}
}

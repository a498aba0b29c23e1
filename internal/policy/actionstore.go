package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// GetAction reads an action by its id; the version is for PutAction. It
// returns lineage.ErrNotFound for an id that names none.
func GetAction(ctx context.Context, store lineage.Store, id string) (Action, string, error) {
	key, partition, ok := SplitID(id)
	if !ok {
		return Action{}, "", fmt.Errorf("action %q: want <key>@<asset>: %w", id, lineage.ErrNotFound)
	}
	got, err := store.Get(ctx, partition, lineage.ActionRecord(key))
	if err != nil {
		return Action{}, "", err
	}
	if got[0].Version == "" {
		return Action{}, "", fmt.Errorf("action %s: %w", id, lineage.ErrNotFound)
	}
	var a Action
	if err := json.Unmarshal(got[0].Body, &a); err != nil {
		return Action{}, "", fmt.Errorf("stored action %s: %w", id, err)
	}
	return a, got[0].Version, nil
}

// ActionChange is the change that creates an action (version "") or replaces
// the one at that version.
func ActionChange(a Action, version string) (lineage.Change, error) {
	_, _, ok := SplitID(a.ID)
	body, err := json.Marshal(a)
	if err != nil || !ok {
		return lineage.Change{}, fmt.Errorf("action %q can't be stored: %w", a.ID, errors.Join(err, lineage.ErrNotFound))
	}
	c := lineage.Change{Op: lineage.Create, Record: lineage.Record{
		ID: lineage.ActionRecord(a.Key), Sort: "action/" + lineage.SortTime(a.Created) + "/" + a.Key, Body: body,
	}}
	if a.Type == Deliver || a.Type == Publish {
		c.Record.Expires = a.Created.Add(toldKept)
	}
	if version != "" {
		c.Op, c.Record.Version = lineage.Replace, version
	}
	return c, nil
}

// toldKept is how long what was told is remembered.
const toldKept = 90 * 24 * time.Hour

// AnnounceAhead is when a worker looks for an intent that was about to be
// committed, whatever became of the process that did it. It is well over the
// time that a commit may take.
const AnnounceAhead = 2 * time.Minute

// Sender takes the messages that wake workers.
type Sender interface {
	Send(ctx context.Context, messages []lineage.Message) error
}

// Plan gives the records of intents that are to be committed together with
// something else, and what to call after that commit. Before it returns,
// messages are on their way that will find the intents even if this process
// dies right after the commit. An intent with a NextAttempt waits for it.
func Plan(ctx context.Context, queue Sender, now time.Time, intents ...Action) (extra []lineage.Change, committed func(context.Context), err error) {
	nothing := func(context.Context) {}
	if len(intents) == 0 {
		return nil, nothing, nil
	}
	ahead, due := make([]lineage.Message, len(intents)), make([]lineage.Message, len(intents))
	for i, a := range intents {
		change, err := ActionChange(a, "")
		if err != nil {
			return nil, nothing, err
		}
		// Telling twice is harmless, failing a commit over it is not.
		change.Op = lineage.Upsert
		extra = append(extra, change)
		ahead[i] = WakeMessage(a.ID, latest(now.Add(AnnounceAhead), a.NextAttempt))
		due[i] = WakeMessage(a.ID, a.NextAttempt)
	}
	if err := queue.Send(ctx, ahead); err != nil {
		return nil, nothing, fmt.Errorf("announce %s: %w", intents[0].Title, err)
	}
	// When this fails the announcements are still there.
	return extra, func(ctx context.Context) { _ = queue.Send(ctx, due) }, nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// PutAction replaces the action at the given version; lineage.ErrConflict
// when somebody else changed it meanwhile.
func PutAction(ctx context.Context, store lineage.Store, a Action, version string) (string, error) {
	_, partition, _ := SplitID(a.ID)
	c, err := ActionChange(a, version)
	if err != nil {
		return "", err
	}
	versions, err := store.Commit(ctx, partition, []lineage.Change{c})
	if err != nil {
		return "", err
	}
	return versions[0], nil
}

// ErrNotRetryable means that an action is not in a state from which a person
// may retry it.
var ErrNotRetryable = errors.New("only a failed or suppressed action can be retried")

// RetryAction puts a failed or suppressed action back to pending, due now,
// with a fresh count of attempts. One that a storm held is no longer held by
// it; budgets and the one retrain in flight hold as before. The caller then
// sends WakeMessage.
func RetryAction(ctx context.Context, store lineage.Store, id string, now time.Time) (Action, error) {
	a, version, err := GetAction(ctx, store, id)
	if err != nil {
		return Action{}, err
	}
	if a.State != Failed && a.State != Suppressed {
		return a, fmt.Errorf("action %s is %s: %w", id, a.State, ErrNotRetryable)
	}
	if a.SuppressedBy == ReasonStorm {
		a.Overridden = ReasonStorm
	}
	a.State, a.Attempts, a.SuppressedBy = Pending, 0, ""
	a.NextAttempt, a.ClaimedBy, a.ClaimedUntil, a.Updated = now, "", time.Time{}, now
	_, err = PutAction(ctx, store, a, version)
	return a, err
}

// WakeMessage asks a worker to look at an action, not before a time. The time
// is part of the message's id: a broker that drops repeats must not take the
// wake-up for a later attempt for that of an earlier one.
func WakeMessage(id string, notBefore time.Time) lineage.Message {
	return lineage.Message{
		ID: fmt.Sprintf("wake-%s-%d", id, notBefore.UnixMilli()), Body: []byte(id), NotBefore: notBefore,
		Properties: map[string]string{lineage.PropKind: lineage.KindWake},
	}
}

// DecisionsOn reads the decisions on an event by its log key; none is no
// error.
func DecisionsOn(ctx context.Context, store lineage.Store, logKey string) ([]Decision, error) {
	key, partition, ok := lineage.SplitLogKey(logKey)
	if !ok {
		return nil, nil
	}
	got, err := store.Get(ctx, partition, lineage.DecisionRecord(key))
	if err != nil || got[0].Version == "" {
		return nil, err
	}
	var ds []Decision
	if err := json.Unmarshal(got[0].Body, &ds); err != nil {
		return nil, fmt.Errorf("stored decisions on %s: %w", logKey, err)
	}
	return ds, nil
}

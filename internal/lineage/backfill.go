package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// BackfillState is where a Backfill stands.
type BackfillState string

// States of a backfill. The last three are final.
const (
	BackfillRequested BackfillState = "requested"
	BackfillRunning   BackfillState = "running"
	BackfillDone      BackfillState = "done"
	BackfillFailed    BackfillState = "failed"
	BackfillCancelled BackfillState = "cancelled"
)

// Backfill is a walk over the history of a workspace that completes its
// lineage and causes nothing. Each workspace has at most one, the record
// BackfillRecord of its WorkPartition: whoever asks for one writes the record,
// and a process with access to the workspace takes it up.
type Backfill struct {
	// ID tells this backfill from the workspace's earlier ones.
	ID        string        `json:"id"`
	Workspace string        `json:"workspace"`
	State     BackfillState `json:"state"`
	// Since is how far back it goes; zero is to the beginning.
	Since     time.Time `json:"since,omitzero"`
	Requested time.Time `json:"requested"`
	Updated   time.Time `json:"updated"`
	Ended     time.Time `json:"ended,omitzero"`

	// Phase is what it is walking over, Cursor where in that it is.
	Phase  string `json:"phase,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	// Progress is a guess of how much is done, from 0 to 1.
	Progress float64 `json:"progress"`
	// Seen counts what was looked at, Told the events for what lineage did not
	// know.
	Seen int `json:"seen"`
	Told int `json:"told"`
	// Problem is why it failed, or what holds it up at the moment.
	Problem string `json:"problem,omitempty"`
	// Newest is the newest job's creation and Horizon where the jobs likely
	// begin: what the guess rests on.
	Newest  time.Time `json:"newest,omitzero"`
	Horizon time.Time `json:"horizon,omitzero"`
}

// IsOpen says whether there is work left.
func (b Backfill) IsOpen() bool {
	return b.State == BackfillRequested || b.State == BackfillRunning
}

// BackfillRecord is the id of a workspace's backfill.
const BackfillRecord = "backfill"

// WorkPartition is where the records of work on a workspace are: leases,
// cursors, the backfill.
func WorkPartition(workspace string) string { return "reconcile/" + workspace }

// GetBackfill reads a workspace's backfill and its record's version, or
// returns ErrNotFound.
func GetBackfill(ctx context.Context, store Store, workspace string) (b Backfill, version string, err error) {
	got, err := store.Get(ctx, WorkPartition(workspace), BackfillRecord)
	if err != nil {
		return Backfill{}, "", err
	}
	if got[0].Version == "" {
		return Backfill{}, "", fmt.Errorf("backfill of %s: %w", workspace, ErrNotFound)
	}
	if err := json.Unmarshal(got[0].Body, &b); err != nil {
		return Backfill{}, "", fmt.Errorf("stored backfill of %s: %w", workspace, err)
	}
	return b, got[0].Version, nil
}

// Change is what writes the backfill over the record with that version, ""
// where there is none.
func (b Backfill) Change(version string) (Change, error) {
	body, err := json.Marshal(b)
	c := Change{Op: Replace, Record: Record{ID: BackfillRecord, Version: version, Body: body}}
	if version == "" {
		c.Op = Create
	}
	return c, err
}

// RequestBackfill asks for a backfill. One that is open stays as it is and is
// returned; created is then false.
func RequestBackfill(ctx context.Context, store Store, workspace string, since, now time.Time) (b Backfill, created bool, err error) {
	b, err = editBackfill(ctx, store, workspace, func(old *Backfill) bool {
		if old.IsOpen() {
			created = false
			return false
		}
		created = true
		*old = Backfill{
			ID: event.Digest("backfill", workspace, SortTime(now)), Workspace: workspace,
			State: BackfillRequested, Since: since, Requested: now.UTC(), Updated: now.UTC(),
		}
		return true
	})
	return b, created && err == nil, err
}

// CancelBackfill ends a workspace's backfill before its time. What it did
// stays. One that has ended stays as it is; without any the error is
// ErrNotFound.
func CancelBackfill(ctx context.Context, store Store, workspace string, now time.Time) (Backfill, error) {
	b, err := editBackfill(ctx, store, workspace, func(b *Backfill) bool {
		if !b.IsOpen() {
			return false
		}
		b.State, b.Ended, b.Updated = BackfillCancelled, now.UTC(), now.UTC()
		return true
	})
	if err == nil && b.ID == "" {
		err = fmt.Errorf("backfill of %s: %w", workspace, ErrNotFound)
	}
	return b, err
}

// editTries bounds how often an edit starts over because somebody was faster.
const editTries = 20

// editBackfill changes a record until nobody interferes; change says whether
// there is anything to write.
func editBackfill(ctx context.Context, store Store, workspace string, change func(*Backfill) bool) (Backfill, error) {
	for range editTries {
		b, version, err := GetBackfill(ctx, store, workspace)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Backfill{}, err
		}
		if !change(&b) {
			return b, nil
		}
		c, err := b.Change(version)
		if err != nil {
			return Backfill{}, err
		}
		_, err = store.Commit(ctx, WorkPartition(workspace), []Change{c})
		if err == nil || (!errors.Is(err, ErrConflict) && !errors.Is(err, ErrExists)) {
			return b, err
		}
	}
	return Backfill{}, fmt.Errorf("backfill of %s: %w", workspace, ErrConflict)
}

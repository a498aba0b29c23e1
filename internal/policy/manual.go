package policy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Manual stands for the policy of an action that a person asked for. No policy
// of a file can have this name.
const Manual = "builtin/manual"

// ReviewInput is the input in which an action that a person asked for names the
// review that it was asked for from.
const ReviewInput = "review"

// Ordered notes a retrain that a person asked for: what the retrains of
// policies leave in their memories, so that conditions count it, no policy
// starts another meanwhile, and later windows tell whether it helped. m itself
// is not changed.
func (m Memory) Ordered(a Action, now time.Time) Memory {
	fired := slices.DeleteFunc(slices.Clone(m.Fired), func(f Firing) bool { return now.Sub(f.At) >= week })
	fired = append(fired, Firing{Type: a.Type, Target: a.Target, Key: a.Key, At: now})
	trials := append(slices.Clone(m.Trials), Trial{Key: a.Key, Target: a.Target, At: now})
	m.Fired, m.Trials = fired[max(0, len(fired)-maxFirings):], trials[max(0, len(trials)-maxTrials):]
	return m
}

// Performs reports whether the target can perform the action type: its kind
// can, and its own list of types allows it.
func (t Target) Performs(a ActionType) bool {
	if !t.Kind().Accepts(a) {
		return false
	}
	return t.Webhook == nil || len(t.Webhook.Types) == 0 || slices.Contains(t.Webhook.Types, a)
}

// JournalLine is an action's line in lineage.ActionJournal, for an action that
// no event planned: on a page of its own, so that listing it twice is listing
// it once.
func JournalLine(a Action) (page string, line lineage.JournalEntry, err error) {
	body, err := json.Marshal(map[string]any{"id": a.ID, "created": a.Created})
	return lineage.PageID(a.Created, "n-"+a.Key, 0), lineage.JournalEntry{Key: a.ID, Body: body}, err
}

// ListAction puts an action that no event planned into lineage.ActionJournal.
func ListAction(ctx context.Context, store lineage.Store, a Action) error {
	page, line, err := JournalLine(a)
	if err != nil {
		return err
	}
	if err := lineage.ActionJournal.Open(ctx, store, page); err != nil {
		return err
	}
	return lineage.ActionJournal.Append(ctx, store, page, []lineage.JournalEntry{line})
}

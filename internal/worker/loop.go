package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// recordLoop stores what became of a retrain. A verdict goes, in the same
// commit, to the memory of the policy that asked for the retrain, and with it,
// where that suspends the policy, the review that says so.
func (w *Worker) recordLoop(ctx context.Context, b *batch, a policy.Action, version string, before policy.Loop) error {
	judged := a.Loop.Verdict != before.Verdict
	if judged && a.Loop.Verdict != "" {
		if err := w.tell(ctx, &a); err != nil {
			return err
		}
	}
	_, partition, _ := policy.SplitID(a.ID)
	change, err := policy.ActionChange(a, version)
	if err != nil {
		return err
	}
	memory, notice, err := w.judgedMemory(ctx, partition, &a)
	if err != nil {
		return err
	}
	changes := append([]lineage.Change{change}, memory...)
	if notice != nil {
		if changes, err = w.withNotice(ctx, changes, notice); err != nil {
			return err
		}
	}
	versions, err := w.o.Store.Commit(ctx, partition, changes)
	if err != nil {
		return fmt.Errorf("record what became of it: %w", err)
	}
	w.documents.drop(partition)
	w.o.Logger.Info("retrain followed", zap.String("action", a.ID), zap.String("verdict", string(a.Loop.Verdict)), zap.String("why", a.Loop.Why))
	if judged && a.Loop.Verdict != "" {
		w.metrics.outcomes.WithLabelValues(a.Policy, string(a.Loop.Verdict)).Inc()
	}
	if notice == nil {
		return nil
	}
	return w.raise(ctx, b, *notice, versions[len(versions)-1])
}

// tell adds the verdict to the history of the review of the same cause. It
// comes before the commit: telling twice is telling once.
func (w *Worker) tell(ctx context.Context, a *policy.Action) error {
	if w.o.Inform == nil || a.Cause == "" {
		return nil
	}
	window := ""
	if a.Loop.Window != nil {
		window = a.Loop.Window.ID
	}
	key := event.Digest("loop", a.Key, string(a.Loop.Verdict), window)
	if _, err := w.o.Inform(ctx, a.Cause, key, remark(a)); err != nil {
		return fmt.Errorf("tell the review of %s: %w", a.Cause, err)
	}
	return nil
}

// judgedMemory is the change to the policy's memory that a verdict brings, and
// the review to raise when the policy thereby suspends itself. The asset's
// document is written along, unchanged: whoever decides with what it remembers
// from before must fail, and read again.
func (w *Worker) judgedMemory(ctx context.Context, partition string, a *policy.Action) ([]lineage.Change, *policy.Action, error) {
	got, err := w.o.Store.Get(ctx, partition, lineage.MemoryRecord, lineage.AssetRecord)
	if err != nil || got[0].Version == "" || got[1].Version == "" {
		return nil, nil, err
	}
	all := map[string]policy.Memory{}
	if err := json.Unmarshal(got[0].Body, &all); err != nil {
		return nil, nil, fmt.Errorf("stored policy memory of %s: %w", partition, err)
	}
	monitor, err := lineage.DecodeAsset(got[1].Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", partition, err)
	}
	m, news := all[a.Policy].Judge(a.Key, a.Loop.Verdict, a.Loop.JudgedAt())
	s, suspended := w.o.Policies().Suspended(a.Policy, m, lastPassed(monitor))
	var notice *policy.Action
	if suspended && !s.Last.Told {
		m, news, notice = m.Tell(s.Last.Key), true, w.suspension(a, s)
	}
	if !news {
		return nil, nil, nil
	}
	all[a.Policy] = m
	body, err := json.Marshal(all)
	if err != nil {
		return nil, nil, err
	}
	return []lineage.Change{
		{Op: lineage.Replace, Record: lineage.Record{ID: lineage.MemoryRecord, Version: got[0].Version, Body: body}},
		{Op: lineage.Replace, Record: lineage.Record{ID: lineage.AssetRecord, Version: got[1].Version, Body: got[1].Body}},
	}, notice, nil
}

// suspension is the review that tells of a policy which a verdict suspends. It
// has the same key as the one that a decision plans.
func (w *Worker) suspension(a *policy.Action, s policy.Suspension) *policy.Action {
	n := w.notice(*a, "error", policy.SuspensionCause(a.Policy, a.Asset), s.Title(cmp.Or(lineage.ID(a.Model).Name(), a.Asset)), s.Text())
	_, partition, _ := policy.SplitID(a.ID)
	n.Key = s.Key(a.Asset)
	n.ID = policy.ActionID(n.Key, partition)
	// As of the window that proved it: a pass after that ends the suspension.
	n.Occurred = s.Last.Judged
	return &n
}

// withNotice adds a review to a commit. Before it returns, a message is on its
// way that will find the review even if this process dies right after the
// commit.
func (w *Worker) withNotice(ctx context.Context, changes []lineage.Change, n *policy.Action) ([]lineage.Change, error) {
	c, err := policy.ActionChange(*n, "")
	if err != nil {
		return nil, err
	}
	c.Op = lineage.Upsert
	return append(changes, c), w.wake(ctx, *n, n.Created.Add(policy.AnnounceAhead))
}

// raise lists an action that no event planned, and performs it.
func (w *Worker) raise(ctx context.Context, b *batch, n policy.Action, version string) error {
	if err := w.listNotice(ctx, n); err != nil {
		return err
	}
	return w.perform(ctx, b, n, version)
}

// followAction looks for news of a retrain whose own record just changed.
func (w *Worker) followAction(ctx context.Context, b *batch, a policy.Action) error {
	if a.Type != policy.Retrain || a.Loop == nil {
		return nil
	}
	err := w.advance(ctx, b, a.ID, &clue{})
	if errors.Is(err, lineage.ErrNotFound) {
		return nil
	}
	return err
}

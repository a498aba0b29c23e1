package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// end records an action's final state, in one commit with the policy memory
// that it frees (a retrain that ended is no longer in flight, one that never
// started leaves no cooldown) and with the review that tells people, if there
// is one. Then it gives reservations back and raises the review.
func (w *Worker) end(ctx context.Context, b *batch, a policy.Action, version string, notice *policy.Action) error {
	a.Updated, a.ClaimedBy, a.ClaimedUntil, a.NextAttempt, a.Waiting = w.o.Now().UTC(), "", time.Time{}, time.Time{}, ""
	publication, published, err := w.publishEnd(ctx, a)
	if err != nil {
		return err
	}
	noticeVersion, err := w.commitEnd(ctx, a, version, notice, publication)
	if err != nil {
		// On a conflict somebody else took the action over, or our own write
		// went through and its answer was lost: the repeat will see which.
		return fmt.Errorf("record the end of action %s: %w", a.ID, err)
	}
	published(ctx)
	w.logAction(a, "action ended")
	w.metrics.action(a, string(a.State))
	if a.Type == policy.Retrain {
		if model, err := lineage.ParseID(a.Model); err == nil {
			if err := w.releaseFlight(ctx, model, a.ID); err != nil {
				return err
			}
		}
	}
	if a.Policy == passPolicy && a.State == policy.Succeeded {
		if err := w.recovered(ctx, a); err != nil {
			return err
		}
	}
	if err := w.followAction(ctx, b, a); err != nil || notice == nil {
		return err
	}
	return w.raise(ctx, b, *notice, noticeVersion)
}

// publishEnd plans the publication of an action's end; publications themselves
// are not worth telling.
func (w *Worker) publishEnd(ctx context.Context, a policy.Action) (extra []lineage.Change, committed func(context.Context), err error) {
	if a.Type == policy.Publish {
		return nil, func(context.Context) {}, nil
	}
	_, partition, _ := policy.SplitID(a.ID)
	return w.o.Publications.Plan(ctx, partition, performed(a))
}

func (w *Worker) commitEnd(ctx context.Context, a policy.Action, version string, notice *policy.Action, publication []lineage.Change) (noticeVersion string, err error) {
	_, partition, _ := policy.SplitID(a.ID)
	defer w.documents.drop(partition)
	for range maxConflicts {
		change, err := policy.ActionChange(a, version)
		if err != nil {
			return "", err
		}
		changes := []lineage.Change{change}
		if notice != nil {
			if changes, err = w.withNotice(ctx, changes, notice); err != nil {
				return "", err
			}
		}
		memory, err := w.freedMemory(ctx, partition, a)
		if err != nil {
			return "", err
		}
		changes = append(append(changes, memory...), publication...)
		versions, err := w.o.Store.Commit(ctx, partition, changes)
		var failed *lineage.ChangeError
		if errors.As(err, &failed) && failed.ID == lineage.MemoryRecord {
			continue
		}
		if err == nil && notice != nil {
			noticeVersion = versions[1]
		}
		return noticeVersion, err
	}
	return "", errConflicts
}

// freedMemory is the change to the policy's memory that the end of an action
// brings; none for actions that no rule counts as under way.
func (w *Worker) freedMemory(ctx context.Context, partition string, a policy.Action) ([]lineage.Change, error) {
	if a.Type != policy.Retrain && a.State != policy.Suppressed {
		return nil, nil
	}
	got, err := w.o.Store.Get(ctx, partition, lineage.MemoryRecord)
	if err != nil || got[0].Version == "" {
		return nil, err
	}
	memory := map[string]policy.Memory{}
	if err := json.Unmarshal(got[0].Body, &memory); err != nil {
		return nil, fmt.Errorf("stored policy memory of %s: %w", partition, err)
	}
	m, known := memory[a.Policy]
	if !known {
		return nil, nil
	}
	memory[a.Policy] = m.Ended(a.Key, a.State == policy.Suppressed)
	body, err := json.Marshal(memory)
	if err != nil {
		return nil, err
	}
	return []lineage.Change{{Op: lineage.Replace, Record: lineage.Record{ID: lineage.MemoryRecord, Version: got[0].Version, Body: body}}}, nil
}

// listNotice puts an action that no event planned into the journal, on a page
// of its own: listing it twice is listing it once.
func (w *Worker) listNotice(ctx context.Context, n policy.Action) error {
	page, line, err := policy.JournalLine(n)
	if err != nil {
		return err
	}
	return w.appendJournal(ctx, lineage.ActionJournal, page, []lineage.JournalEntry{line})
}

// runEnded ends the action that started a run, when the run's event says that
// it is over. An action that is not recorded as running yet finds out by
// itself, see running. Events about one run come in numbers: one of them does
// the work, the others find it done.
func (w *Worker) runEnded(ctx context.Context, ev *event.Event) error {
	state, ended := endState(ev.Run.Status)
	if !ended {
		return nil
	}
	defer w.locks.lock("end/" + ev.Run.Origin)()
	for range maxConflicts {
		a, version, err := policy.GetAction(ctx, w.o.Store, ev.Run.Origin)
		if errors.Is(err, lineage.ErrNotFound) {
			w.o.Logger.Warn("a run names an action that does not exist", zap.String("run", ev.Run.ID), zap.String("action", ev.Run.Origin))
			return nil
		}
		if err != nil || a.State != policy.Running || a.Outcome == nil || a.Outcome.Run != ev.Run.ID {
			return err
		}
		b := &batch{page: w.pages.next(w.o.Now(), w.o.Name), policies: w.o.Policies()}
		err = w.endRun(ctx, b, a, version, state, ev.Run.Status)
		if !errors.Is(err, lineage.ErrConflict) {
			return err
		}
	}
	return errConflicts
}

func (w *Worker) endRun(ctx context.Context, b *batch, a policy.Action, version string, state policy.State, status string) error {
	a.State = state
	outcome := *a.Outcome
	outcome.Summary = fmt.Sprintf("run %s ended: %s", outcome.Run, status)
	a.Outcome = &outcome
	if state != policy.Failed {
		return w.end(ctx, b, a, version, nil)
	}
	a.LastError = "the run ended as " + status
	n := w.notice(a, "error", "retrain:"+a.Model, titleOf(a)+" failed", "The run "+outcome.Run+" ended as "+status+".")
	return w.end(ctx, b, a, version, &n)
}

// overdue gives up on a run that nobody heard of for too long.
func (w *Worker) overdue(ctx context.Context, a policy.Action, version string, now time.Time) error {
	due := a.Updated.Add(w.o.RunTimeout)
	if now.Before(due) {
		return w.wake(ctx, a, due)
	}
	b := &batch{page: w.pages.next(now, w.o.Name), policies: w.o.Policies()}
	a.State, a.LastError = policy.Failed, fmt.Sprintf("no end of the run was seen within %s", w.o.RunTimeout)
	n := w.notice(a, "error", "retrain:"+a.Model, titleOf(a)+" has no end", a.LastError)
	return w.end(ctx, b, a, version, &n)
}

// endState tells a run's final statuses from the others.
func endState(status string) (policy.State, bool) {
	switch strings.ToLower(status) {
	case "completed", "finished":
		return policy.Succeeded, true
	case "failed", "canceled", "cancelled", "notresponding":
		return policy.Failed, true
	}
	return "", false
}

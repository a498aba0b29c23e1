package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// effectsAtOnce bounds the effector calls of one batch.
const effectsAtOnce = 16

// dispatch performs the intents of a batch: those just committed, the open
// ones of events that were seen before, and those that a wake-up names. Each
// goes claim → limits → act → record; see perform.
func (w *Worker) dispatch(ctx context.Context, b *batch, jobs []*job) {
	var g errgroup.Group
	g.SetLimit(effectsAtOnce)
	for _, j := range jobs {
		if j.wake != "" {
			g.Go(func() error { return j.or(w.resume(ctx, b, j.wake)) })
		}
		if j.remind != "" && w.o.Remind != nil {
			g.Go(func() error { return j.or(w.o.Remind(ctx, j.remind)) })
		}
		for _, it := range j.items {
			if it.job.failure() == nil && !it.finished && !it.fenced() {
				w.dispatchItem(ctx, b, it, g.Go)
			}
		}
	}
	_ = g.Wait()
}

// dispatchItem starts what one event asks for.
func (w *Worker) dispatchItem(ctx context.Context, b *batch, it *item, start func(func() error)) {
	for _, a := range it.actions {
		start(func() error { return it.job.or(w.perform(ctx, b, a.action, a.version)) })
	}
	if !it.fresh {
		for _, id := range it.entry.Actions {
			start(func() error { return it.job.or(w.resume(ctx, b, id)) })
		}
	}
	if it.ev.Run != nil && it.ev.Run.Origin != "" && it.later == nil {
		start(func() error { return it.job.or(w.runEnded(ctx, it.ev)) })
	}
}

// or fails the job on an error; it never ends its siblings.
func (j *job) or(err error) error {
	if err != nil {
		j.fail(err)
	}
	return nil
}

// resume looks at an action that somebody may have left half-way.
func (w *Worker) resume(ctx context.Context, b *batch, id string) error {
	for range maxConflicts {
		a, version, err := policy.GetAction(ctx, w.o.Store, id)
		if errors.Is(err, lineage.ErrNotFound) {
			w.o.Logger.Warn("woken for an action that does not exist", zap.String("action", id))
			return nil
		}
		if err != nil {
			return err
		}
		now := w.o.Now().UTC()
		switch {
		case a.State == policy.Pending && a.NextAttempt.After(now):
			return w.wakeAgain(ctx, a, a.NextAttempt)
		case a.State == policy.Claimed && !w.lapsed(a, now):
			return w.wakeAgain(ctx, a, a.ClaimedUntil)
		case a.State == policy.Running:
			return w.overdue(ctx, a, version, now)
		case a.State != policy.Pending && a.State != policy.Claimed:
			return nil
		}
		w.claim(&a, now)
		version, err = policy.PutAction(ctx, w.o.Store, a, version)
		if errors.Is(err, lineage.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		if isNotice(a) {
			return w.raise(ctx, b, a, version)
		}
		return w.perform(ctx, b, a, version)
	}
	return errConflicts
}

// claim makes the action this worker's, for longer than any effector call.
func (w *Worker) claim(a *policy.Action, now time.Time) {
	a.State, a.ClaimedBy, a.ClaimedUntil, a.Updated = policy.Claimed, w.o.Name, now.Add(2*w.o.EffectTimeout+10*time.Second), now
	a.Waiting = ""
}

// lapsed says whether a claim may be taken over: its time is up, or it is of
// another process where there can be only one, which is then a dead one.
func (w *Worker) lapsed(a policy.Action, now time.Time) bool {
	return !a.ClaimedUntil.After(now) || (w.o.Sole && a.ClaimedBy != w.o.Name)
}

// wake asks to be called again. Waking twice is harmless.
func (w *Worker) wake(ctx context.Context, a policy.Action, at time.Time) error {
	return w.o.Queue.Send(ctx, []lineage.Message{policy.WakeMessage(a.ID, at)})
}

// wakeAgain is wake by one that was woken too early: clocks differ, and a broker
// that drops repeats by id must not take this for the message that came.
func (w *Worker) wakeAgain(ctx context.Context, a policy.Action, at time.Time) error {
	m := policy.WakeMessage(a.ID, at)
	m.ID += fmt.Sprintf("-%d", w.o.Now().UnixNano())
	return w.o.Queue.Send(ctx, []lineage.Message{m})
}

// perform acts on a claimed action and records what came of it.
func (w *Worker) perform(ctx context.Context, b *batch, a policy.Action, version string) error {
	held, err := w.withinLimits(ctx, b, &a)
	switch {
	case err != nil:
		return err
	case !held.until.IsZero():
		return w.postpone(ctx, a, version, held)
	case held.by != "":
		return w.suppress(ctx, b, a, version, held)
	}
	effector, ok := w.o.Effector(a.Target, a.Type)
	if !ok {
		err := &policy.PermanentError{Err: fmt.Errorf("no target %q in the policy file in force", a.Target)}
		return w.conclude(ctx, b, a, version, policy.Outcome{}, err)
	}
	var causes []Cause
	if a.Type == policy.Review {
		if causes, err = w.commonCause(ctx, b, &a); err != nil {
			return err
		}
	}
	w.metrics.inFlight.WithLabelValues(string(a.Type)).Inc()
	call, cancel := context.WithTimeout(ctx, w.o.EffectTimeout)
	outcome, err := effector.Do(call, a)
	cancel()
	w.metrics.inFlight.WithLabelValues(string(a.Type)).Dec()
	if err == nil && len(causes) > 0 {
		err = w.o.Gather(ctx, a.Cause, causes)
	}
	return w.conclude(ctx, b, a, version, outcome, err)
}

// conclude turns an effector's answer into the action's next state.
func (w *Worker) conclude(ctx context.Context, b *batch, a policy.Action, version string, outcome policy.Outcome, err error) error {
	now := w.o.Now().UTC()
	a.Attempts++
	a.Updated, a.ClaimedBy, a.ClaimedUntil = now, "", time.Time{}
	if err == nil {
		a.Outcome, a.LastError = &outcome, ""
		startLoop(&a, now)
		if outcome.Run != "" && a.Type == policy.Retrain {
			return w.running(ctx, b, a, version)
		}
		a.State = policy.Succeeded
		return w.end(ctx, b, a, version, nil)
	}
	a.LastError = err.Error()
	at, giveUp := w.o.NextAttempt(a.Target, a.Attempts, err, now)
	if !giveUp {
		a.State, a.NextAttempt = policy.Pending, at
		w.logAction(a, "action failed; it will be tried again")
		w.metrics.action(a, "retry")
		if _, err := policy.PutAction(ctx, w.o.Store, a, version); err != nil {
			return err
		}
		return w.wake(ctx, a, at)
	}
	a.State = policy.Failed
	var notice *policy.Action
	if a.Type != policy.Review && a.Type != policy.Resolve && a.Type != policy.Publish {
		n := w.notice(a, "error", "target:"+a.Target, titleOf(a)+" failed", fmt.Sprintf("gave up after %d attempts: %s", a.Attempts, a.LastError))
		notice = &n
	}
	return w.end(ctx, b, a, version, notice)
}

// running records that the target started a run, whose own events will end
// the action; unless they came first.
func (w *Worker) running(ctx context.Context, b *batch, a policy.Action, version string) error {
	a.State = policy.Running
	version, err := policy.PutAction(ctx, w.o.Store, a, version)
	if err != nil {
		return err
	}
	w.logAction(a, "action started a run")
	w.metrics.action(a, "started")
	asset, err := lineage.ParseID(a.Asset)
	if err != nil {
		return fmt.Errorf("action %s: %w", a.ID, err)
	}
	job, err := lineage.Load(ctx, w.o.Store, lineage.NewID(lineage.Job, asset.Workspace(), a.Outcome.Run))
	if err != nil {
		return err
	}
	if job != nil {
		if state, ended := endState(job.Text("status")); ended {
			return w.endRun(ctx, b, a, version, state, job.Text("status"))
		}
	}
	if err := w.wake(ctx, a, a.Updated.Add(w.o.RunTimeout)); err != nil {
		return err
	}
	return w.followAction(ctx, b, a)
}

// notice is a review about an action.
func (w *Worker) notice(a policy.Action, severity, cause, title, reason string) policy.Action {
	now := w.o.Now().UTC()
	key := event.Digest("notice", a.Key, cause)
	_, partition, _ := policy.SplitID(a.ID)
	n := policy.Action{
		ID: policy.ActionID(key, partition), Key: key, Type: policy.Review, Target: policy.Desk,
		Policy: a.Policy, PolicyHash: a.PolicyHash, Event: a.Event, TraceParent: a.TraceParent, Asset: a.Asset, Model: a.Model, Window: a.Window,
		Cause: cause, Severity: severity, Title: title, Reason: reason,
		Occurred: now, Created: now, Inputs: map[string]any{noticeOf: a.ID},
	}
	w.claim(&n, now)
	return n
}

// noticeOf is the input in which a review about an action names it; so does
// what closes one, see policy.Resume.
const noticeOf = "action"

// isNotice says whether an action was planned by no event, so that nobody else
// lists it: a review of our own, or what a person asked for.
func isNotice(a policy.Action) bool {
	return a.Policy == policy.Manual || (a.Type == policy.Review || a.Type == policy.Resolve) && a.Inputs[noticeOf] != nil
}

func titleOf(a policy.Action) string {
	if a.Type == policy.Deliver {
		return "Telling " + a.Target + " of a review"
	}
	what := "The " + string(a.Type)
	if a.Model != "" {
		what += " of " + a.Model
	}
	return what
}

func (w *Worker) logAction(a policy.Action, msg string) {
	fields := []zap.Field{
		zap.String("action", a.ID), zap.String("type", string(a.Type)), zap.String("target", a.Target),
		zap.String("policy", a.Policy), zap.String("event", a.Event), zap.String("state", string(a.State)),
		zap.Int("attempts", a.Attempts),
	}
	if a.LastError != "" {
		fields = append(fields, zap.String("error", a.LastError))
	}
	if a.TraceParent != "" {
		fields = append(fields, zap.String("trace_id", traceID(a.TraceParent)))
	}
	w.o.Logger.Info(msg, fields...)
}

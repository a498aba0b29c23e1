package azureml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// errBackfillChanged means that somebody cancelled the backfill.
var errBackfillChanged = errors.New("the backfill was cancelled")

// Phases of a backfill, in order. The jobs are most of it.
const (
	phaseModels      = "models"
	phaseDeployments = "deployments"
	phaseJobs        = "jobs"
)

// fill is one backfill under way.
type fill struct {
	*Backfiller
	ws      event.Workspace
	lease   *lease
	job     lineage.Backfill
	version string
	// until is where history ends and the reconciler's time begins: what came
	// later is not told here, where it would cause nothing.
	until time.Time
	// restarted is the phase that was begun anew after its place was lost.
	restarted string
	// at is the creation time of the last job seen.
	at     time.Time
	outbox []lineage.Message
}

// Bounds of the pause after a page that could not be read.
const (
	firstPause = 5 * time.Second
	longPause  = 5 * time.Minute
)

// run goes page by page until the end. What a page told is sent before the
// cursor moves on: a crash between the two tells it again, under the same
// identities.
func (w *fill) run(ctx context.Context) error {
	if w.job.State == lineage.BackfillRequested {
		w.job.State, w.job.Phase, w.job.Horizon = lineage.BackfillRunning, phaseModels, w.job.Since
	}
	if err := w.bound(ctx); err != nil {
		return err
	}
	for failures := 0; w.job.IsOpen(); {
		told := w.job.Told
		err := w.page(ctx)
		if err == nil {
			failures, w.job.Problem = 0, ""
			err = w.flush(ctx)
		} else if err = w.stumble(ctx, err, &failures); err == nil {
			continue
		}
		if err == nil && w.job.IsOpen() {
			err = w.yield(ctx, time.Duration(float64(w.job.Told-told)/w.o.Rate*float64(time.Second)))
		}
		if err != nil {
			return err
		}
	}
	w.o.Logger.Info("a backfill ended", zap.String("workspace", w.ws.Alias), zap.String("state", string(w.job.State)),
		zap.Int("seen", w.job.Seen), zap.Int("told", w.job.Told))
	return nil
}

// bound learns where history ends: where the reconciler's time begins, or will
// begin if it has not run yet.
func (w *fill) bound(ctx context.Context) error {
	got, err := w.o.Store.Get(ctx, w.lease.partition, stateRecord)
	if err != nil {
		return err
	}
	w.until = w.job.Requested.Add(-w.o.Lookback)
	if got[0].Version == "" {
		return nil
	}
	var s reconcileState
	if err := json.Unmarshal(got[0].Body, &s); err != nil {
		return fmt.Errorf("stored %s of %s: %w", stateRecord, w.lease.partition, err)
	}
	w.until = s.Begun
	return nil
}

// stumble deals with a page that could not be read: later again, from the
// beginning of the phase where its place is not accepted any more, or not at
// all where no retry helps.
func (w *fill) stumble(ctx context.Context, err error, failures *int) error {
	if ctx.Err() != nil || errors.Is(err, errLeaseLost) {
		return err
	}
	w.outbox = nil
	pause := min(firstPause<<min(*failures, 10), longPause)
	*failures++
	var permanent *policy.PermanentError
	var later *policy.RetryAfterError
	switch {
	case errors.As(err, &later):
		pause = max(pause, later.After)
	case (errors.As(err, &permanent) || errors.Is(err, lineage.ErrNotFound)) && w.job.Cursor != "" && w.restarted != w.job.Phase:
		w.job.Cursor, w.restarted = "", w.job.Phase
	case errors.As(err, &permanent):
		w.end(lineage.BackfillFailed)
	}
	w.job.Problem = err.Error()
	if err := w.save(ctx); err != nil || !w.job.IsOpen() {
		return err
	}
	return w.pause(ctx, pause)
}

// page looks at one page of the phase under way.
func (w *fill) page(ctx context.Context) error {
	switch w.job.Phase {
	case phaseModels:
		return turn(ctx, w, w.o.Lister.ModelVersions, phaseDeployments, w.model)
	case phaseDeployments:
		return turn(ctx, w, w.o.Lister.Endpoints, phaseJobs, w.endpoint)
	default:
		return turn(ctx, w, w.o.Lister.Jobs, "", w.jobEnd)
	}
}

// turn shows each item of the next page to see, and turns the page: to the
// next phase at the end of the list, or where see says that the rest is too
// old. What it counts is undone when it fails, as the page comes again.
func turn[T any](ctx context.Context, w *fill, list lister[T], next string, see func(context.Context, T) (enough bool, err error)) (err error) {
	before := w.job
	defer func() {
		if err != nil {
			w.job = before
		}
	}()
	items, cursor, err := request(ctx, func(ctx context.Context) ([]T, string, error) { return list(ctx, w.ws, w.job.Cursor) })
	if err != nil {
		return err
	}
	enough := false
	for i := 0; i < len(items) && !enough; i++ {
		if err := w.lease.renew(ctx); err != nil {
			return err
		}
		w.job.Seen++
		if enough, err = see(ctx, items[i]); err != nil {
			return err
		}
	}
	if w.job.Cursor = cursor; enough || cursor == "" {
		w.job.Cursor, w.job.Phase = "", next
	}
	if w.job.Phase == "" {
		w.end(lineage.BackfillDone)
	}
	w.job.Progress = max(w.job.Progress, w.progress())
	return nil
}

func (w *fill) end(s lineage.BackfillState) { w.job.State, w.job.Ended = s, w.o.Now().UTC() }

// tooOld says whether something lies before what was asked for.
func (w *fill) tooOld(at time.Time) bool { return !at.IsZero() && at.Before(w.job.Since) }

// tell queues an event. It is fenced: history causes nothing.
func (w *fill) tell(ev *event.Event) {
	if ev == nil || w.tooOld(ev.Time) || !ev.Time.Before(w.until) {
		return
	}
	w.outbox = append(w.outbox, message(&ev.Envelope, "backfill", true))
	w.job.Told++
}

func (w *fill) model(ctx context.Context, m ModelVersion) (bool, error) {
	if w.tooOld(m.Created) {
		return false, nil
	}
	if h := w.job.Horizon; w.job.Since.IsZero() && !m.Created.IsZero() && (h.IsZero() || m.Created.Before(h)) {
		w.job.Horizon = m.Created
	}
	ev, err := w.gaps.model(ctx, w.ws, m)
	w.tell(ev)
	return false, err
}

func (w *fill) endpoint(ctx context.Context, e Endpoint) (bool, error) {
	for _, d := range e.Deployments {
		ev, err := w.gaps.deployment(ctx, w.ws, e, d)
		if err != nil {
			return false, err
		}
		w.tell(ev)
	}
	return false, nil
}

// jobEnd looks at a job, newest first. Those that run are left to their own
// events and to the reconciler.
func (w *fill) jobEnd(ctx context.Context, j Job) (bool, error) {
	if w.tooOld(j.Created) {
		return true, nil
	}
	if w.job.Newest.IsZero() {
		w.job.Newest = j.Created
	}
	w.at = j.Created
	ev, err := w.gaps.job(ctx, w.ws, j)
	if err != nil || ev == nil {
		return false, err
	}
	if j.Ended.IsZero() { // a list does not say when a job ended
		if ev, err = w.asked(ctx, j.Name); err != nil {
			return false, err
		}
	}
	w.tell(ev)
	return false, nil
}

func (w *fill) asked(ctx context.Context, name string) (*event.Event, error) {
	one, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	j, err := w.o.Source.Job(one, w.ws, name)
	if errors.Is(err, lineage.ErrNotFound) {
		return nil, nil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	return w.gaps.job(ctx, w.ws, j)
}

// progress guesses how much is done. Models and deployments count for three
// tenths; of the jobs, newest first, the share of the time that they span: to
// what was asked for, else to the oldest model.
func (w *fill) progress() float64 {
	switch {
	case w.job.State == lineage.BackfillDone:
		return 1
	case w.job.Phase == phaseModels:
		return 0
	case w.job.Phase == phaseDeployments:
		return 0.2
	}
	all := w.job.Newest.Sub(w.job.Horizon)
	if w.at.IsZero() || w.job.Horizon.IsZero() || all <= 0 {
		return 0.3
	}
	done := float64(w.job.Newest.Sub(w.at)) / float64(all)
	return 0.3 + 0.69*min(max(done, 0), 1)
}

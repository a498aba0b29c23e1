package azureml

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// maxOpen bounds the jobs that are remembered; the oldest are forgotten first.
const maxOpen = 1000

// jobs looks through the jobs that were created since the last time.
func (w *round) jobs(ctx context.Context) error {
	way, until := &w.state.Jobs, w.state.Cursor.Add(-w.o.Overlap)
	w.running = map[string]bool{}
	err := pages(ctx, w, way, w.o.Lister.Jobs, func(ctx context.Context, j Job) (bool, error) {
		if !j.Created.IsZero() && j.Created.Before(until) {
			return true, nil
		}
		if j.Created.After(way.Newest) {
			way.Newest = j.Created
		}
		w.running[j.Name] = !j.IsEnded()
		return false, w.job(ctx, j, true)
	})
	if err != nil {
		return err
	}
	if way.Page == "" && way.Newest.After(w.state.Cursor) {
		w.state.Cursor = way.Newest
	}
	return w.save(ctx)
}

// job tells a job's end, or remembers the job: one that has not ended, one
// whose own event may be on its way, and one of which a list did not say when
// it ended. What is remembered is asked for by itself.
func (w *round) job(ctx context.Context, j Job, listed bool) error {
	if !j.IsEnded() {
		w.remember(j)
		return nil
	}
	ev, err := w.gaps.job(ctx, w.ws, j)
	switch {
	case err != nil:
		return err
	case ev == nil:
		delete(w.state.Open, j.Name)
	case !w.settled(jobTime(j)) || (listed && j.Ended.IsZero()):
		w.remember(j)
	default:
		delete(w.state.Open, j.Name)
		w.tell("job", ev, w.history(ev.Time))
	}
	return nil
}

func (w *round) remember(j Job) {
	if w.state.Open == nil {
		w.state.Open = map[string]time.Time{}
	}
	w.state.Open[j.Name] = j.Created
	if len(w.state.Open) <= maxOpen {
		return
	}
	oldest := j.Name
	for name, created := range w.state.Open {
		if created.Before(w.state.Open[oldest]) {
			oldest = name
		}
	}
	delete(w.state.Open, oldest)
}

// open asks for the jobs that are remembered, each in its turn, but for those
// that were just listed as running.
func (w *round) open(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(w.state.Open))
	at, _ := slices.BinarySearch(names, w.state.Asked+"\x00")
	for _, name := range slices.Concat(names[at:], names[:at]) {
		if w.running[name] {
			continue
		}
		if !w.spend() {
			break
		}
		// Also before one that can't be read: it must not be the first to be
		// asked for every time, or nobody would ask for the others.
		w.state.Asked = name
		if err := w.lease.renew(ctx); err != nil {
			return err
		}
		j, err := w.ask(ctx, name)
		if errors.Is(err, lineage.ErrNotFound) {
			delete(w.state.Open, name) // somebody deleted it
			continue
		}
		if err == nil {
			err = w.job(ctx, j, false)
		}
		if err != nil {
			return errors.Join(err, w.save(ctx))
		}
	}
	return w.save(ctx)
}

func (w *round) ask(ctx context.Context, name string) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return w.o.Source.Job(ctx, w.ws, name)
}

// isOld says whether what changed last at a time was seen by a walk before.
func (w *round) isOld(way *walk, at time.Time) bool {
	return !at.IsZero() && !way.Swept.IsZero() && at.Before(way.Swept.Add(-w.o.Overlap))
}

func (w *round) models(ctx context.Context) error {
	way := &w.state.Models
	swept := *way
	err := pages(ctx, w, way, w.o.Lister.ModelVersions, func(ctx context.Context, m ModelVersion) (bool, error) {
		if w.isOld(&swept, m.Created) || !w.settled(m.Created) {
			return false, nil
		}
		ev, err := w.gaps.model(ctx, w.ws, m)
		if err == nil && ev != nil {
			w.tell("model", ev, w.history(ev.Time))
		}
		return false, err
	})
	if err != nil {
		return err
	}
	return w.save(ctx)
}

func (w *round) deployments(ctx context.Context) error {
	way := &w.state.Deployments
	swept := *way
	err := pages(ctx, w, way, w.o.Lister.Endpoints, func(ctx context.Context, e Endpoint) (bool, error) {
		for _, d := range e.Deployments {
			at := deploymentTime(d)
			if w.isOld(&swept, at) || !w.settled(at) {
				continue
			}
			ev, err := w.gaps.deployment(ctx, w.ws, e, d)
			if err != nil {
				return false, err
			}
			if ev != nil {
				w.tell("deployment", ev, w.history(ev.Time))
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return w.save(ctx)
}

// monitors shows the monitors to the dead-man switch. Azure has no event for
// a monitor as such: what it measured came with its jobs.
func (w *round) monitors(ctx context.Context) error {
	if w.o.DeadMan == nil {
		return nil
	}
	err := pages(ctx, w, &w.state.Monitors, w.o.Lister.Monitors, func(ctx context.Context, m Monitor) (bool, error) {
		opened, err := w.o.DeadMan.Check(ctx, w.ws, m)
		if opened {
			w.count("monitor", 1)
		}
		return false, err
	})
	if err == nil {
		err = w.o.DeadMan.Forget(ctx, w.ws)
	}
	if err != nil {
		return err
	}
	return w.save(ctx)
}

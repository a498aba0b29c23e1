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

// clue is why a batch may have news of a retrain: the events, and what of it
// can't be found from the action.
type clue struct {
	items         []*item
	jobs, version []lineage.ID
	comparison    *policy.Comparison
}

// maxFollowed bounds the models of one deployment that are looked at.
const maxFollowed = 50

// follow takes what the batch's events tell of retrains to their actions. It
// comes after the lineage is written: what becomes of a retrain follows from
// that alone, so whichever event is worked on last sees all.
func (w *Worker) follow(ctx context.Context, b *batch) {
	clues := map[string]*clue{}
	for _, it := range b.items {
		if it.finished || it.fenced() || it.job.failure() != nil {
			continue
		}
		if err := w.cluesOf(ctx, b, it, clues); err != nil {
			it.fail(fmt.Errorf("look for retrains: %w", err))
		}
	}
	var g errgroup.Group
	g.SetLimit(effectsAtOnce)
	for id, c := range clues {
		g.Go(func() error {
			if err := w.advance(ctx, b, id, c); err != nil {
				for _, it := range c.items {
					it.fail(fmt.Errorf("follow retrain %s: %w", id, err))
				}
			}
			return nil
		})
	}
	_ = g.Wait()
}

// cluesOf finds the retrains that an event may tell of.
func (w *Worker) cluesOf(ctx context.Context, b *batch, it *item, clues map[string]*clue) error {
	of := func(action string) *clue {
		if clues[action] == nil {
			clues[action] = &clue{}
		}
		c := clues[action]
		c.items = append(c.items, it)
		return c
	}
	ev := it.ev
	switch {
	case ev.Monitor != nil:
		trials, err := w.trialsOf(ctx, it)
		for _, id := range trials {
			of(id)
		}
		return err
	case ev.Model != nil:
		version, job := lineage.ModelOf(ev), lineage.NewID(lineage.Job, ev.Workspace.Alias, ev.Model.Job)
		if origin := originOf(ev.Model.Properties, ev.Model.Tags, b.originOf(job)); origin != "" {
			c := of(origin)
			c.version = append(c.version, version)
			c.compare(it)
		}
	case ev.Deployment != nil:
		return w.deploymentClues(ctx, ev, of)
	case ev.Run != nil && ev.Run.Origin != "":
		c := of(ev.Run.Origin)
		c.jobs = append(c.jobs, lineage.NewID(lineage.Job, ev.Workspace.Alias, ev.Run.ID))
		c.compare(it)
	}
	return nil
}

// trialsOf are the retrains that a monitor's event may be news of. Of an event
// that was decided on before that is not known any more: then it is all of the
// latest.
func (w *Worker) trialsOf(ctx context.Context, it *item) ([]string, error) {
	if it.fresh {
		return it.trials, nil
	}
	st := partitionState{home: it.home}
	if err := w.remember(ctx, &st); err != nil {
		return nil, err
	}
	return unsettled(&st, time.Time{}), nil
}

// originOf is the action that a model version's own properties or tags name,
// else the one that its job names.
func originOf(properties, tags map[string]string, job string) string {
	for _, v := range []string{properties[event.OriginTag], tags[event.OriginTag], job} {
		if v != "" {
			return v
		}
	}
	return ""
}

// compare takes over the metrics that enrichment found.
func (c *clue) compare(it *item) {
	if it.later == nil {
		return
	}
	found := policy.Compare(it.ev.Time.UTC(), it.later.metrics, it.later.champion)
	if found != nil && (c.comparison == nil || found.At.After(c.comparison.At)) {
		c.comparison = found
	}
}

// deploymentClues finds which retrains made the versions that are in service
// now.
func (w *Worker) deploymentClues(ctx context.Context, ev *event.Event, of func(string) *clue) error {
	models := ev.Deployment.Models
	for _, ref := range models[:min(len(models), maxFollowed)] {
		id := lineage.NewID(lineage.Model, ev.Workspace.Alias, ref.Name, ref.Version)
		version, err := lineage.Load(ctx, w.o.Store, id)
		if err != nil {
			return err
		}
		if version == nil {
			continue
		}
		job := ""
		for _, from := range others(version, lineage.Produced, false, 1) {
			made, err := lineage.Load(ctx, w.o.Store, from)
			if err != nil {
				return err
			}
			if made != nil {
				job = made.Text("origin")
			}
		}
		if origin := originOf(version.Map("properties"), version.Map("tags"), job); origin != "" {
			c := of(origin)
			c.version = append(c.version, id)
		}
	}
	return nil
}

// others lists, up to a limit, the assets at the other end of an asset's edges
// of a type; out tells in which direction.
func others(a *lineage.Asset, t lineage.EdgeType, out bool, limit int) []lineage.ID {
	var ids []lineage.ID
	for _, e := range a.Edges {
		if e.Type == t && e.Out == out && len(ids) < limit {
			ids = append(ids, e.Other)
		}
	}
	return ids
}

// advance brings an action's loop up to what the lineage knows, and does what
// follows from a verdict. An action that is being performed is left alone:
// whoever performs it looks here when it has recorded the outcome.
func (w *Worker) advance(ctx context.Context, b *batch, id string, c *clue) error {
	for range maxConflicts {
		a, version, err := policy.GetAction(ctx, w.o.Store, id)
		if errors.Is(err, lineage.ErrNotFound) {
			w.o.Logger.Warn("a run or model names an action that does not exist", zap.String("action", id))
			return nil
		}
		if err != nil || !takenOn(&a) {
			return err
		}
		_, partition, _ := policy.SplitID(a.ID)
		monitor, err := lineage.Load(ctx, w.o.Store, lineage.ID(partition))
		if err != nil {
			return err
		}
		known, err := w.evidence(ctx, &a, c, monitor)
		if err != nil {
			return err
		}
		loop := a.Loop.With(known)
		if loop.Equal(*a.Loop) {
			return nil
		}
		before := *a.Loop
		a.Loop = &loop
		err = w.recordLoop(ctx, b, a, version, before)
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return err
		}
	}
	return errConflicts
}

// takenOn says whether a target took a retrain on, and nobody is about to
// record what came of the call.
func takenOn(a *policy.Action) bool {
	return a.Type == policy.Retrain && a.Loop != nil &&
		(a.State == policy.Running || a.State == policy.Succeeded || a.State == policy.Failed)
}

// judge notes in the memory at hand what a window makes of the retrains before
// it, so that the decision on the window knows: a breach that shows that the
// last retrain did not help must not start the next one. The actions
// themselves are brought up to date afterwards, see follow.
func (w *Worker) judge(ctx context.Context, st *partitionState, it *item) (news bool, err error) {
	for name, m := range st.memory {
		for _, key := range m.Unsettled(it.ev.Time) {
			a, _, err := policy.GetAction(ctx, w.o.Store, policy.ActionID(key, st.home))
			if errors.Is(err, lineage.ErrNotFound) || err == nil && !takenOn(&a) {
				continue // planned in this very commit, or not begun
			}
			if err != nil {
				return false, err
			}
			known, err := w.evidence(ctx, &a, &clue{}, st.asset)
			if err != nil {
				return false, err
			}
			loop := a.Loop.With(known)
			changed := false
			if m, changed = m.Judge(key, loop.Verdict, loop.JudgedAt()); changed {
				st.memory[name], news = m, true
			}
		}
	}
	return news, nil
}

package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Limits across assets can't share a commit with an asset. They are
// reservations in partitions of their own, taken under the action's key, so
// that taking one twice is taking it once.

// flight is the one retrain of a model that may be under way.
type flight struct {
	Action string    `json:"action"`
	Until  time.Time `json:"until"`
	// Next is the action that waits for this one's end; "" is none.
	Next string `json:"next,omitempty"`
}

const flightRecord = "holder"

// flightPartition is where the model's retrain is reserved: per model, all
// versions together.
func flightPartition(model lineage.ID) string {
	return "reserve/flight/" + string(modelAsSuch(model))
}

// inFlight is the id of the action that holds the model's retrain, "" if none.
func (w *Worker) inFlight(ctx context.Context, model lineage.ID, now time.Time) (string, error) {
	f, _, err := w.readFlight(ctx, model)
	if err != nil || !f.Until.After(now) {
		return "", err
	}
	return f.Action, nil
}

func (w *Worker) readFlight(ctx context.Context, model lineage.ID) (flight, string, error) {
	got, err := w.o.Store.Get(ctx, flightPartition(model), flightRecord)
	if err != nil || got[0].Version == "" {
		return flight{}, "", err
	}
	var f flight
	if err := json.Unmarshal(got[0].Body, &f); err != nil {
		return f, "", fmt.Errorf("stored reservation of %s: %w", model, err)
	}
	return f, got[0].Version, nil
}

// takeFlight reserves the model's retrain for the action; holder is the other
// action that has it, if one has. With queue the action takes the place of the
// one that waits, where that is free; waits says whether it has it.
func (w *Worker) takeFlight(ctx context.Context, model lineage.ID, action string, queue bool, now time.Time) (holder string, waits bool, err error) {
	for range maxConflicts {
		f, version, err := w.readFlight(ctx, model)
		if err != nil {
			return "", false, err
		}
		held := f.Until.After(now)
		switch {
		case held && f.Action == action:
			return "", false, nil
		case held && (!queue || f.Next != ""):
			return f.Action, f.Next == action, nil
		case held:
			holder, f.Next = f.Action, action
		default:
			f = flight{Action: action, Until: now.Add(w.o.RunTimeout)}
		}
		err = w.putReservation(ctx, flightPartition(model), flightRecord, version, f, time.Time{})
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return holder, holder != "", err
		}
		holder = ""
	}
	return "", false, errConflicts
}

// releaseFlight gives the reservation back if the action holds it, and wakes
// the one that waits for it.
func (w *Worker) releaseFlight(ctx context.Context, model lineage.ID, action string) error {
	for range maxConflicts {
		f, version, err := w.readFlight(ctx, model)
		if err != nil || version == "" || f.Action != action {
			return err
		}
		_, err = w.o.Store.Commit(ctx, flightPartition(model), []lineage.Change{
			{Op: lineage.Delete, Record: lineage.Record{ID: flightRecord, Version: version}},
		})
		if err == nil && f.Next != "" {
			return w.callUp(ctx, f.Next)
		}
		if !errors.Is(err, lineage.ErrConflict) {
			return err
		}
	}
	return errConflicts
}

// takeBudget counts the action against one day of a budget; false when the
// day is used up. An action counts on the day of its creation, once.
func (w *Worker) takeBudget(ctx context.Context, budget policy.Budget, a policy.Action) (bool, error) {
	limit, limited := budget.PerDay(a.Type)
	if !limited {
		return true, nil
	}
	day := a.Created.UTC().Format(time.DateOnly)
	partition := "reserve/budget/" + budget.Name + "/" + string(a.Type) + "/" + day
	for range maxConflicts {
		got, err := w.o.Store.Get(ctx, partition, "taken")
		if err != nil {
			return false, err
		}
		var taken []string
		if got[0].Version != "" {
			if err := json.Unmarshal(got[0].Body, &taken); err != nil {
				return false, fmt.Errorf("stored budget %s: %w", budget.Name, err)
			}
		}
		if slices.Contains(taken, a.Key) {
			return true, nil
		}
		if len(taken) >= limit {
			return false, nil
		}
		err = w.putReservation(ctx, partition, "taken", got[0].Version, append(taken, a.Key), a.Created.Add(72*time.Hour))
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return err == nil, err
		}
	}
	return false, errConflicts
}

func (w *Worker) putReservation(ctx context.Context, partition, id, version string, v any, expires time.Time) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c := lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: id, Body: body, Expires: expires}}
	if version != "" {
		c.Op, c.Record.Version = lineage.Replace, version
	}
	_, err = w.o.Store.Commit(ctx, partition, []lineage.Change{c})
	return err
}

package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// hold is why an action is not performed now: it waits until a time, or, where
// that is zero, it is suppressed. The zero hold holds nothing.
type hold struct {
	by, detail string
	until      time.Time
	// notice is what people are told of it; nil is nothing.
	notice *policy.Action
}

// struck is one retrain or review whose model breached, kept in a partition of
// the data that the model was trained on.
type struck struct {
	Action string     `json:"action"`
	Model  lineage.ID `json:"model"`
	At     time.Time  `json:"at"`
	// Cause is the action's own.
	Cause string `json:"cause,omitempty"`
	// Started is set when the retrain was let go: what happens later does not
	// call it back.
	Started bool `json:"started,omitempty"`
}

// Bounds of what is kept of one data asset.
const (
	maxStruck    = 400
	struckRecord = "struck"
	// struckKept is how much longer than the rule asks breaches are kept.
	struckKept = 3 * 24 * time.Hour
)

func stormPartition(data lineage.ID) string { return "reserve/storm/" + string(data) }

// stormy holds a retrain whose model shares its data with models that breach at
// the same time: it is the data that is wrong. A retrain whose data feeds too
// few models for a storm is not held at all; any other waits a while to see
// what happens to the others.
func (w *Worker) stormy(ctx context.Context, b *batch, a *policy.Action) (hold, error) {
	models, within, settle := b.policies.Storm()
	model, _ := lineage.ParseID(a.Model)
	_, partition, _ := policy.SplitID(a.ID)
	if models == 0 || model == "" || a.Overridden == policy.ReasonStorm || lineage.ID(partition).Kind() != lineage.Monitor {
		return hold{}, nil
	}
	shared, err := w.sharedData(ctx, model, models)
	if err != nil || len(shared) == 0 {
		return hold{}, err
	}
	settled := a.Created.Add(settle)
	out := hold{}
	for _, data := range shared {
		hit, started, err := w.strike(ctx, data, a, within, false)
		switch {
		case err != nil || started:
			return hold{}, err
		case len(hit.models) >= models:
			return w.stormHold(a, data, hit.models), nil
		case w.o.Now().Before(settled):
			out = hold{until: settled, detail: fmt.Sprintf("waits until %s to see whether other models trained on %s breach, too (%d so far, %d are a storm)",
				settled.UTC().Format(time.TimeOnly), data, len(hit.models), models)}
		}
	}
	if !out.until.IsZero() {
		return out, nil
	}
	for _, data := range shared {
		if _, _, err := w.strike(ctx, data, a, within, true); err != nil {
			return hold{}, err
		}
	}
	return hold{}, nil
}

// sharedData is the data of a model that feeds enough models for a storm.
func (w *Worker) sharedData(ctx context.Context, model lineage.ID, models int) ([]lineage.ID, error) {
	data, err := w.upstream(ctx, model)
	if err != nil {
		return nil, err
	}
	var shared []lineage.ID
	for _, d := range data {
		enough, err := w.feeds(ctx, d, models)
		if err != nil {
			return nil, err
		}
		if enough {
			shared = append(shared, d)
		}
	}
	return shared, nil
}

// strike notes that an action's model breached and returns the models that did
// within a time of it. started is true when the action was let go before; let
// does that now. Noting it twice is noting it once.
func (w *Worker) strike(ctx context.Context, data lineage.ID, a *policy.Action, within time.Duration, let bool) (hit storm, started bool, err error) {
	for range maxConflicts {
		got, err := w.o.Store.Get(ctx, stormPartition(data), struckRecord)
		if err != nil {
			return storm{}, false, err
		}
		var all []struck
		if got[0].Version != "" {
			if err := json.Unmarshal(got[0].Body, &all); err != nil {
				return storm{}, false, fmt.Errorf("stored breaches of %s: %w", data, err)
			}
		}
		all, started, changed := noteStruck(all, a, within, let)
		if !changed {
			return struckWith(all, a, within), started, nil
		}
		err = w.putReservation(ctx, stormPartition(data), struckRecord, got[0].Version, all, w.o.Now().Add(within+struckKept))
		if err == nil {
			return struckWith(all, a, within), started, nil
		}
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return storm{}, false, err
		}
	}
	return storm{}, false, errConflicts
}

// noteStruck adds an action, in the order of the breaches, and drops what is
// too old to matter.
func noteStruck(all []struck, a *policy.Action, within time.Duration, let bool) (_ []struck, started, changed bool) {
	i := slices.IndexFunc(all, func(s struck) bool { return s.Action == a.ID })
	if i >= 0 {
		started = all[i].Started
		changed = let && !started
		all[i].Started = started || let
		return all, started, changed
	}
	all = append(all, struck{Action: a.ID, Model: modelAsSuch(lineage.ID(a.Model)), At: a.Occurred, Cause: ownCause(a), Started: let})
	slices.SortFunc(all, func(x, y struck) int { return x.At.Compare(y.At) })
	newest := all[len(all)-1].At
	all = slices.DeleteFunc(all, func(s struck) bool {
		return s.Action != a.ID && newest.Sub(s.At) > within+struckKept
	})
	return all[max(0, len(all)-maxStruck):], false, true
}

// storm is what breached within a time of an action's breach.
type storm struct {
	// models are sorted, the action's own among them; causes are theirs.
	models []lineage.ID
	causes []Cause
}

func struckWith(all []struck, a *policy.Action, within time.Duration) (hit storm) {
	for _, s := range all {
		if s.At.Sub(a.Occurred).Abs() > within {
			continue
		}
		hit.models = append(hit.models, s.Model)
		if s.Cause != "" && !slices.ContainsFunc(hit.causes, func(c Cause) bool { return c.Cause == s.Cause }) {
			hit.causes = append(hit.causes, Cause{Cause: s.Cause, Model: s.Model, At: s.At})
		}
	}
	slices.Sort(hit.models)
	hit.models = slices.Compact(hit.models)
	return hit
}

// ownCause is what is wrong with the action's own model.
func ownCause(a *policy.Action) string { return cmp.Or(a.Part, a.Cause) }

// stormHold suppresses a retrain for a storm; people are told of the data.
func (w *Worker) stormHold(a *policy.Action, data lineage.ID, hit []lineage.ID) hold {
	detail := stormDetail(data, hit)
	n := w.notice(*a, "error", policy.DataCause(string(data)), fmt.Sprintf("%d models breached that were trained on %s", len(hit), data),
		detail+". None of them is retrained: look at the data first. A retrain that is wanted all the same is started with `modelwarden action retry`.")
	// Told of the breach, not of the hold: a pass may have come in between.
	n.Occurred = a.Occurred
	n.Part, n.Inputs["data"], n.Inputs["models"] = ownCause(a), string(data), hit
	return hold{by: policy.ReasonStorm, detail: detail, notice: &n}
}

func stormDetail(data lineage.ID, hit []lineage.ID) string {
	names := make([]string, min(len(hit), maxNamed))
	for i := range names {
		names[i] = hit[i].Name()
	}
	list := strings.Join(names, ", ")
	if more := len(hit) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%d models trained on %s breached at about the same time: %s", len(hit), data, list)
}

// maxNamed bounds the models that a sentence names.
const maxNamed = 30

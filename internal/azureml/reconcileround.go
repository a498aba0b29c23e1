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

// reconcileState is where the rounds of a workspace stand.
type reconcileState struct {
	// Begun is where the reconciler's responsibility begins.
	Begun time.Time `json:"begun"`
	// Last is when the last round ended.
	Last time.Time `json:"last,omitzero"`
	// Cursor is the newest creation time of a job that was listed.
	Cursor time.Time `json:"cursor,omitzero"`
	// Open are jobs to ask for, by name, with the time of their creation: those
	// that had not ended when they were seen last, which a list in order of
	// creation does not bring back, and those of which no list says when they
	// ended. Asked is the last that was asked for.
	Open  map[string]time.Time `json:"open,omitempty"`
	Asked string               `json:"asked,omitempty"`

	Jobs        walk `json:"jobs,omitzero"`
	Models      walk `json:"models,omitzero"`
	Deployments walk `json:"deployments,omitzero"`
	Monitors    walk `json:"monitors,omitzero"`
}

// walk is a way through a list that may take several rounds.
type walk struct {
	// Page is where to go on, "" at the beginning.
	Page string `json:"page,omitempty"`
	// Began is when the walk under way began, Swept when the last one did that
	// came to its end: what is older than that was seen.
	Began time.Time `json:"began,omitzero"`
	Swept time.Time `json:"swept,omitzero"`
	// Newest is the newest creation time on the way.
	Newest time.Time `json:"newest,omitzero"`
}

// stateRecord is the id of the reconcileState.
const stateRecord = "state"

// requestTimeout bounds one call to Azure Machine Learning.
const requestTimeout = 45 * time.Second

// round is one round under way.
type round struct {
	*Reconciler
	ws    event.Workspace
	lease *lease

	state reconcileState
	// left is the round's budget, share the requests of the part under way.
	left    Budget
	share   int
	partial bool
	found   map[string]int
	// running are the jobs that this round has listed, true for those that
	// have not ended.
	running map[string]bool
	// outbox is what was found and not sent yet.
	outbox []lineage.Message
}

func (w *round) load(ctx context.Context) error {
	got, err := w.o.Store.Get(ctx, w.lease.partition, stateRecord)
	if err != nil {
		return err
	}
	if got[0].Version != "" {
		if err := json.Unmarshal(got[0].Body, &w.state); err != nil {
			return fmt.Errorf("stored %s of %s: %w", stateRecord, w.lease.partition, err)
		}
		return nil
	}
	w.state.Begun = w.o.Now().UTC().Add(-w.o.Lookback)
	w.state.Cursor = w.state.Begun
	return nil
}

// run looks at all kinds. One that can't be listed does not hold up the rest,
// unless Azure asks to be left alone.
func (w *round) run(ctx context.Context) error {
	var errs []error
	parts := []func(context.Context) error{w.jobs, w.open, w.models, w.deployments, w.monitors}
	for i, part := range parts {
		w.share = max(1, w.left.Requests/(len(parts)-i))
		err := part(ctx)
		errs = append(errs, err)
		var later *policy.RetryAfterError
		if ctx.Err() != nil || errors.As(err, &later) || errors.Is(err, errLeaseLost) {
			return errors.Join(errs...)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w.state.Last = w.o.Now().UTC()
	return w.save(ctx)
}

// save sends what was found, then writes how far the round has come. A crash
// between the two finds and sends the same events again.
func (w *round) save(ctx context.Context) error {
	if err := w.send(ctx); err != nil {
		return err
	}
	body, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	c := lineage.Change{Op: lineage.Upsert, Record: lineage.Record{ID: stateRecord, Body: body}}
	_, err = w.lease.commit(ctx, c)
	return err
}

func (w *round) send(ctx context.Context) error {
	if len(w.outbox) == 0 {
		return nil
	}
	if err := w.o.Queue.Send(ctx, w.outbox); err != nil {
		return fmt.Errorf("queue what was found: %w", err)
	}
	w.outbox = nil
	return nil
}

// tell queues an event. History is fenced: it completes the lineage and causes
// nothing.
func (w *round) tell(kind string, ev *event.Event, history bool) {
	w.outbox = append(w.outbox, message(&ev.Envelope, "reconciler", history))
	w.left.Events--
	w.count(kind, 1)
	w.o.Logger.Info("found what no event told", zap.String("workspace", w.ws.Alias),
		zap.String("kind", string(ev.Kind)), zap.String("subject", ev.Subject), zap.Time("time", ev.Time))
}

func (w *round) count(kind string, n int) {
	w.found[kind] += n
	w.metrics.found.WithLabelValues(kind).Add(float64(n))
}

// message is a synthetic event on its way to the workers.
func message(e *event.Envelope, via string, fenced bool) lineage.Message {
	p := map[string]string{lineage.PropKind: lineage.KindEvent, lineage.PropVia: via}
	if fenced {
		p[lineage.PropFenced] = "true"
	}
	return lineage.Message{ID: e.ID, Body: e.AppendJSON(nil), Properties: p}
}

// settled says whether a change is old enough to be told.
func (w *round) settled(at time.Time) bool { return w.o.Now().Sub(at) >= w.o.Settle }

// history says whether something happened before the reconciler's time.
func (w *round) history(at time.Time) bool { return at.Before(w.state.Begun) }

// spend takes one request from the budget; false means that it is spent.
func (w *round) spend() bool {
	if w.share <= 0 || w.left.Requests <= 0 || w.left.Events <= 0 {
		w.partial = true
		return false
	}
	w.left.Requests--
	w.share--
	return true
}

// pages walks a list from where way stands and shows each item to see, until
// the end, the budget's end, or an item at which see says that what follows is
// known. It saves after every page.
func pages[T any](ctx context.Context, w *round, way *walk, list lister[T], see func(context.Context, T) (enough bool, err error)) error {
	if way.Page == "" {
		way.Began, way.Newest = w.o.Now().UTC(), time.Time{}
	}
	for w.spend() {
		items, next, err := request(ctx, func(ctx context.Context) ([]T, string, error) { return list(ctx, w.ws, way.Page) })
		if err != nil {
			return w.lost(ctx, way, err)
		}
		enough := false
		for i := 0; i < len(items) && !enough; i++ {
			if enough, err = see(ctx, items[i]); err != nil {
				return err
			}
			if err := w.lease.renew(ctx); err != nil {
				return err
			}
		}
		if way.Page = next; enough || next == "" {
			way.Page, way.Swept = "", way.Began
			return nil
		}
		if err := w.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lister is one method of a Lister.
type lister[T any] func(ctx context.Context, ws event.Workspace, cursor string) (page []T, next string, err error)

// request bounds one call.
func request[T any](ctx context.Context, do func(context.Context) ([]T, string, error)) ([]T, string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return do(ctx)
}

// lost begins a walk anew whose place in the list is not accepted any more:
// continuation tokens of Azure end with time.
func (w *round) lost(ctx context.Context, way *walk, err error) error {
	var permanent *policy.PermanentError
	if way.Page != "" && (errors.As(err, &permanent) || errors.Is(err, lineage.ErrNotFound)) {
		way.Page = ""
		err = errors.Join(err, w.save(ctx))
	}
	return err
}

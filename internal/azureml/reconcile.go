package azureml

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Sender is what takes synthetic events: the queue that all events go through.
type Sender interface {
	Send(ctx context.Context, messages []lineage.Message) error
}

// Budget bounds what one round costs. What does not fit is left to the next.
type Budget struct {
	// Requests to Azure Machine Learning: pages of lists and single jobs. A
	// page of endpoints costs as many more as it has endpoints. Defaults to
	// 200.
	Requests int
	// Events that may be sent, and at most a page more. Defaults to 500.
	Events int
}

// ReconcilerOptions configure a Reconciler. Lister, Source, Store, Queue,
// Parser and Workspaces are required.
type ReconcilerOptions struct {
	Lister Lister
	Source Source
	Store  lineage.Store
	Queue  Sender
	// Parser is the workers' own: it tells what lineage will make of an event.
	Parser *event.Parser
	// Workspaces are those to look after; the list may change between calls.
	Workspaces func() []event.Workspace
	// DeadMan, if set, is shown every monitor.
	DeadMan *DeadMan

	// Every is the time from one round of a workspace to the next, give or
	// take a tenth. Defaults to 15 m.
	Every time.Duration
	// Settle is how long a change is left to its own event, which may be on
	// its way. Defaults to 5 m.
	Settle time.Duration
	// Overlap is how far behind the last round a round looks again, for what
	// Azure lists late. It is at least Settle. Defaults to 1 h.
	Overlap time.Duration
	// Lookback is how far before its first round the reconciler's
	// responsibility begins: what is older only completes the lineage, and
	// nothing is done about it. Defaults to 24 h.
	Lookback time.Duration
	Budget   Budget

	// Name tells this process apart from its replicas.
	Name       string
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Now defaults to time.Now.
	Now func() time.Time
}

// Reconciler finds what changed in workspaces without an event, and tells it
// as synthetic events. Azure Machine Learning sends no event for most
// operations that fail or are cancelled [Event Grid schema of Azure Machine
// Learning], and none at all of some kinds.
//
// Any number of replicas may run: one at a time holds a workspace, by a lease
// in the store. A round goes on where the one before stopped, whoever made it.
type Reconciler struct {
	o       ReconcilerOptions
	gaps    gaps
	metrics *reconcileMetrics
}

// NewReconciler builds a Reconciler; Run starts it.
func NewReconciler(o ReconcilerOptions) (*Reconciler, error) {
	if o.Lister == nil || o.Source == nil || o.Store == nil || o.Queue == nil || o.Parser == nil || o.Workspaces == nil {
		return nil, errors.New("reconciler: Lister, Source, Store, Queue, Parser and Workspaces are required")
	}
	o.setDefaults()
	m, err := newReconcileMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("reconciler: %w", err)
	}
	return &Reconciler{o: o, gaps: gaps{parser: o.Parser, store: o.Store}, metrics: m}, nil
}

func (o *ReconcilerOptions) setDefaults() {
	orElse(&o.Every, 15*time.Minute)
	orElse(&o.Settle, 5*time.Minute)
	orElse(&o.Overlap, time.Hour)
	o.Overlap = max(o.Overlap, o.Settle)
	orElse(&o.Lookback, 24*time.Hour)
	orElse(&o.Budget.Requests, 200)
	orElse(&o.Budget.Events, 500)
	orElse(&o.Name, "reconciler")
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// orElse gives v a default.
func orElse[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// wakeEvery is how often Run looks whether the list of workspaces changed.
const wakeEvery = time.Minute

// Run makes rounds until ctx ends. A workspace that fails is left alone for
// longer each time, the others are not.
func (r *Reconciler) Run(ctx context.Context) {
	plan := map[string]*schedule{}
	for ctx.Err() == nil {
		next := r.o.Now().Add(wakeEvery)
		for _, ws := range r.o.Workspaces() {
			s := plan[ws.Alias]
			if s == nil {
				// Replicas that start together do not all begin at once.
				s = &schedule{due: r.o.Now().Add(rand.N(min(r.o.Every/4, wakeEvery)))}
				plan[ws.Alias] = s
			}
			if !r.o.Now().Before(s.due) {
				_, err := r.Reconcile(ctx, ws)
				s.plan(r.o.Now(), r.o.Every, err)
			}
			if s.due.Before(next) {
				next = s.due
			}
		}
		sleep(ctx, next.Sub(r.o.Now()))
	}
}

// schedule is when a workspace is looked at next.
type schedule struct {
	due      time.Time
	failures int
}

// maxBackoff bounds the doubling of the pause after failures.
const maxBackoff = 4

func (s *schedule) plan(now time.Time, every time.Duration, err error) {
	pause := every
	if err == nil {
		s.failures = 0
	} else {
		pause = every << min(s.failures, maxBackoff)
		s.failures++
	}
	s.due = now.Add(pause*9/10 + rand.N(pause/5))
	var later *policy.RetryAfterError
	if errors.As(err, &later) && now.Add(later.After).After(s.due) {
		s.due = now.Add(later.After)
	}
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Results of a Round.
const (
	// RoundComplete looked at everything.
	RoundComplete = "complete"
	// RoundPartial spent its budget; the next round goes on.
	RoundPartial = "partial"
	// RoundBusy left the workspace to another replica, which has it or had it
	// a moment ago.
	RoundBusy = "busy"
	// RoundFailed ended with an error.
	RoundFailed = "failed"
)

// Round is what one round came to.
type Round struct {
	Result string
	// Found counts the events sent, by "job", "model", "deployment", and
	// "monitor" for the monitors that were found silent.
	Found map[string]int
}

// Reconcile makes one round over one workspace. What was found before an error
// has been sent, or is found again by the next round.
func (r *Reconciler) Reconcile(ctx context.Context, ws event.Workspace) (Round, error) {
	l := &lease{store: r.o.Store, partition: lineage.WorkPartition(ws.Alias), id: "lease/reconcile", holder: r.o.Name, now: r.o.Now}
	mine, err := l.take(ctx)
	round := Round{Result: RoundBusy}
	if mine {
		round, err = r.hold(ctx, ws, l)
	}
	if ctx.Err() != nil {
		return round, err // somebody stops us
	}
	if err != nil {
		round.Result = RoundFailed
		r.o.Logger.Warn("can't reconcile a workspace; it will be tried again", zap.String("workspace", ws.Alias), zap.Error(err))
	}
	r.metrics.round(ws.Alias, round)
	return round, err
}

func (r *Reconciler) hold(ctx context.Context, ws event.Workspace, l *lease) (Round, error) {
	w := &round{Reconciler: r, ws: ws, lease: l, left: r.o.Budget, found: map[string]int{}}
	defer func() {
		if err := l.release(ctx); err != nil && !errors.Is(err, errLeaseLost) {
			r.o.Logger.Debug("can't give up the lease; it runs out by itself", zap.Error(err))
		}
	}()
	if err := w.load(ctx); err != nil {
		return Round{}, err
	}
	if r.o.Now().Sub(w.state.Last) < r.o.Every*3/4 {
		return Round{Result: RoundBusy}, nil
	}
	err := w.run(ctx)
	out := Round{Result: RoundComplete, Found: w.found}
	if w.partial {
		out.Result = RoundPartial
	}
	if errors.Is(err, errLeaseLost) {
		err = fmt.Errorf("workspace %s: %w", ws.Alias, err)
	}
	return out, err
}

package azureml

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Line is what a backfill needs of the queue: to send, and to see whether
// others wait.
type Line interface {
	Sender
	Depth(ctx context.Context) (lineage.Depth, error)
}

// BackfillerOptions configure a Backfiller. Lister, Source, Store, Queue,
// Parser and Workspaces are required.
type BackfillerOptions struct {
	Lister Lister
	Source Source
	Store  lineage.Store
	Queue  Line
	// Parser is the workers' own.
	Parser     *event.Parser
	Workspaces func() []event.Workspace

	// Lookback is the reconciler's, see ReconcilerOptions. Defaults to 24 h.
	Lookback time.Duration
	// Rate is how many events a backfill sends in a second, on average; each
	// makes workers ask Azure Machine Learning, too. Defaults to 2.
	Rate float64
	// MaxWaiting is how many messages may wait in the queue before a backfill
	// does: live events go first. Defaults to 1000.
	MaxWaiting int64
	// Poll is how often it is looked for new backfills and for cancelled ones.
	// Defaults to 5 s.
	Poll time.Duration

	// Name tells this process apart from its replicas.
	Name       string
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Now defaults to time.Now.
	Now func() time.Time
}

// Backfiller carries out what lineage.RequestBackfill asks for: it walks over
// the history of a workspace and tells what lineage does not know, as fenced
// synthetic events. Of all replicas one at a time works on a workspace; when
// it dies, another goes on where it was.
type Backfiller struct {
	o    BackfillerOptions
	gaps gaps
	told *prometheus.CounterVec
}

// NewBackfiller builds a Backfiller; Run starts it.
func NewBackfiller(o BackfillerOptions) (*Backfiller, error) {
	if o.Lister == nil || o.Source == nil || o.Store == nil || o.Queue == nil || o.Parser == nil || o.Workspaces == nil {
		return nil, errors.New("backfiller: Lister, Source, Store, Queue, Parser and Workspaces are required")
	}
	orElse(&o.Lookback, 24*time.Hour)
	orElse(&o.Rate, 2)
	orElse(&o.MaxWaiting, 1000)
	orElse(&o.Poll, 5*time.Second)
	orElse(&o.Name, "backfiller")
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	told := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_backfill_events_total",
		Help: "Events that backfills sent, by workspace."}, []string{"workspace"})
	if o.Registerer != nil {
		if err := o.Registerer.Register(told); err != nil {
			return nil, fmt.Errorf("backfiller: %w", err)
		}
	}
	return &Backfiller{o: o, gaps: gaps{parser: o.Parser, store: o.Store}, told: told}, nil
}

// Run works on backfills until ctx ends, one goroutine for each workspace that
// has one.
func (b *Backfiller) Run(ctx context.Context) {
	var group sync.WaitGroup
	var mu sync.Mutex
	busy := map[string]bool{}
	for ctx.Err() == nil {
		for _, ws := range b.o.Workspaces() {
			mu.Lock()
			free := !busy[ws.Alias]
			busy[ws.Alias] = true
			mu.Unlock()
			if !free {
				continue
			}
			group.Go(func() {
				b.look(ctx, ws)
				mu.Lock()
				defer mu.Unlock()
				delete(busy, ws.Alias)
			})
		}
		sleep(ctx, b.o.Poll)
	}
	group.Wait()
}

// look works on a workspace's backfill, if there is one and it is free.
func (b *Backfiller) look(ctx context.Context, ws event.Workspace) {
	job, version, err := lineage.GetBackfill(ctx, b.o.Store, ws.Alias)
	if errors.Is(err, lineage.ErrNotFound) || (err == nil && !job.IsOpen()) {
		return
	}
	if err == nil {
		err = b.work(ctx, ws, job, version)
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errLeaseLost) || errors.Is(err, errBackfillChanged):
		b.o.Logger.Info("somebody else goes on with a backfill, or ended it", zap.String("workspace", ws.Alias))
	default:
		b.o.Logger.Warn("a backfill was interrupted; it goes on from where it was", zap.String("workspace", ws.Alias), zap.Error(err))
	}
}

func (b *Backfiller) work(ctx context.Context, ws event.Workspace, job lineage.Backfill, version string) error {
	l := &lease{store: b.o.Store, partition: lineage.WorkPartition(ws.Alias), id: "lease/backfill", holder: b.o.Name, now: b.o.Now}
	mine, err := l.take(ctx)
	if err != nil || !mine {
		return err
	}
	defer func() {
		if err := l.release(ctx); err != nil && !errors.Is(err, errLeaseLost) {
			b.o.Logger.Debug("can't give up the lease; it runs out by itself", zap.Error(err))
		}
	}()
	w := &fill{Backfiller: b, ws: ws, lease: l, job: job, version: version}
	return w.run(ctx)
}

// Package worker is the pipeline that an accepted event goes through:
//
//	parse → enrich → reduce → decide → commit → spread, list, follow, dispatch → settle
//
// One file per step, in that order. Messages come in batches; events of one
// asset are committed together, assets side by side, and a message is settled
// only when everything that follows from it is durable. Whatever goes wrong
// in between, the message is delivered again and the steps are repeated: each
// of them is idempotent.
package worker

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
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Options configure a Worker. Queue, Store, Parser, Policies and Effector are
// required.
type Options struct {
	Queue  lineage.Queue
	Store  lineage.Store
	Parser *event.Parser
	// Policies gives the set in force; it may change between calls, never
	// within a batch.
	Policies func() *policy.Set
	// Effector finds the effector of a target; false when there is none.
	Effector func(target string, t policy.ActionType) (policy.Effector, bool)
	// NextAttempt says when a failed action is tried again, or that it is not.
	NextAttempt func(target string, attempts int, err error, now time.Time) (at time.Time, giveUp bool)
	// Publications tell others of the service's own changes. Defaults to
	// telling nobody.
	Publications *Publications
	// Enrich adds what an event does not carry. Defaults to nothing.
	Enrich Enricher
	// Remind makes what time brought take effect on what a reminder names.
	// Defaults to nothing.
	Remind func(ctx context.Context, id string) error
	// Gather puts causes together in the review of the cause that they have in
	// common. Defaults to nothing.
	Gather func(ctx context.Context, cause string, parts []Cause) error
	// Inform adds a line to the history of a cause's review, once per key.
	// Defaults to telling nobody.
	Inform func(ctx context.Context, cause, key, text string) (told bool, err error)
	// EnrichWait is how long after an event's commit the policies that read
	// what enrichment adds wait for it, before they decide without. Defaults
	// to 2 min.
	EnrichWait time.Duration
	// EnrichFor is how long enrichment of an event is tried. Defaults to 6 h.
	EnrichFor time.Duration
	// EnrichTimeout bounds one try. Defaults to 20 s.
	EnrichTimeout time.Duration

	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Now defaults to time.Now.
	Now func() time.Time
	// Name tells this process apart from others in journal pages; a few
	// random characters.
	Name string
	// Sole says that no other process works on the same queue and store: what
	// another name claims was left by one that died. The embedded engine
	// knows, a shared one does not.
	Sole bool
	// Batch is how many messages are worked on together. Defaults to 500.
	Batch int
	// Loops is how many batches are in work at once. Defaults to 2.
	Loops int
	// Documents is how many assets are kept at hand, a few KiB each. Defaults
	// to 2048, which suits a store that reads at no cost.
	Documents int
	// EffectTimeout bounds one call of an effector. Defaults to 30 s.
	EffectTimeout time.Duration
	// RunTimeout is how long a retrain's run may go without an end before the
	// action counts as failed. Defaults to 24 h.
	RunTimeout time.Duration
	// RetryDelay is the delay before a message is tried again when a step
	// failed; it doubles with every attempt up to five minutes. Defaults to 1 s.
	RetryDelay time.Duration
}

// Cause is one cause of reviews.
type Cause struct {
	Cause string
	// Model is whose trouble it is, At when it was last heard of.
	Model lineage.ID
	At    time.Time
}

// Worker performs the pipeline.
type Worker struct {
	o       Options
	metrics *metrics
	locks   keyLocks
	done    *recent
	// documents are the assets last worked on, so that a burst of events
	// about one asset reads it once.
	documents *documents
	newcomers newcomers
	pages     pageNumbers
	// acting counts the batches whose effects go on in the background.
	acting chan struct{}
	// asking counts the batches of enrichments that go on in the background.
	asking     chan struct{}
	background sync.WaitGroup
	opened     openedDirectories
}

// New builds a Worker; Run starts it.
func New(o Options) (*Worker, error) {
	if o.Queue == nil || o.Store == nil || o.Parser == nil || o.Policies == nil || o.Effector == nil || o.NextAttempt == nil {
		return nil, errors.New("worker: Queue, Store, Parser, Policies, Effector and NextAttempt are required")
	}
	o.setDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return &Worker{o: o, metrics: m, done: newRecent(16_384), documents: newDocuments(o.Documents), acting: make(chan struct{}, maxActing), asking: make(chan struct{}, maxAsking)}, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Enrich == nil {
		o.Enrich = nothing{}
	}
	defaultTo(&o.Batch, 500)
	defaultTo(&o.Loops, 2)
	defaultTo(&o.Documents, 2048)
	defaultTo(&o.EffectTimeout, 30*time.Second)
	defaultTo(&o.EnrichWait, 2*time.Minute)
	defaultTo(&o.EnrichFor, 6*time.Hour)
	defaultTo(&o.EnrichTimeout, 20*time.Second)
	defaultTo(&o.RunTimeout, 24*time.Hour)
	defaultTo(&o.RetryDelay, time.Second)
	if o.Name == "" {
		o.Name = "w"
	}
}

func defaultTo[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Run works until ctx ends, then finishes the batches in hand (as long as
// drain allows) and returns. Faults of queue and store do not end it: it backs
// off and goes on.
func (w *Worker) Run(ctx context.Context, drain time.Duration) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drain, cancel) })
	defer stop()
	var loops sync.WaitGroup
	for range w.o.Loops {
		loops.Go(func() { w.loop(ctx, work) })
	}
	w.background.Go(func() { w.recover(ctx) })
	loops.Wait()
	w.background.Wait()
	return nil
}

// loop receives under ctx and works under work, which outlives it.
func (w *Worker) loop(ctx, work context.Context) {
	for failures := 0; ctx.Err() == nil; {
		deliveries, err := w.o.Queue.Receive(ctx, w.o.Batch)
		switch {
		case err == nil:
			failures = 0
			if len(deliveries) > 0 {
				w.Process(work, deliveries)
			}
		case ctx.Err() != nil || errors.Is(err, lineage.ErrClosed):
			return
		default:
			failures++
			w.o.Logger.Warn("can't receive from the queue; trying again", zap.Error(err), zap.Int("failures", failures))
			pause(ctx, min(w.backoff(failures), maxReceivePause))
		}
	}
}

// maxReceivePause is how soon a queue that came back is noticed.
const maxReceivePause = 10 * time.Second

func (w *Worker) backoff(failures int) time.Duration {
	return min(w.o.RetryDelay<<min(failures-1, 8), 5*time.Minute)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Process takes one batch through all steps and settles every delivery. It
// returns when lineage and lists are durable and the deliveries that cause
// nothing are settled; effects may go on in the background, where a slow
// target holds up nobody but those who wait for it.
func (w *Worker) Process(ctx context.Context, deliveries []lineage.Delivery) {
	if deliveries = w.enrichAside(ctx, deliveries); len(deliveries) > 0 {
		w.process(ctx, deliveries)
	}
}

func (w *Worker) process(ctx context.Context, deliveries []lineage.Delivery) {
	b := w.parse(deliveries)
	stop := w.keepLeases(ctx, b, deliveries[0].LeasedUntil)
	w.enrich(ctx, b)
	w.commit(ctx, b)
	w.askLater(ctx, b)
	acting := b.takeActing()
	listed := make(chan struct{})
	if len(acting) > 0 {
		w.acting <- struct{}{}
		w.background.Go(func() {
			w.dispatch(ctx, b, acting)
			<-listed
			w.settle(ctx, acting)
			stop()
			<-w.acting
		})
	}
	w.spread(ctx, b)
	w.list(ctx, b)
	w.follow(ctx, b)
	close(listed)
	w.settle(ctx, b.quiet)
	if len(acting) == 0 {
		stop()
	}
	w.metrics.batch(b, w.o.Now())
}

// maxActing bounds the batches whose effects go on in the background.
const maxActing = 8

// keepLeases extends the leases of a batch that takes longer than a third of
// them; stop ends it.
func (w *Worker) keepLeases(ctx context.Context, b *batch, until time.Time) (stop func()) {
	every := max(time.Until(until)/3, time.Second)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := w.o.Queue.Extend(ctx, b.unsettled()); err != nil && ctx.Err() == nil {
				w.o.Logger.Warn("can't extend leases; others may repeat this work", zap.Error(err))
			}
		}
	}()
	return func() { cancel(); <-done }
}

// sawThrough remembers the events of a job that is done with all that follows
// from it. A repeat beside its original in one batch did none of that work and
// proves nothing: it has no entry. An enrichment proves nothing of the event's
// own delivery.
func (w *Worker) sawThrough(j *job) {
	for _, it := range j.items {
		if it.entry.ID != "" && it.later == nil {
			w.done.add(it.logKey())
		}
	}
}

// settle gives deliveries their verdict.
func (w *Worker) settle(ctx context.Context, jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	settlements := make([]lineage.Settlement, len(jobs))
	for i, j := range jobs {
		j.settled.Store(true)
		settlements[i] = lineage.Settlement{Lease: j.delivery.Lease}
		if err := j.failure(); err == nil {
			w.sawThrough(j)
		} else {
			settlements[i].Verdict = lineage.Retry
			settlements[i].After = w.backoff(j.delivery.Attempt)
			w.metrics.retries.Inc()
			w.o.Logger.Warn("an event could not be worked on; it will be tried again",
				zap.String("message", j.delivery.ID), zap.Int("attempt", j.delivery.Attempt),
				zap.Duration("after", settlements[i].After), zap.Error(err))
		}
	}
	if err := w.o.Queue.Settle(ctx, settlements); err != nil {
		w.o.Logger.Warn("can't settle; the messages will come again", zap.Error(err))
	}
}

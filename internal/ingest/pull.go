package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// PullSource is where pulled events come from: an event subscription that
// hands out events under locks, at least once and in no particular order.
//
// Every method is safe for concurrent use and returns promptly with the
// context's error when its context ends; what was asked for may then have
// happened or not. None of them retries. An error may wrap a
// *policy.RetryAfterError (leave the source alone for so long) or a
// *policy.PermanentError (somebody has to change something first). Lock
// settling returns nil, or a *lineage.SettleError that names the leases for
// which it failed, or another error that speaks of all of them.
type PullSource interface {
	// Receive waits up to wait (10 to 120 s, whole seconds) for events and
	// returns at once with up to max (1 to 100) of them, or none in the end.
	// Body is the event as its publisher wrote it, in any schema, even
	// nonsense; Lease is its lock, Attempt counts deliveries from 1. A lock
	// lasts 60 s at least.
	Receive(ctx context.Context, max int, wait time.Duration) ([]lineage.Delivery, error)
	// Acknowledge ends events for good.
	Acknowledge(ctx context.Context, leases []lineage.Lease) error
	// Release gives events back, to be delivered again after one of 0, 10 s,
	// 1 min, 10 min and 1 h.
	Release(ctx context.Context, leases []lineage.Lease, after time.Duration) error
	// Extend renews locks to their full duration from now.
	Extend(ctx context.Context, leases []lineage.Lease) error
}

// Ways of naming pulled events: as PropVia, and as the label "source".
const (
	viaPull    = "eventgrid-pull"
	sourcePull = "pull"
)

// Defaults of PullOptions.
const (
	DefaultPullBatch   = 100
	DefaultPullWait    = time.Minute
	DefaultPullTimeout = time.Minute
	DefaultPullDrain   = 5 * time.Second
)

// PullOptions configure a Pull. Source, Queue and Name are required.
type PullOptions struct {
	Source PullSource
	// Queue receives all messages of a page in one call, and one event's at
	// a time when that was lineage.ErrTooLarge. The same holds for their
	// memory as with Options.Queue.
	Queue interface {
		Send(ctx context.Context, messages []lineage.Message) error
	}
	// Name is the event subscription's; messages carry it and metrics are
	// labelled with it.
	Name string
	// Batch is the most events of one page, 1 to 100. Defaults to
	// DefaultPullBatch.
	Batch int
	// Wait is how long the source waits for an event, 10 to 120 s. Defaults
	// to DefaultPullWait.
	Wait time.Duration
	// Timeout bounds the work of queueing one page. Locks are extended
	// meanwhile. Defaults to DefaultPullTimeout.
	Timeout time.Duration
	// Drain is how long a page in hand may still take to be queued once Run
	// is to end; settling it may take as long again. Defaults to
	// DefaultPullDrain.
	Drain time.Duration

	// Registerer takes the metrics; nil registers them nowhere. It may be
	// that of a Subscriber and of other Pulls: they count into the same
	// collectors.
	Registerer prometheus.Registerer
	// Logger defaults to none. Repeated lines are sampled.
	Logger *zap.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

// Pull is the way in for events that are fetched instead of posted. What it
// receives becomes the same messages as what Subscriber is sent, whatever is
// not understood included: it goes to quarantine by way of the queue. So an
// event is acknowledged as soon as the queue has it, and none is ever
// rejected; the source's dead letters hold what could not be queued within
// the source's own limits of attempts and age, and nothing else.
type Pull struct {
	o       PullOptions
	log     *zap.Logger
	metrics *pullMetrics
	// jitter is a random time up to d, so that those who failed together do
	// not come back together.
	jitter func(d time.Duration) time.Duration
}

// NewPull checks the options, registers the metrics and returns a Pull.
func NewPull(o PullOptions) (*Pull, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	m, err := newPullMetrics(o.Registerer, clean(o.Name, maxHeaderValue))
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	return &Pull{
		o: o, log: sampled(o.Logger).With(zap.String("subscription", o.Name)), metrics: m,
		jitter: func(d time.Duration) time.Duration { return rand.N(d + 1) },
	}, nil
}

func (o PullOptions) withDefaults() PullOptions {
	o.Batch = orDefault(o.Batch, DefaultPullBatch)
	o.Wait = orDefault(o.Wait, DefaultPullWait)
	o.Timeout = orDefault(o.Timeout, DefaultPullTimeout)
	o.Drain = orDefault(o.Drain, DefaultPullDrain)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o PullOptions) check() error {
	switch {
	case o.Source == nil:
		return errors.New("no Source: there is nowhere to pull from")
	case o.Queue == nil:
		return errors.New("no Queue: events would have nowhere to go")
	case o.Name == "":
		return errors.New("no Name: say what the event subscription is called")
	case o.Batch < 1 || o.Batch > 100:
		return fmt.Errorf("a Batch of %d: Event Grid hands out 1 to 100 events at a time", o.Batch)
	case o.Wait < 10*time.Second || o.Wait > 2*time.Minute:
		return fmt.Errorf("a Wait of %s: Event Grid waits 10 to 120 seconds", o.Wait)
	case o.Timeout < 0 || o.Drain < 0:
		return errors.New("times must not be negative")
	}
	return nil
}

// Run pulls until ctx ends, then finishes the page in hand and returns nil.
// Faults of source and queue do not end it: it backs off and goes on. Several
// calls may run at one time, each pulls for itself.
func (p *Pull) Run(ctx context.Context) error {
	work, stop := p.outliving(ctx)
	defer stop()
	for failures := 0; ctx.Err() == nil; {
		// While things fail, events come one at a time, so that an outage
		// costs few of them one of their attempts.
		size := p.o.Batch
		if failures > 0 {
			size = 1
		}
		err := p.once(ctx, work, size)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		sleep(ctx, p.backoff(failures, err))
	}
	return nil
}

// once pulls and works off a page.
func (p *Pull) once(ctx context.Context, work contexts, size int) error {
	page, err := p.receive(ctx, size)
	if err != nil || len(page) == 0 {
		return err
	}
	return p.handle(work, page)
}

// slack is how much longer than its wait a receive may take.
const slack = 20 * time.Second

// minPull is the least time that an empty page is expected to take. A source
// that answers faster is not asked again at once.
const minPull = time.Second

func (p *Pull) receive(ctx context.Context, size int) ([]lineage.Delivery, error) {
	began := p.o.Now()
	bound, cancel := context.WithTimeout(ctx, p.o.Wait+slack)
	defer cancel()
	page, err := p.o.Source.Receive(bound, size, p.o.Wait)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, nil
	case err != nil:
		p.metrics.failed.Inc()
		p.log.Warn("events could not be pulled", zap.Error(err))
		return nil, err
	case len(page) == 0:
		p.metrics.empty.Inc()
		if p.o.Now().Sub(began) < minPull {
			sleep(ctx, minPull)
		}
	default:
		p.metrics.pages.Inc()
	}
	return page, nil
}

// contexts outlive the one that Run was given, so that a page in hand is
// finished.
type contexts struct {
	// queueing is for sending, settling for what comes after it.
	queueing, settling context.Context
}

// outliving makes contexts that end one and two times Drain after ctx.
func (p *Pull) outliving(ctx context.Context) (c contexts, stop func()) {
	queueing, stopQueueing := outlive(ctx, p.o.Drain)
	settling, stopSettling := outlive(ctx, 2*p.o.Drain)
	return contexts{queueing, settling}, func() {
		stopQueueing()
		stopSettling()
	}
}

// outlive is ctx for d longer.
func outlive(ctx context.Context, d time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

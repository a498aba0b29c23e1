package azureml

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// CacheOptions configure a Cache.
type CacheOptions struct {
	// RequestsPerSecond is what is asked of the source at most, of all
	// workspaces together, and Burst how much of it at once; of a job that
	// ended the adapter asks twice, ARM and the run history. Default to 10 and
	// twice the rate.
	RequestsPerSecond float64
	Burst             int
	// Entries bounds what is remembered. Defaults to 10,000.
	Entries int
	// Timeout bounds one request. Defaults to 15 s.
	Timeout    time.Duration
	Registerer prometheus.Registerer
}

// Cache is a Source before another one: it remembers answers for as long as
// they are likely to hold, lets those who ask for one thing at a time share one
// request, keeps to a budget of requests, and leaves a workspace alone that
// fails or asks for it. What it has to refuse is a *policy.RetryAfterError.
//
// Callers share what it returns and must not change it.
type Cache struct {
	source  Source
	o       CacheOptions
	limiter *rate.Limiter
	flights singleflight.Group
	metrics *cacheMetrics

	mu       sync.Mutex
	new, old map[string]answer
	lanes    map[string]*lane
}

var _ Source = (*Cache)(nil)

// How long answers hold. What has ended hardly changes; a run holds for less
// than its job, so that a job that is seen to have ended is seen with all that
// it logged.
const (
	holdEndedJob = 6 * time.Hour
	holdJob      = 5 * time.Second
	holdEndedRun = time.Hour
	holdRun      = 4 * time.Second
	holdModel    = time.Hour
	holdEndpoint = 30 * time.Second
	holdMonitor  = 5 * time.Minute
	holdMissing  = 20 * time.Second
)

// answer is a remembered one; missing says that there is no such thing.
type answer struct {
	value   any
	missing error
	until   time.Time
}

// NewCache puts a cache before a source. The error is the registerer's.
func NewCache(source Source, o CacheOptions) (*Cache, error) {
	if o.RequestsPerSecond <= 0 {
		o.RequestsPerSecond = 10
	}
	if o.Burst <= 0 {
		o.Burst = max(1, int(2*o.RequestsPerSecond))
	}
	if o.Entries <= 1 {
		o.Entries = 10_000
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	m, err := newCacheMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("azureml: %w", err)
	}
	return &Cache{
		source: source, o: o, limiter: rate.NewLimiter(rate.Limit(o.RequestsPerSecond), o.Burst), metrics: m,
		new: map[string]answer{}, lanes: map[string]*lane{},
	}, nil
}

// Job implements Source.
func (c *Cache) Job(ctx context.Context, ws event.Workspace, name string) (Job, error) {
	return lookUp(ctx, c, "job", ws, name, func(ctx context.Context) (Job, time.Duration, error) {
		j, err := c.source.Job(ctx, ws, name)
		return j, pick(j.IsEnded(), holdEndedJob, holdJob), err
	})
}

// ModelVersion implements Source.
func (c *Cache) ModelVersion(ctx context.Context, ws event.Workspace, name, version string) (ModelVersion, error) {
	return lookUp(ctx, c, "model", ws, name+"\x00"+version, func(ctx context.Context) (ModelVersion, time.Duration, error) {
		m, err := c.source.ModelVersion(ctx, ws, name, version)
		return m, holdModel, err
	})
}

// Run implements Source.
func (c *Cache) Run(ctx context.Context, ws event.Workspace, id string) (Run, error) {
	return lookUp(ctx, c, "run", ws, id, func(ctx context.Context) (Run, time.Duration, error) {
		r, err := c.source.Run(ctx, ws, id)
		return r, pick(r.isEnded(), holdEndedRun, holdRun), err
	})
}

// isEnded says whether MLflow's status is final.
func (r Run) isEnded() bool {
	switch r.Status {
	case "FINISHED", "FAILED", "KILLED":
		return true
	}
	return false
}

// Endpoint implements Source.
func (c *Cache) Endpoint(ctx context.Context, ws event.Workspace, name string) (Endpoint, error) {
	return lookUp(ctx, c, "endpoint", ws, name, func(ctx context.Context) (Endpoint, time.Duration, error) {
		e, err := c.source.Endpoint(ctx, ws, name)
		return e, holdEndpoint, err
	})
}

// Monitor implements Source.
func (c *Cache) Monitor(ctx context.Context, ws event.Workspace, name string) (Monitor, error) {
	return lookUp(ctx, c, "monitor", ws, name, func(ctx context.Context) (Monitor, time.Duration, error) {
		m, err := c.source.Monitor(ctx, ws, name)
		return m, holdMonitor, err
	})
}

func pick(yes bool, a, b time.Duration) time.Duration {
	if yes {
		return a
	}
	return b
}

// lookUp answers from memory, else asks, together with whoever asks for the
// same at this time. The request goes on when one of them leaves.
func lookUp[T any](ctx context.Context, c *Cache, kind string, ws event.Workspace, name string, fetch func(context.Context) (T, time.Duration, error)) (T, error) {
	var none T
	key := kind + "\x00" + strings.ToLower(ws.ID) + "\x00" + name
	if a, ok := c.remembered(key); ok {
		c.metrics.lookups.WithLabelValues(kind, "hit").Inc()
		if a.missing != nil {
			return none, a.missing
		}
		return a.value.(T), nil
	}
	c.metrics.lookups.WithLabelValues(kind, "miss").Inc()
	result := c.flights.DoChan(key, func() (any, error) {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
		defer cancel()
		return c.request(call, kind, ws, key, func(ctx context.Context) (any, time.Duration, error) { return fetch(ctx) })
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// request asks, within what the workspace and the budget allow, and remembers
// the answer.
func (c *Cache) request(ctx context.Context, kind string, ws event.Workspace, key string, fetch func(context.Context) (any, time.Duration, error)) (any, error) {
	done, err := c.admit(ctx, c.lane(ws))
	if err != nil {
		c.metrics.requests.WithLabelValues(kind, "withheld").Inc()
		return nil, err
	}
	began := time.Now()
	value, hold, err := fetch(ctx)
	done(err)
	c.metrics.asked(kind, time.Since(began), err)
	switch {
	case err == nil:
		c.remember(key, answer{value: value, until: time.Now().Add(hold)})
	case errors.Is(err, lineage.ErrNotFound):
		c.remember(key, answer{missing: err, until: time.Now().Add(holdMissing)})
	}
	return value, err
}

// admit lets a request through, or says when to come again. A lane that is
// closed costs nothing of the budget; it may close while one waits for that.
func (c *Cache) admit(ctx context.Context, l *lane) (done func(error), err error) {
	if err := l.refusal(); err != nil {
		return nil, err
	}
	if err := c.afford(ctx); err != nil {
		return nil, err
	}
	return l.enter()
}

var errBudget = errors.New("the budget of requests to Azure Machine Learning is used up")

// afford waits for the budget's next request, if that comes in time.
func (c *Cache) afford(ctx context.Context) error {
	r := c.limiter.Reserve()
	wait := r.Delay()
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Add(wait).Before(deadline) {
		r.Cancel()
		return &policy.RetryAfterError{Err: errBudget, After: wait}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		return ctx.Err()
	}
}

func (c *Cache) remembered(key string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.new[key]
	if !ok {
		a, ok = c.old[key]
	}
	return a, ok && time.Now().Before(a.until)
}

// remember keeps an answer; the half that came first is forgotten when there
// are too many.
func (c *Cache) remember(key string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.new) >= c.o.Entries/2 {
		c.old, c.new = c.new, make(map[string]answer, c.o.Entries/2)
	}
	c.new[key] = a
}

// maxLanes bounds the workspaces that are told apart.
const maxLanes = 1000

func (c *Cache) lane(ws event.Workspace) *lane {
	id := strings.ToLower(ws.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[id]
	if l == nil {
		if len(c.lanes) >= maxLanes {
			clear(c.lanes)
		}
		l = newLane(ws.Alias)
		c.lanes[id] = l
	}
	return l
}

package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/web"
)

// ruleset is one policy file in force: compiled policies and the effectors of
// their targets. It never changes; a reload makes another.
type ruleset struct {
	file      *policy.File
	set       *policy.Set
	effectors map[string]policy.Effector
	// couriers bring reviews to the tools that show them, by target; guarded are
	// the same with bounds on their calls.
	couriers map[string]*effect.Courier
	guarded  map[string]policy.Effector
	loaded   time.Time
}

// rules hold the ruleset in force and replace it when the files change.
type rules struct {
	load func() (*Config, error)
	deps effect.Deps
	// changes publishes the service's own changes; nil when nobody is told.
	changes policy.Effector
	// courierBase is what all couriers have in common.
	courierBase effect.Courier
	log         *zap.Logger
	now         func() time.Time
	current     atomic.Pointer[ruleset]

	mu        sync.Mutex
	lastError error

	reloads *prometheus.CounterVec
	ok      prometheus.Gauge
}

func newRules(first *Config, load func() (*Config, error), deps effect.Deps, changes policy.Effector, courierBase effect.Courier, log *zap.Logger, r prometheus.Registerer) (*rules, error) {
	rs := &rules{load: load, deps: deps, changes: changes, courierBase: courierBase, log: log, now: time.Now,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_policy_reloads_total", Help: "Attempts to load policy files, by result."}, []string{"result"}),
		ok:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "modelwarden_policy_last_reload_successful", Help: "Whether the newest policy files are in force (1) or were refused (0)."}),
	}
	for _, result := range []string{"success", "failure"} {
		rs.reloads.WithLabelValues(result)
	}
	if err := errors.Join(r.Register(rs.reloads), r.Register(rs.ok)); err != nil {
		return nil, err
	}
	next, err := rs.build(first)
	if err != nil {
		return nil, err
	}
	rs.current.Store(next)
	rs.ok.Set(1)
	return rs, nil
}

func (r *rules) build(c *Config) (*ruleset, error) {
	set, err := policy.Compile(&c.File, policy.CompileOptions{})
	if err != nil {
		return nil, err
	}
	effectors, err := effect.New(c.Targets, r.deps)
	if err != nil {
		return nil, err
	}
	ticketers, err := effect.NewTicketers(c.Targets, r.deps)
	if err != nil {
		return nil, err
	}
	if r.deps.AzureML == nil {
		for _, name := range effect.NeedAzureML(c.Targets) {
			r.log.Warn("a target acts in Azure Machine Learning, and azureML.workspaces names none: actions on it will fail", zap.String("target", name))
		}
	}
	out := &ruleset{file: &c.File, set: set, effectors: effectors, couriers: newCouriers(&c.File, ticketers, r.courierBase), loaded: r.now().UTC()}
	out.guarded = make(map[string]policy.Effector, len(out.couriers))
	for name, courier := range out.couriers {
		out.guarded[name] = effect.Guard(courier, effect.GuardOptions{Target: name, Timeout: courier.Timeout, Observer: r.deps.Observer})
	}
	return out, nil
}

// reload reads the files again. Bad files keep the old rules and say so.
func (r *rules) reload() error {
	next, err := func() (*ruleset, error) {
		c, err := r.load()
		if err != nil {
			return nil, err
		}
		return r.build(c)
	}()
	r.mu.Lock()
	r.lastError = err
	r.mu.Unlock()
	if err != nil {
		r.reloads.WithLabelValues("failure").Inc()
		r.ok.Set(0)
		r.log.Error("the new policy files were refused; the old ones stay in force", zap.Error(err))
		return err
	}
	r.current.Store(next)
	r.reloads.WithLabelValues("success").Inc()
	r.ok.Set(1)
	r.log.Info("policies loaded", zap.String("hash", next.set.Hash()), zap.Int("policies", len(next.file.Policies)))
	return nil
}

// set is the policy set in force.
func (r *rules) set() *policy.Set { return r.current.Load().set }

// effector finds what performs an action on a target. A review reaches the
// built-in inbox first, whatever its target: nobody may miss it because a tool
// is down or unknown.
func (r *rules) effector(target string, t policy.ActionType) (policy.Effector, bool) {
	rs := r.current.Load()
	kind := policy.TargetKind("")
	if tgt, known := rs.file.Target(target); known {
		kind = tgt.Kind()
	}
	e, ok := rs.effectors[target]
	switch {
	case t == policy.Publish:
		return r.changes, r.changes != nil
	case t == policy.Deliver, t == policy.Notify && kind.Ticketed() && kind != policy.WebhookKind:
		e, ok = rs.guarded[target]
		return e, ok
	case t != policy.Review && t != policy.Resolve:
		return e, ok
	case ok && t == policy.Review && (kind == policy.WebhookKind || kind == policy.LogKind):
		return both{rs.effectors[policy.Desk], e}, true
	}
	return rs.effectors[policy.Desk], true
}

// courier finds what brings reviews to a target.
func (r *rules) courier(target string) (*effect.Courier, bool) {
	c, ok := r.current.Load().couriers[target]
	return c, ok
}

// ticketer finds what shows reviews at a target.
func (r *rules) ticketer(target string) (effect.Ticketer, bool) {
	c, ok := r.courier(target)
	if !ok {
		return nil, false
	}
	return c.Ticketer, true
}

// both files a review on the desk, then tells the target. Each drops repeats
// by the action's key, so a retry after half of it is harmless.
type both struct{ desk, target policy.Effector }

// Do implements policy.Effector. The desk's outcome is the one that counts.
func (b both) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	out, err := b.desk.Do(ctx, a)
	if err != nil {
		return out, err
	}
	told, err := b.target.Do(ctx, a)
	if err != nil {
		return out, err
	}
	out.Summary += "; " + told.Summary
	return out, nil
}

// nextAttempt spaces the attempts on a target as its configuration says.
func (r *rules) nextAttempt(target string, attempts int, err error, now time.Time) (time.Time, bool) {
	t := r.current.Load().file.Targets[target]
	return effect.BackoffOf(t).Next(attempts, err, now, rand.Float64)
}

// status is what pages and readiness show.
func (r *rules) status() web.Policies {
	rs := r.current.Load()
	p := web.Policies{Hash: rs.set.Hash(), Mode: string(rs.file.Mode), Names: []string{}, Loaded: rs.loaded}
	for _, pol := range rs.file.Policies {
		p.Names = append(p.Names, pol.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lastError != nil {
		p.LastError = r.lastError.Error()
	}
	return p
}

// watchEvery is how often the files are looked at. Looking beats being told:
// mounted configuration changes by symlink, on some file systems silently.
const watchEvery = 2 * time.Second

// watch reloads when the content of a file changes, and when asked to.
func (r *rules) watch(ctx context.Context, files func() []string, ask <-chan os.Signal) {
	seen := digest(files())
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ask:
			seen = digest(files())
			_ = r.reload()
		case <-tick.C:
			if now := digest(files()); !bytes.Equal(now, seen) {
				seen = now
				_ = r.reload()
			}
		}
	}
}

// digest is over the contents of the files; a missing file counts as empty.
func digest(files []string) []byte {
	h := sha256.New()
	for _, name := range files {
		fmt.Fprintln(h, filepath.Clean(name))
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		_, _ = io.Copy(h, io.LimitReader(f, 8<<20))
		_ = f.Close()
	}
	return h.Sum(nil)
}

// Package app puts the service together: configuration, the two engines
// behind the ports, the roles (subscriber, worker, web), their lifecycle, and
// the commands that run without a server. It is the only package that knows
// concrete types on both sides of a port.
package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// Options are what New needs.
type Options struct {
	Config *Config
	// Reload reads the configuration again, for a change of policies while
	// running; nil switches reloading off.
	Reload func() (*Config, error)
	// Files are watched for changes.
	Files func() []string
	// Hangup asks for a reload; may be nil.
	Hangup <-chan os.Signal

	Getenv  func(string) string
	Logger  *zap.Logger
	Version string
	// SandboxURL is the simulated workspace's, for targets of that kind; ""
	// outside the demo.
	SandboxURL string
}

// App is one running service. New builds it and starts nothing; Run serves
// until its context ends.
type App struct {
	o        Options
	cfg      *Config
	log      *zap.Logger
	registry *prometheus.Registry
	creds    *credentials
	// azure asks and changes workspaces; nil when none is configured.
	azure   *ml.Client
	around  []event.Workspace
	engines *engines
	desk    *review.Desk
	// cards and orders are what on-call is shown of a review, and may ask for.
	cards  *oncall.Cards
	orders *oncall.Orders
	rules  *rules
	worker *worker.Worker
	// enricher, backfiller and reconciler ask Azure Machine Learning; nil when
	// no workspace is configured.
	enricher   *azureml.Enricher
	backfiller *azureml.Backfiller
	reconciler *azureml.Reconciler
	// publications plan the telling of our own changes; nil when nobody is
	// told.
	publications *worker.Publications
	// pull fetches events; nil when none are to be fetched.
	pull     *ingest.Pull
	server   *http.Server
	listener net.Listener
}

// New opens the store, binds the address and wires everything. When it fails
// half-way it undoes what it did.
func New(ctx context.Context, o Options) (_ *App, err error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	a := &App{o: o, cfg: o.Config, log: o.Logger, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	access, err := newAccess(a.cfg, o.Getenv)
	if err != nil {
		return nil, err
	}
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	parser, err := event.NewParser(a.cfg.Events.options())
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if err := a.wireAzureML(parser); err != nil {
		return nil, err
	}
	if err := a.wireRules(access); err != nil {
		return nil, err
	}
	if err := a.wireWorker(parser); err != nil {
		return nil, err
	}
	handler, err := a.handler(access, parser)
	if err != nil {
		return nil, err
	}
	if err := a.wirePull(); err != nil {
		return nil, err
	}
	if a.listener, err = net.Listen("tcp", a.cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	a.server = newServer(handler, a.log)
	return a, nil
}

func newServer(h http.Handler, log *zap.Logger) *http.Server {
	errorLog, _ := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel)
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: errorLog,
	}
}

func (a *App) open(ctx context.Context) (err error) {
	a.creds = newCredentials(a.cfg.Azure, a.o.Getenv)
	if a.engines, err = openEngines(ctx, a.cfg, a.creds, requestUnits(a.registry), a.log); err != nil {
		return err
	}
	a.desk = review.NewDesk(a.engines.store, time.Now)
	return nil
}

func (a *App) wireRules(access *access) error {
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.register(); err != nil {
		return err
	}
	observer, err := newTargetMetrics(a.registry)
	if err != nil {
		return err
	}
	deps := effect.Deps{Observer: observer, Desk: a.desk, Logger: a.log, Version: a.o.Version, AllowLoopback: access.loopback,
		SandboxURL: a.o.SandboxURL, LookupEnv: lookup(a.o.Getenv), Store: a.engines.store, Workspace: workspaceByAlias(a.around)}
	if a.azure != nil {
		deps.AzureML = a.azure
	}
	changes, err := a.wirePublishing(a.creds, observer)
	if err != nil {
		return err
	}
	a.wireDesk()
	a.rules, err = newRules(a.cfg, a.o.Reload, deps, changes, a.courierBase(), a.log, a.registry)
	return err
}

func lookup(getenv func(string) string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := getenv(name)
		return v, v != ""
	}
}

func (a *App) wireWorker(parser *event.Parser) (err error) {
	c := a.cfg.Worker
	o := worker.Options{
		Queue: a.engines.queue, Store: a.engines.store, Parser: parser,
		Policies: a.rules.set, Effector: a.rules.effector, NextAttempt: a.rules.nextAttempt,
		Logger: a.log, Registerer: a.registry, Name: randomName(), Sole: a.engines.sole, Publications: a.publications,
		Batch: c.Batch, Loops: c.Loops, EffectTimeout: time.Duration(c.EffectTimeout), RunTimeout: time.Duration(c.RunTimeout),
		EnrichWait: time.Duration(a.cfg.AzureML.EnrichWait), Inform: a.desk.Inform, Remind: a.remind, Gather: a.gather,
	}
	if a.enricher != nil {
		o.Enrich = a.enricher
	}
	if !a.engines.sole {
		o.Documents = 8192 // each miss is a request and its units
	}
	a.worker, err = worker.New(o)
	return err
}

// randomName tells this process's journal pages from those of others.
func randomName() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// handler routes events to the subscriber and everything else to the web.
func (a *App) handler(access *access, parser *event.Parser) (http.Handler, error) {
	mux := http.NewServeMux()
	if a.cfg.hasRole(RoleSubscriber) {
		l := a.cfg.Limits
		s, err := ingest.New(ingest.Options{
			Queue: a.engines.queue, Authenticator: access.events, AlertsAuthenticator: access.alerts,
			MaxBody: l.MaxBody, MaxEvents: l.MaxEvents, MaxInFlight: l.MaxInFlight, MaxInFlightBytes: l.MaxInFlightBytes,
			RatePerSecond: l.RequestsPerSecond, Burst: l.Burst, Timeout: time.Duration(l.Timeout),
			Registerer: a.registry, Logger: a.log,
		})
		if err != nil {
			return nil, err
		}
		// GET /events is a page; every other method is the subscriber's.
		for _, method := range []string{http.MethodPost, http.MethodOptions} {
			mux.Handle(method+" /events", s.Events())
			mux.Handle(method+" /alerts/azure-monitor", s.Alerts())
		}
	}
	pages, err := web.New(web.Options{
		Store: a.engines.store, Queue: a.engines.queue, Dead: a.engines.dead, Desk: a.desk, Parser: parser,
		Cards:     a.cards,
		Orders:    a.orders,
		Callbacks: &callbacks{ticketer: a.rules.ticketer, desk: a.desk, log: a.log},
		Policies:  a.rules.status, Components: a.components, Workspaces: a.aliases, Tokens: access.tokens, Loopback: access.loopback,
		Gatherer: a.registry, Registerer: a.registry, Logger: a.log, Version: a.o.Version,
	})
	if err != nil {
		return nil, err
	}
	if a.cfg.hasRole(RoleWeb) {
		mux.Handle("/", pages)
		return mux, nil
	}
	for _, route := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(route, pages)
	}
	return mux, nil
}

// aliases are the workspaces that can be asked.
func (a *App) aliases() (out []string) {
	for _, ws := range a.around {
		out = append(out, ws.Alias)
	}
	return out
}

// components are what /readyz reports.
func (a *App) components(ctx context.Context) []web.Component {
	p := a.rules.status()
	policies := web.Component{Name: "policies", OK: true, Detail: fmt.Sprintf("%d policies, hash %s", len(p.Names), p.Hash)}
	if p.LastError != "" {
		policies.Detail = "the newest files were refused, the set before them is in force: " + p.LastError
	}
	return append(a.engines.components(ctx, a.cfg), policies)
}

// Addr is the bound address.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// URL is where people reach the service on this machine.
func (a *App) URL() string {
	host, port, _ := net.SplitHostPort(a.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Run serves until ctx ends, then drains: no new requests, those in hand are
// answered, batches in work are finished, within the configured bound.
func (a *App) Run(ctx context.Context) error {
	drain := time.Duration(a.cfg.Worker.Drain)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http server: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := a.server.Shutdown(bound); err != nil {
			return errors.Join(fmt.Errorf("requests were cut off after %s: %w", drain, err), a.server.Close())
		}
		return nil
	})
	if a.cfg.hasRole(RoleWorker) {
		g.Go(func() error { return a.worker.Run(ctx, drain) })
		if a.azure != nil {
			g.Go(func() error { a.reconciler.Run(ctx); return nil })
			g.Go(func() error { a.backfiller.Run(ctx); return nil })
		}
		g.Go(func() error { a.watchBurials(ctx); return nil })
	} else if a.engines.embedded {
		a.log.Warn("no worker runs here, and nobody else can work on an embedded store: events are kept until a process with that role uses the folder")
	}
	if a.pull != nil {
		g.Go(func() error { return a.pull.Run(ctx) })
	}
	if a.o.Reload != nil {
		g.Go(func() error { a.rules.watch(ctx, a.o.Files, a.o.Hangup); return nil })
	}
	queue, store := a.cfg.places()
	a.log.Info("serving", zap.String("address", a.Addr().String()), zap.Strings("roles", a.cfg.Roles),
		zap.String("queue", queue), zap.String("store", store), zap.String("version", a.o.Version), zap.Int("policies", len(a.cfg.Policies)))
	err := g.Wait()
	a.log.Info("stopped")
	return errors.Join(err, a.close())
}

func (a *App) close() error {
	var errs []error
	if a.listener != nil {
		if err := a.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.engines != nil {
		errs = append(errs, a.engines.close())
	}
	return errors.Join(errs...)
}

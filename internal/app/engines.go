package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/web"
)

// engines are the two ports with what the configuration chose behind them.
type engines struct {
	queue lineage.Queue
	dead  lineage.DeadLetters
	store lineage.Store
	// sole says that nobody else can work on the store.
	sole bool
	// embedded says that something is kept in the data folder.
	embedded bool
	parts    []part
}

// Names of parts.
const (
	partQueue = "queue"
	partStore = "store"
)

// part is one backend with its lifecycle.
type part struct {
	name    string
	healthy func(context.Context) error
	close   func() error
}

// openEngines opens what the configuration names. When it fails half-way, it
// closes what it opened.
func openEngines(ctx context.Context, c *Config, creds *credentials, units *prometheus.CounterVec, log *zap.Logger) (e *engines, err error) {
	e = &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	sb, err := c.serviceBus(creds, log)
	if err != nil {
		return e, err
	}
	cdb, err := c.cosmos(creds, units, log)
	if err != nil {
		return e, err
	}
	if sb == nil || cdb == nil {
		if err := e.openEmbedded(ctx, c); err != nil {
			return e, err
		}
	}
	if sb != nil {
		e.queue, e.dead = sb.Queue(), sb.DeadLetters()
		e.parts = append(e.parts, part{partQueue, sb.Healthy, sb.Close})
	}
	if cdb != nil {
		e.store, e.sole = cdb, false
		e.parts = append(e.parts, part{partStore, cdb.Healthy, cdb.Close})
	}
	return e, nil
}

// openEmbedded opens the data folder, as queue and store; what Azure is
// configured for replaces its half.
func (e *engines) openEmbedded(ctx context.Context, c *Config) error {
	db, err := embedded.Open(ctx, embedded.Options{
		Dir: c.Data, Lease: time.Duration(c.Worker.Lease), MaxDeliveries: c.Worker.MaxDeliveries,
	})
	if err != nil {
		return err
	}
	e.queue, e.dead, e.store = db.Queue(), db.DeadLetters(), db.Store()
	e.sole, e.embedded = true, true
	name := partStore
	if c.Store.Cosmos.Endpoint != "" {
		name = partQueue
	}
	e.parts = append(e.parts, part{name, db.Healthy, db.Close})
	return nil
}

// readyTimeout bounds the question whether a part is healthy: whoever probes
// waits for a few seconds at most.
const readyTimeout = 2 * time.Second

// components are what /readyz tells of the engines. A process that only takes
// events in does not need the store.
func (e *engines) components(ctx context.Context, c *Config) []web.Component {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var asked []part
	for _, p := range e.parts {
		if p.name != partStore || c.needsStore() {
			asked = append(asked, p)
		}
	}
	out := make([]web.Component, len(asked))
	var all sync.WaitGroup
	for i, p := range asked {
		all.Go(func() {
			out[i] = web.Component{Name: p.name, OK: true}
			if err := p.healthy(ctx); err != nil {
				out[i].OK, out[i].Detail = false, err.Error()
			}
		})
	}
	all.Wait()
	return out
}

// places say where queue and store are, for the log.
func (c *Config) places() (queue, store string) {
	queue, store = "embedded in "+c.Data, "embedded in "+c.Data
	if !c.queueEmbedded() {
		queue = "Service Bus queue " + c.Queue.ServiceBus.name()
		if ns := c.Queue.ServiceBus.Namespace; ns != "" {
			queue += " at " + ns
		}
	}
	if at := c.Store.Cosmos.Endpoint; at != "" {
		store = "Cosmos DB at " + at
	}
	return queue, store
}

func (e *engines) close() error {
	var errs []error
	for _, p := range e.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// serviceBus is the configured queue; nil when it is embedded.
func (c *Config) serviceBus(creds *credentials, log *zap.Logger) (*servicebus.Client, error) {
	sb := c.Queue.ServiceBus
	connection, err := secretOf("queue.serviceBus", sb.ConnectionStringEnv, sb.ConnectionStringFile, connectionStringEnv, creds.getenv)
	if err != nil {
		return nil, err
	}
	if connection == "" && sb.Namespace == "" {
		if sb != (ServiceBusConfig{}) {
			return nil, errors.New("queue.serviceBus: the namespace is missing")
		}
		return nil, nil
	}
	if connection != "" {
		sb.Namespace = "" // the string says it
	}
	o := servicebus.Options{
		Namespace: sb.Namespace, ConnectionString: connection, Queue: sb.name(),
		Receivers: sb.Receivers, Prefetch: sb.Prefetch, MaxDeliveries: c.Worker.MaxDeliveries,
		Shrink: event.Shrink, Logger: log,
	}
	if connection == "" {
		if o.Credential, err = creds.get("queue.serviceBus"); err != nil {
			return nil, err
		}
	}
	client, err := servicebus.Open(o)
	if err != nil {
		return nil, fmt.Errorf("queue.serviceBus: %w", err)
	}
	return client, nil
}

// cosmos is the configured store; nil when it is embedded.
func (c *Config) cosmos(creds *credentials, units *prometheus.CounterVec, log *zap.Logger) (*cosmos.Store, error) {
	db := c.Store.Cosmos
	if db.Endpoint == "" {
		if db != (CosmosConfig{}) {
			return nil, errors.New("store.cosmos: the endpoint is missing")
		}
		return nil, nil
	}
	key, err := secretOf("store.cosmos", db.KeyEnv, db.KeyFile, "MODELWARDEN_COSMOS_KEY", creds.getenv)
	if err != nil {
		return nil, err
	}
	o := cosmos.Options{
		Endpoint: db.Endpoint, Key: key, Database: db.Database, Container: db.Container, Logger: log,
		Charge: func(operation string, requestUnits float64) { units.WithLabelValues(operation).Add(requestUnits) },
	}
	if key == "" {
		if o.Credential, err = creds.get("store.cosmos"); err != nil {
			return nil, err
		}
	}
	store, err := cosmos.Open(o)
	if err != nil {
		return nil, fmt.Errorf("store.cosmos: %w", err)
	}
	return store, nil
}

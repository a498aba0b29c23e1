package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/ingest"
)

// connectTimeout bounds one dependency of `check --connect`.
const connectTimeout = 15 * time.Second

// tryDependencies tries everything the configuration depends on, says how
// each went, and fails when one did.
func tryDependencies(ctx context.Context, c *Config, getenv func(string) string, out io.Writer) error {
	var errs []error
	creds := newCredentials(c.Azure, getenv)
	queue, _ := c.places()
	for _, d := range []struct {
		name string
		try  func(context.Context) error
	}{
		{"data folder " + c.Data, c.tryData},
		{"address " + c.Listen, c.tryListen},
		{"Entra ID keys", c.tryEntra},
		{queue, func(ctx context.Context) error { return c.tryServiceBus(ctx, creds) }},
		{"Cosmos DB " + c.Store.Cosmos.Endpoint, func(ctx context.Context) error { return c.tryCosmos(ctx, creds) }},
		{"Event Grid namespace " + c.Pull.Endpoint, func(ctx context.Context) error { return c.tryPull(ctx, creds) }},
		{"Event Grid topic " + c.Publish.Endpoint, func(ctx context.Context) error { return c.tryPublish(ctx, creds) }},
		{"Azure Machine Learning", func(ctx context.Context) error { return c.tryMachineLearning(ctx, creds) }},
	} {
		bound, cancel := context.WithTimeout(ctx, connectTimeout)
		err := d.try(bound)
		cancel()
		switch {
		case errors.Is(err, errNotConfigured):
			continue
		case err != nil:
			_, _ = fmt.Fprintf(out, "%s: failed: %v\n", d.name, err)
			errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
		default:
			_, _ = fmt.Fprintf(out, "%s: ok\n", d.name)
		}
	}
	return errors.Join(errs...)
}

var errNotConfigured = errors.New("not configured")

// tryData opens the embedded store, where something is kept there. One that a
// running service holds is fine.
func (c *Config) tryData(ctx context.Context) error {
	if c.allInAzure() {
		return errNotConfigured
	}
	db, err := embedded.Open(ctx, embedded.Options{Dir: c.Data})
	if errors.Is(err, embedded.ErrInUse) {
		return nil
	}
	if err != nil {
		return err
	}
	return db.Close()
}

func (c *Config) tryListen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	return l.Close()
}

func (c *Config) tryEntra(ctx context.Context) error {
	if c.Auth.Entra == nil {
		return errNotConfigured
	}
	e, err := ingest.Entra(c.Auth.Entra.options(c.Auth.Entra.Applications, c.Auth.Entra.Roles))
	if err != nil {
		return err
	}
	return e.Check(ctx)
}

// allInAzure says that nothing is kept in the data folder.
func (c *Config) allInAzure() bool { return !c.queueEmbedded() && c.Store.Cosmos.Endpoint != "" }

func (c *Config) tryServiceBus(ctx context.Context, creds *credentials) (err error) {
	client, err := c.serviceBus(creds, zap.NewNop())
	if err != nil {
		return err
	}
	if client == nil {
		return errNotConfigured
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return client.Check(ctx)
}

func (c *Config) tryCosmos(ctx context.Context, creds *credentials) (err error) {
	store, err := c.cosmos(creds, requestUnits(prometheus.NewRegistry()), zap.NewNop())
	if err != nil {
		return err
	}
	if store == nil {
		return errNotConfigured
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Check(ctx)
}

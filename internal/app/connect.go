package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/ingest"
)

// connectTimeout bounds one dependency of `check --connect`.
const connectTimeout = 15 * time.Second

// tryDependencies tries everything the configuration depends on, says how
// each went, and fails when one did.
func tryDependencies(ctx context.Context, c *Config, getenv func(string) string, out io.Writer) error {
	var errs []error
	for _, d := range []struct {
		name string
		try  func(context.Context) error
	}{
		{"data folder " + c.Data, c.tryData},
		{"address " + c.Listen, c.tryListen},
		{"Entra ID keys", c.tryEntra},
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

// tryData opens the store. One that a running service holds is fine.
func (c *Config) tryData(ctx context.Context) error {
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

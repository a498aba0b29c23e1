package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// provision creates what is missing in Cosmos DB, when the store is there.
func (c *commands) provision(ctx context.Context, cfg *Config, out io.Writer) (err error) {
	store, err := cfg.cosmos(newCredentials(cfg.Azure, c.getenv), requestUnits(prometheus.NewRegistry()), zap.NewNop())
	if err != nil || store == nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Provision(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "the database and container at", cfg.Store.Cosmos.Endpoint, "are ready")
	return nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
)

// machineLearning is the configured access to Azure Machine Learning; nil when
// there is none.
func (c *Config) machineLearning(creds *credentials, log *zap.Logger) (*ml.Client, error) {
	a := c.AzureML
	if len(a.Workspaces) == 0 {
		return nil, nil
	}
	o := ml.Options{Endpoint: a.Endpoint, Logger: log}
	if a.Tracking != "" {
		o.Tracking = func(region, workspaceID string) string {
			return strings.NewReplacer("{region}", region, "{workspace}", workspaceID).Replace(a.Tracking)
		}
	}
	if !strings.HasPrefix(a.Endpoint, "http://") {
		var err error
		if o.Credential, err = creds.get("azureML"); err != nil {
			return nil, err
		}
	}
	client, err := ml.New(o)
	if err != nil {
		return nil, fmt.Errorf("azureML: %w", err)
	}
	return client, nil
}

// tryMachineLearning reads something of every configured workspace.
func (c *Config) tryMachineLearning(ctx context.Context, creds *credentials) error {
	client, err := c.machineLearning(creds, zap.NewNop())
	if err != nil {
		return err
	}
	if client == nil {
		return errNotConfigured
	}
	parser, err := event.NewParser(c.Events.options())
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	var errs []error
	for _, ws := range c.workspaces(parser) {
		if _, _, err := client.Monitors(ctx, ws, ""); err != nil {
			errs = append(errs, fmt.Errorf("workspace %s: %w", ws.Alias, err))
		}
	}
	return errors.Join(errs...)
}

// wireAzureML makes the client and what looks after workspaces with it.
func (a *App) wireAzureML(parser *event.Parser) (err error) {
	if a.azure, err = a.cfg.machineLearning(a.creds, a.log); err != nil || a.azure == nil {
		return err
	}
	c := a.cfg.AzureML
	a.around = a.cfg.workspaces(parser)
	source, err := azureml.NewCache(a.azure, azureml.CacheOptions{RequestsPerSecond: c.RequestsPerSecond, Registerer: a.registry})
	if err != nil {
		return err
	}
	a.enricher = azureml.NewEnricher(source, func(ws event.Workspace) bool {
		return slices.ContainsFunc(a.around, func(known event.Workspace) bool { return known.ID == ws.ID })
	})
	workspaces := func() []event.Workspace { return a.around }
	a.backfiller, err = azureml.NewBackfiller(azureml.BackfillerOptions{
		Lister: a.azure, Source: a.azure, Store: a.engines.store, Queue: a.engines.queue, Parser: parser, Workspaces: workspaces,
		Lookback: time.Duration(c.Lookback), Name: randomName(), Logger: a.log, Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	deadMan, err := azureml.NewDeadMan(azureml.DeadManOptions{
		Desk: a.desk, Store: a.engines.store, Source: a.azure,
		Grace: time.Duration(c.MonitorGrace), Interval: time.Duration(c.MonitorInterval),
	})
	if err != nil {
		return err
	}
	a.reconciler, err = azureml.NewReconciler(azureml.ReconcilerOptions{
		Lister: a.azure, Source: a.azure, Store: a.engines.store, Queue: a.engines.queue, Parser: parser,
		Workspaces: workspaces, DeadMan: deadMan,
		Every: time.Duration(c.ReconcileEvery), Settle: time.Duration(c.Settle), Lookback: time.Duration(c.Lookback),
		Name: randomName(), Logger: a.log, Registerer: a.registry,
	})
	return err
}

// workspaces are the configured ones, with the aliases that events give them.
func (c *Config) workspaces(parser *event.Parser) []event.Workspace {
	var out []event.Workspace
	for _, id := range c.AzureML.Workspaces {
		if ws, ok := parser.Workspace(id); ok {
			out = append(out, ws)
		}
	}
	return out
}

// workspaceByAlias finds one of the configured workspaces.
func workspaceByAlias(all []event.Workspace) func(alias string) (event.Workspace, bool) {
	return func(alias string) (event.Workspace, bool) {
		i := slices.IndexFunc(all, func(ws event.Workspace) bool { return strings.EqualFold(ws.Alias, alias) })
		if i < 0 {
			return event.Workspace{}, false
		}
		return all[i], true
	}
}

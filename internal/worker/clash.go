package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Two workspaces of the same name, in other subscriptions or resource groups,
// have the same alias unless the configuration tells them apart: their assets
// would run into one another. The first one to appear under an alias is
// remembered; another is told to people.

// workspaceRecord is who has an alias.
type workspaceRecord struct {
	ID string `json:"id"`
}

func workspacePartition(alias string) string { return "workspace/" + alias }

// checkWorkspaces looks at the workspaces of the batch, each once per process.
func (w *Worker) checkWorkspaces(ctx context.Context, b *batch) error {
	for _, it := range b.items {
		ws := it.ev.Workspace
		if ws.ID == "" || it.finished {
			continue
		}
		err := w.opened.once("workspace/"+ws.Alias+" "+ws.ID, func() error { return w.checkWorkspace(ctx, b, ws) })
		if err != nil {
			return fmt.Errorf("workspace %s: %w", ws.Alias, err)
		}
	}
	return nil
}

func (w *Worker) checkWorkspace(ctx context.Context, b *batch, ws event.Workspace) error {
	partition := workspacePartition(ws.Alias)
	body, err := json.Marshal(workspaceRecord{ws.ID})
	if err != nil {
		return err
	}
	_, err = w.o.Store.Commit(ctx, partition, []lineage.Change{{Op: lineage.Create, Record: lineage.Record{ID: "id", Body: body}}})
	if !errors.Is(err, lineage.ErrExists) {
		return err
	}
	got, err := w.o.Store.Get(ctx, partition, "id")
	if err != nil {
		return err
	}
	var first workspaceRecord
	if err := json.Unmarshal(got[0].Body, &first); err != nil {
		return fmt.Errorf("stored id: %w", err)
	}
	if first.ID == ws.ID {
		return nil
	}
	return w.tellClash(ctx, b, partition, first.ID, ws)
}

// tellClash raises a review, once for each pair.
func (w *Worker) tellClash(ctx context.Context, b *batch, partition, first string, ws event.Workspace) error {
	now := w.o.Now().UTC()
	key := event.Digest("workspace-clash", ws.Alias, first, ws.ID)
	a := policy.Action{
		ID: policy.ActionID(key, partition), Key: key, Type: policy.Review, Target: policy.Desk, Policy: "builtin/workspace-clash",
		Asset: partition, Window: key, Cause: "workspace:" + ws.Alias, Severity: "error",
		Title: "Two workspaces share the alias " + ws.Alias,
		Reason: fmt.Sprintf("%s and %s both report as %q: assets of the same name are taken for one another. Give one of them an alias of its own in events.workspaces.",
			first, ws.ID, ws.Alias),
		Occurred: now, Created: now,
	}
	w.claim(&a, now)
	c, err := policy.ActionChange(a, "")
	if err != nil {
		return err
	}
	versions, err := w.o.Store.Commit(ctx, partition, []lineage.Change{c})
	if errors.Is(err, lineage.ErrExists) {
		return w.resume(ctx, b, a.ID)
	}
	if err != nil {
		return err
	}
	w.o.Logger.Warn("two workspaces share an alias", zap.String("alias", ws.Alias), zap.String("first", first), zap.String("second", ws.ID))
	if err := w.listNotice(ctx, a); err != nil {
		return err
	}
	return w.perform(ctx, b, a, versions[0])
}

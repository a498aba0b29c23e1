package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"
	"time"
)

// The inventory lists model versions over all partitions. It is kept by the
// workers after each commit, in shards, so that neither one partition nor one
// write order carries a whole workspace: `inventory/<workspace>/<shard>`,
// with `inventory` as the directory of workspaces.

// InventoryShards is how many partitions a workspace's inventory has. It is
// part of the stored format.
const InventoryShards = 16

// InventoryItem is one model version in the inventory.
type InventoryItem struct {
	ID         ID        `json:"id"`
	Workspace  string    `json:"workspace"`
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Stage      string    `json:"stage"`
	Owner      string    `json:"owner,omitempty"`
	Job        ID        `json:"job,omitempty"`
	Registered time.Time `json:"registered,omitzero"`
	Updated    time.Time `json:"updated"`
	// Deployments are where the version was put, newest knowledge.
	Deployments []ID `json:"deployments,omitempty"`
	// Rev is the asset document's: newer wins.
	Rev int64 `json:"rev"`
}

// Stage is the stage of a model version as its document knows it:
// "candidate" until something else is known.
func (a *Asset) Stage() string {
	if s := a.Text("stage"); s != "" {
		return s
	}
	return "candidate"
}

// InventoryOf summarises a model version's document.
func InventoryOf(a *Asset) InventoryItem {
	item := InventoryItem{
		ID: a.ID, Workspace: a.ID.Workspace(), Name: a.ID.Name(), Version: a.ID.Version(),
		Stage: a.Stage(), Owner: a.Text("owner"), Updated: a.LastSeen(), Rev: a.Rev,
	}
	if t, err := time.Parse(time.RFC3339Nano, a.Text("registered")); err == nil {
		item.Registered = t
	}
	for _, e := range a.Edges {
		switch {
		case e.Type == Produced && !e.Out:
			item.Job = e.Other
		case e.Type == Deployed && e.Out && len(item.Deployments) < 16:
			item.Deployments = append(item.Deployments, e.Other)
		}
	}
	return item
}

func inventoryPartition(workspace, name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("inventory/%s/%02d", workspace, h.Sum32()%InventoryShards)
}

// inventoryRow orders versions of one model by number where they are numbers.
func inventoryRow(name, version string) string {
	return name + "/" + strings.Repeat("0", max(0, 12-len(version))) + version
}

// UpdateInventory makes sure that the inventory knows items at their revision
// or a later one. It is idempotent and safe against older writers.
func UpdateInventory(ctx context.Context, store Store, items []InventoryItem) error {
	byPartition := map[string]map[string]InventoryItem{}
	for _, it := range items {
		p := inventoryPartition(it.Workspace, it.Name)
		if byPartition[p] == nil {
			byPartition[p] = map[string]InventoryItem{}
		}
		row := inventoryRow(it.Name, it.Version)
		if old, ok := byPartition[p][row]; !ok || old.Rev < it.Rev {
			byPartition[p][row] = it
		}
	}
	for p, rows := range byPartition {
		if err := updateShard(ctx, store, p, rows); err != nil {
			return fmt.Errorf("inventory %s: %w", p, err)
		}
	}
	return nil
}

func updateShard(ctx context.Context, store Store, partition string, rows map[string]InventoryItem) error {
	ids := make([]string, 0, len(rows))
	for id := range rows {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for len(ids) > 0 {
		take := min(len(ids), 50)
		if err := updateRows(ctx, store, partition, ids[:take], rows); err != nil {
			return err
		}
		ids = ids[take:]
	}
	return nil
}

func updateRows(ctx context.Context, store Store, partition string, ids []string, rows map[string]InventoryItem) error {
	for hopeful := allNew(ids, rows); ; hopeful = false {
		got := make([]Record, len(ids))
		if !hopeful {
			var err error
			if got, err = store.Get(ctx, partition, ids...); err != nil {
				return err
			}
		}
		changes, err := inventoryChanges(got, ids, rows)
		if err != nil || len(changes) == 0 {
			return err
		}
		_, err = store.Commit(ctx, partition, changes)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExists) {
			return err
		}
	}
}

// allNew says whether nothing but first revisions is to be written: their rows
// do not exist, unless this is a repeat.
func allNew(ids []string, rows map[string]InventoryItem) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return rows[id].Rev != 1 })
}

func inventoryChanges(got []Record, ids []string, rows map[string]InventoryItem) ([]Change, error) {
	var changes []Change
	for i, id := range ids {
		item := rows[id]
		c := Change{Op: Create, Record: Record{ID: id}}
		if got[i].Version != "" {
			var old InventoryItem
			if err := json.Unmarshal(got[i].Body, &old); err != nil {
				return nil, fmt.Errorf("row %s: %w", id, err)
			}
			if old.Rev >= item.Rev {
				continue
			}
			c = Change{Op: Replace, Record: Record{ID: id, Version: got[i].Version}}
		}
		body, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		c.Record.Body = body
		changes = append(changes, c)
	}
	return changes, nil
}

// OpenInventory makes sure that the directory lists the workspace.
func OpenInventory(ctx context.Context, store Store, workspace string) error {
	_, err := store.Commit(ctx, "inventory", []Change{{Op: Upsert, Record: Record{ID: workspace, Body: []byte("{}")}}})
	return err
}

// Workspaces lists the workspaces of the inventory.
func Workspaces(ctx context.Context, store Store) ([]string, error) {
	var out []string
	q := Query{Partition: "inventory", Limit: 1000}
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			out = append(out, r.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out, nil
		}
	}
}

// ModelFilter selects model versions; an empty field selects all. Text is
// looked for in name, version and owner, without case.
type ModelFilter struct{ Workspace, Stage, Text string }

func (f ModelFilter) holds(it InventoryItem) bool {
	if f.Stage != "" && it.Stage != f.Stage {
		return false
	}
	if f.Text == "" {
		return true
	}
	q := strings.ToLower(f.Text)
	return strings.Contains(strings.ToLower(it.Name+"/"+it.Version+" "+it.Owner), q)
}

// ListModels pages through the inventory, by workspace and shard, models of
// one shard by name and version. At most limit items come back; next is "" at
// the end.
func ListModels(ctx context.Context, store Store, f ModelFilter, cursor string, limit int) (items []InventoryItem, next string, err error) {
	workspaces := []string{f.Workspace}
	if f.Workspace == "" {
		if workspaces, err = Workspaces(ctx, store); err != nil {
			return nil, "", err
		}
	}
	at, err := parseInventoryCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	for _, ws := range workspaces {
		if ws < at.workspace {
			continue
		}
		if ws != at.workspace {
			at = inventoryCursor{workspace: ws}
		}
		for ; at.shard < InventoryShards; at = (inventoryCursor{workspace: ws, shard: at.shard + 1}) {
			if items, next, err = listShard(ctx, store, f, at, limit, items); err != nil || next != "" {
				return items, next, err
			}
		}
	}
	return items, "", nil
}

func listShard(ctx context.Context, store Store, f ModelFilter, at inventoryCursor, limit int, items []InventoryItem) ([]InventoryItem, string, error) {
	q := Query{Partition: fmt.Sprintf("inventory/%s/%02d", at.workspace, at.shard), From: at.row, Limit: 500}
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, "", err
		}
		for _, r := range page.Records {
			if len(items) >= limit {
				at.row = r.ID
				return items, at.String(), nil
			}
			var it InventoryItem
			if err := json.Unmarshal(r.Body, &it); err != nil {
				return nil, "", fmt.Errorf("inventory row %s: %w", r.ID, err)
			}
			if f.holds(it) {
				items = append(items, it)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return items, "", nil
		}
	}
}

type inventoryCursor struct {
	workspace string
	shard     int
	row       string
}

func (c inventoryCursor) String() string {
	return fmt.Sprintf("%s|%d|%s", c.workspace, c.shard, c.row)
}

func parseInventoryCursor(s string) (c inventoryCursor, err error) {
	if s == "" {
		return c, nil
	}
	parts := strings.SplitN(s, "|", 3)
	if len(parts) != 3 {
		return c, ErrBadCursor
	}
	c.workspace, c.row = parts[0], parts[2]
	if _, err := fmt.Sscanf(parts[1], "%d", &c.shard); err != nil || c.shard < 0 || c.shard >= InventoryShards {
		return c, ErrBadCursor
	}
	return c, nil
}

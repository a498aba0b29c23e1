package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// list adds the batch to what pages and commands list: journals of events,
// decisions, actions and quarantine, and the inventory of models.
func (w *Worker) list(ctx context.Context, b *batch) {
	if err := w.listAll(ctx, b); err != nil {
		for _, j := range b.jobs {
			j.fail(err)
		}
	}
}

// lines are the entries for one page.
type lines struct {
	events, decisions, actions []lineage.JournalEntry
	// seen are the events that are on it: a batch may hold one more than once.
	seen map[string]bool
}

func (w *Worker) listAll(ctx context.Context, b *batch) error {
	pages := map[string]*lines{}
	for _, it := range b.items {
		page := it.page()
		if it.finished || page == "" || it.job.failure() != nil {
			continue
		}
		if pages[page] == nil {
			pages[page] = &lines{seen: map[string]bool{}}
		}
		if err := w.addLines(ctx, pages[page], it); err != nil {
			return err
		}
	}
	for page, l := range pages {
		if err := w.appendLines(ctx, page, l); err != nil {
			return err
		}
	}
	if err := w.listQuarantine(ctx, b); err != nil {
		return err
	}
	if err := w.checkWorkspaces(ctx, b); err != nil {
		return err
	}
	return w.listModels(ctx, b)
}

func (w *Worker) addLines(ctx context.Context, l *lines, it *item) error {
	e := it.entry
	if l.seen[e.ID] {
		return nil
	}
	l.seen[e.ID] = true
	decisions, actions, err := w.toList(ctx, it)
	if err != nil {
		return err
	}
	if it.later == nil {
		l.addEvent(it)
	}
	for _, d := range decisions {
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		l.decisions = append(l.decisions, lineage.JournalEntry{Key: e.ID + "/" + d.Policy + "/" + d.Signal, Body: body})
	}
	for _, id := range actions {
		body, err := json.Marshal(map[string]any{"id": id, "created": e.Committed})
		if err != nil {
			return err
		}
		l.actions = append(l.actions, lineage.JournalEntry{Key: id, Body: body})
	}
	return nil
}

// toList are the decisions and actions that belong on an item's page: all of
// an event's, of an enrichment those that it brought.
func (w *Worker) toList(ctx context.Context, it *item) ([]policy.Decision, []string, error) {
	decisions, actions := it.decisions, it.entry.Actions
	if !it.fresh && it.entry.Decisions > 0 {
		var err error
		if decisions, err = policy.DecisionsOn(ctx, w.o.Store, it.entry.ID); err != nil {
			return nil, nil, err
		}
	}
	if n := it.entry.Enrichment; n != nil {
		elsewhere := it.later == nil // is where what enrichment brought is listed
		decisions = slices.DeleteFunc(slices.Clone(decisions), func(d policy.Decision) bool { return slices.Contains(n.Policies, d.Policy) == elsewhere })
		actions = slices.DeleteFunc(slices.Clone(actions), func(id string) bool { return slices.Contains(n.Actions, id) == elsewhere })
	}
	return decisions, actions, nil
}

func (l *lines) addEvent(it *item) {
	e := it.entry
	line := lineage.EventLine{
		Key: e.ID, ID: it.ev.ID, Kind: e.Kind, Asset: e.Asset, Workspace: e.Workspace, Type: it.ev.Type,
		Subject: it.ev.Subject, Time: it.ev.Time.UTC(), Received: e.Received, Committed: e.Committed,
		Decisions: e.Decisions, Actions: len(e.Actions), Breaches: e.Breaches,
	}
	l.events = append(l.events, lineage.JournalEntry{Key: e.ID, Body: line.AppendJSON(nil)})
}

func (w *Worker) appendLines(ctx context.Context, page string, l *lines) error {
	for _, part := range []struct {
		journal lineage.Journal
		entries []lineage.JournalEntry
	}{
		{lineage.EventJournal, l.events}, {lineage.DecisionJournal, l.decisions}, {lineage.ActionJournal, l.actions},
	} {
		if err := w.appendJournal(ctx, part.journal, page, part.entries); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) appendJournal(ctx context.Context, j lineage.Journal, page string, entries []lineage.JournalEntry) error {
	if len(entries) == 0 {
		return nil
	}
	day, _, _ := strings.Cut(page, "T")
	err := w.opened.once(j.Name+"/"+day, func() error { return j.Open(ctx, w.o.Store, page) })
	if err != nil {
		return err
	}
	return j.Append(ctx, w.o.Store, page, entries)
}

func (w *Worker) listQuarantine(ctx context.Context, b *batch) error {
	pages := map[string][]lineage.JournalEntry{}
	seen := map[string]bool{}
	for _, j := range b.jobs {
		for _, q := range j.quarantine {
			if q.stored.ID == "" || seen[q.stored.ID] {
				continue
			}
			seen[q.stored.ID] = true
			body, err := json.Marshal(q.stored)
			if err != nil {
				return err
			}
			pages[q.stored.Page] = append(pages[q.stored.Page], lineage.JournalEntry{Key: q.stored.ID, Body: body})
		}
	}
	for page, entries := range pages {
		if err := w.appendJournal(ctx, lineage.QuarantineJournal, page, entries); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) listModels(ctx context.Context, b *batch) error {
	items := make([]lineage.InventoryItem, 0, len(b.inventory))
	for _, it := range b.inventory {
		items = append(items, it)
		err := w.opened.once("inventory/"+it.Workspace, func() error { return lineage.OpenInventory(ctx, w.o.Store, it.Workspace) })
		if err != nil {
			return err
		}
	}
	if err := lineage.UpdateInventory(ctx, w.o.Store, items); err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	return nil
}

// openedDirectories remembers which directory records this process has made
// sure of.
type openedDirectories struct {
	mu   sync.Mutex
	done map[string]bool
}

// once runs open, which is idempotent, unless it has succeeded before.
func (o *openedDirectories) once(name string, open func() error) error {
	o.mu.Lock()
	done := o.done[name]
	o.mu.Unlock()
	if done {
		return nil
	}
	if err := open(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done == nil || len(o.done) > 10_000 {
		o.done = map[string]bool{}
	}
	o.done[name] = true
	return nil
}

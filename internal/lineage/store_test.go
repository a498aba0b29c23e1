package lineage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

func openStore(t *testing.T) lineage.Store {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Store()
}

// put stores what a world knows.
func (w *world) put(t *testing.T, store lineage.Store) {
	t.Helper()
	for id, a := range w.assets {
		changes := []lineage.Change{{Op: lineage.Upsert, Record: lineage.Record{ID: lineage.AssetRecord, Body: a.AppendJSON(nil)}}}
		commit(t, store, string(id), changes)
		for _, e := range w.edges[id] {
			body, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			commit(t, store, string(id), []lineage.Change{{Op: lineage.Upsert, Record: lineage.Record{ID: e.RecordID(), Body: body}}})
		}
	}
}

func commit(t *testing.T, store lineage.Store, partition string, changes []lineage.Change) {
	t.Helper()
	if _, err := store.Commit(t.Context(), partition, changes); err != nil {
		t.Fatal(err)
	}
}

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func happen(w *world, minute int, ev event.Event) {
	ev.Workspace.Alias = "ws"
	ev.Envelope = event.Envelope{ID: fmt.Sprint(minute, ev.Kind), Source: "s", Type: string(ev.Kind), Time: at(minute)}
	w.apply(&ev)
}

// churnWorld is data → job → churn/1 → blue → ep, then churn/2 in its place.
func churnWorld() *world {
	w := newWorld()
	for v, minute := range map[string]int{"1": 0, "2": 20} {
		happen(w, minute, event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "job" + v, Status: "Completed", Inputs: []event.DataRef{{Name: "data", Version: v}}}})
		happen(w, minute+1, event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "churn", Version: v, Job: "job" + v}})
		happen(w, minute+2, event.Event{Kind: event.ModelDeployed, Deployment: &event.Deployment{Endpoint: "ep", Name: "blue", Models: []event.ModelRef{{Name: "churn", Version: v}}}})
	}
	happen(w, 10, event.Event{Kind: event.MonitorPassed, Monitor: &event.Monitor{Name: "mon", Model: "churn", Window: "w1"}})
	return w
}

func arcs(g *lineage.Graph) []string {
	var out []string
	for _, e := range g.Edges {
		s := fmt.Sprintf("%s -%s-> %s", e.From, e.Type, e.To)
		if !e.Until.IsZero() {
			s += " until " + e.Until.Format("15:04")
		}
		out = append(out, s)
	}
	return out
}

func TestWalk(t *testing.T) {
	store := openStore(t)
	churnWorld().put(t, store)
	for name, c := range map[string]struct {
		root lineage.ID
		o    lineage.WalkOptions
		want []string
	}{
		"up from the endpoint": {"endpoint/ws/ep", lineage.WalkOptions{Direction: lineage.Up}, []string{
			"data/ws/data/1 -input-> job/ws/job1",
			"data/ws/data/2 -input-> job/ws/job2",
			"deployment/ws/ep/blue -serves-> endpoint/ws/ep",
			"job/ws/job1 -produced-> model/ws/churn/1",
			"job/ws/job2 -produced-> model/ws/churn/2",
			"model/ws/churn/1 -deployed-> deployment/ws/ep/blue until 09:22",
			"model/ws/churn/1 -superseded_by-> model/ws/churn/2",
			"model/ws/churn/2 -deployed-> deployment/ws/ep/blue",
			"monitor/ws/mon -watches-> model/ws/churn/2",
		}},
		"down from the data": {"data/ws/data/2", lineage.WalkOptions{Direction: lineage.Down}, []string{
			"data/ws/data/2 -input-> job/ws/job2",
			"deployment/ws/ep/blue -serves-> endpoint/ws/ep",
			"job/ws/job2 -produced-> model/ws/churn/2",
			"model/ws/churn/2 -deployed-> deployment/ws/ep/blue",
			"monitor/ws/mon -watches-> model/ws/churn/2",
		}},
		"as it was before the second version": {"endpoint/ws/ep", lineage.WalkOptions{Direction: lineage.Up, AsOf: at(5)}, []string{
			"data/ws/data/1 -input-> job/ws/job1",
			"deployment/ws/ep/blue -serves-> endpoint/ws/ep",
			"job/ws/job1 -produced-> model/ws/churn/1",
			"model/ws/churn/1 -deployed-> deployment/ws/ep/blue",
		}},
		"the model as such means the version that serves": {"model/ws/churn", lineage.WalkOptions{Direction: lineage.Up, Depth: 1}, []string{
			"job/ws/job2 -produced-> model/ws/churn/2",
			"monitor/ws/mon -watches-> model/ws/churn/2",
		}},
		"from the monitor": {"monitor/ws/mon", lineage.WalkOptions{Direction: lineage.Down, Depth: 1}, []string{
			"monitor/ws/mon -watches-> model/ws/churn/2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := lineage.Walk(t.Context(), store, c.root, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := arcs(g); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	if _, err := lineage.Walk(t.Context(), store, "model/ws/nobody/1", lineage.WalkOptions{}); !errors.Is(err, lineage.ErrNotFound) {
		t.Errorf("an unknown asset: %v", err)
	}
}

func TestWalkEndsInCyclesAndSaysWhenItWasCut(t *testing.T) {
	store := openStore(t)
	w := newWorld()
	for i := range 300 {
		happen(w, i, event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: fmt.Sprint("job", i), Inputs: []event.DataRef{{Name: "data", Version: "1"}}}})
	}
	// A model trained by the job that it retrains: a cycle by hand.
	happen(w, 400, event.Event{Kind: event.ModelRegistered, Model: &event.Model{Name: "m", Version: "1", Job: "job0"}})
	happen(w, 401, event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: "job0", Tags: map[string]string{lineage.ModelTag: "model/ws/m/1"}}})
	w.put(t, store)
	g, err := lineage.Walk(t.Context(), store, "data/ws/data/1", lineage.WalkOptions{Direction: lineage.Both})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 302 || g.Truncated {
		t.Errorf("%d nodes (want 302: fan-out beyond one document), truncated %v", len(g.Nodes), g.Truncated)
	}
	g, err = lineage.Walk(t.Context(), store, "data/ws/data/1", lineage.WalkOptions{Direction: lineage.Down, MaxNodes: 50})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 50 || !g.Truncated || !g.Nodes[0].More {
		t.Errorf("%d nodes, truncated %v, more %v", len(g.Nodes), g.Truncated, g.Nodes[0].More)
	}
}

func TestAnyFanOutCanBeReadPageByPage(t *testing.T) {
	store := openStore(t)
	w := newWorld()
	for i := range 300 {
		happen(w, i, event.Event{Kind: event.JobCompleted, Run: &event.Run{ID: fmt.Sprint("job", i), Inputs: []event.DataRef{{Name: "data", Version: "1"}}}})
	}
	w.put(t, store)
	for _, size := range []int{7, 64, 301} {
		seen := map[ID]bool{}
		for cursor, pages := "", 0; ; pages++ {
			g, err := lineage.Walk(t.Context(), store, "data/ws/data/1", lineage.WalkOptions{Direction: lineage.Down, Depth: 1, MaxNodes: size, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range g.Edges {
				if seen[e.To] {
					t.Fatalf("by %d: %s comes twice", size, e.To)
				}
				seen[e.To] = true
			}
			if cursor = g.NextCursor; cursor == "" {
				break
			}
			if pages > 400 {
				t.Fatal("paging does not end")
			}
		}
		if len(seen) != 300 {
			t.Errorf("by %d: %d edges, want 300", size, len(seen))
		}
	}
	if _, err := lineage.Walk(t.Context(), store, "data/ws/data/1", lineage.WalkOptions{Cursor: "x"}); !errors.Is(err, lineage.ErrBadCursor) {
		t.Errorf("a bad cursor: %v", err)
	}
}

// ID is short for lineage.ID.
type ID = lineage.ID

func TestJournalListsEachEntryOnce(t *testing.T) {
	store, j := openStore(t), lineage.EventJournal
	var want []string
	for day := range 3 {
		for n := range 4 {
			when := start.AddDate(0, 0, day).Add(time.Duration(n) * time.Minute)
			page := lineage.PageID(when, "w", uint64(n))
			if err := j.Open(t.Context(), store, page); err != nil {
				t.Fatal(err)
			}
			var entries []lineage.JournalEntry
			for i := range 300 {
				k := fmt.Sprintf("%d-%d-%03d", day, n, i)
				want = append(want, k)
				entries = append(entries, lineage.JournalEntry{Key: k, Body: []byte(`{}`)})
			}
			// Two workers append the same, and one of them twice.
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if err := errors.Join(j.Append(t.Context(), store, page, entries), j.Append(t.Context(), store, page, entries[:5])); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
		}
	}
	slices.Sort(want)
	for _, limit := range []int{1000, 7, 300} {
		got := listAll(t, store, j, limit)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d entries, want %d, each once", limit, len(got), len(want))
		}
	}
	if _, err := j.List(t.Context(), store, lineage.Span{}, "nonsense", 5, nil); !errors.Is(err, lineage.ErrBadCursor) {
		t.Errorf("a bad cursor: %v", err)
	}
}

func listAll(t *testing.T, store lineage.Store, j lineage.Journal, limit int) (keys []string) {
	t.Helper()
	for cursor := ""; ; {
		next, err := j.List(t.Context(), store, lineage.Span{}, cursor, limit, func(e lineage.JournalEntry) (bool, error) {
			keys = append(keys, e.Key)
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if cursor = next; cursor == "" {
			return keys
		}
	}
}

func TestInventoryKeepsTheNewestAndPages(t *testing.T) {
	store := openStore(t)
	item := func(ws, name, version, stage string, rev int64) lineage.InventoryItem {
		return lineage.InventoryItem{ID: lineage.NewID(lineage.Model, ws, name, version), Workspace: ws, Name: name, Version: version, Stage: stage, Rev: rev}
	}
	var items []lineage.InventoryItem
	for _, ws := range []string{"a", "b"} {
		if err := lineage.OpenInventory(t.Context(), store, ws); err != nil {
			t.Fatal(err)
		}
		for i := range 120 {
			items = append(items, item(ws, fmt.Sprint("m", i%30), fmt.Sprint(i), "candidate", 1))
		}
	}
	for _, update := range [][]lineage.InventoryItem{items, {item("a", "m0", "0", "deployed", 3)}, {item("a", "m0", "0", "candidate", 2)}} {
		if err := lineage.UpdateInventory(t.Context(), store, update); err != nil {
			t.Fatal(err)
		}
	}
	for filter, want := range map[lineage.ModelFilter]int{
		{}: 240, {Workspace: "a"}: 120, {Stage: "deployed"}: 1, {Text: "m29"}: 8, {Workspace: "nowhere"}: 0,
	} {
		for _, limit := range []int{1, 50, 500} {
			if got := countModels(t, store, filter, limit); got != want {
				t.Errorf("%+v by %d: %d models, want %d", filter, limit, got, want)
			}
		}
	}
}

func countModels(t *testing.T, store lineage.Store, f lineage.ModelFilter, limit int) int {
	t.Helper()
	seen := map[lineage.ID]bool{}
	for cursor := ""; ; {
		items, next, err := lineage.ListModels(t.Context(), store, f, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) > limit {
			t.Fatalf("%d items, limit %d", len(items), limit)
		}
		for _, it := range items {
			if seen[it.ID] {
				t.Errorf("%s comes twice", it.ID)
			}
			seen[it.ID] = true
		}
		if cursor = next; cursor == "" {
			return len(seen)
		}
	}
}

func TestQuarantineKeepsLargeBodiesWhole(t *testing.T) {
	store := openStore(t)
	body := []byte(strings.Repeat("x\xff", 3<<19))
	m := lineage.Message{Body: body, Properties: map[string]string{"a": "b"}}
	p := event.Problem{Reason: "not_json", Detail: "because"}
	first, err := lineage.Quarantine(t.Context(), store, m, p, start, "page1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := lineage.Quarantine(t.Context(), store, m, p, start.Add(time.Hour), "page2")
	if err != nil || again.ID != first.ID || again.Page != "page1" {
		t.Errorf("the same message became %s and %s (%v)", first.ID, again.ID, err)
	}
	q, got, err := lineage.GetQuarantined(t.Context(), store, first.ID)
	if err != nil || string(got) != string(body) || q.Reason != "not_json" || q.Size != len(body) {
		t.Errorf("read back %d bytes of %d, %+v, %v", len(got), len(body), q.Reason, err)
	}
	if _, _, err := lineage.GetQuarantined(context.Background(), store, "nobody@2026-01-01"); !errors.Is(err, lineage.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

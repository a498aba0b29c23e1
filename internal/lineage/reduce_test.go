package lineage_test

import (
	"encoding/json"
	"fmt"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// world applies patches to assets the way a worker does, without a store.
type world struct {
	assets map[lineage.ID]*lineage.Asset
	edges  map[lineage.ID]map[string]lineage.Edge
}

func newWorld() *world {
	return &world{assets: map[lineage.ID]*lineage.Asset{}, edges: map[lineage.ID]map[string]lineage.Edge{}}
}

func (w *world) apply(ev *event.Event) {
	for _, p := range lineage.Patches(ev) {
		a := w.assets[p.Asset]
		if a == nil {
			a = &lineage.Asset{}
			w.assets[p.Asset] = a
		}
		_, overflow := a.Apply(p)
		for _, e := range overflow {
			if w.edges[p.Asset] == nil {
				w.edges[p.Asset] = map[string]lineage.Edge{}
			}
			w.edges[p.Asset][e.RecordID()] = lineage.JoinEdge(w.edges[p.Asset][e.RecordID()], e)
		}
	}
}

// snapshot writes the whole lineage; which edges happened to fit a document
// is not part of it.
func (w *world) snapshot(t interface{ Fatalf(string, ...any) }) string {
	ids := make([]string, 0, len(w.assets))
	for id := range w.assets {
		ids = append(ids, string(id))
	}
	sort.Strings(ids)
	out := ""
	for _, id := range ids {
		a := *w.assets[lineage.ID(id)]
		edges := map[string]string{}
		for _, e := range a.Edges {
			b, _ := e.Since.MarshalText()
			edges[e.RecordID()] = string(b)
		}
		for _, e := range w.edges[a.ID] {
			b, _ := e.Since.MarshalText()
			edges[e.RecordID()] = string(b)
		}
		a.Edges, a.Overflow = nil, false
		b, err := json.Marshal(struct {
			A lineage.Asset
			E map[string]string
		}{a, edges})
		if err != nil {
			t.Fatalf("marshal %s: %v", id, err)
		}
		out += string(b) + "\n"
	}
	return out
}

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// anyEvent draws an event over few names and few times, so that events
// collide: on assets, on fields, and on event time.
func anyEvent(t *rapid.T) *event.Event {
	name := func(label string) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label) }
	ev := &event.Event{Workspace: event.Workspace{Alias: "ws"}}
	ev.ID, ev.Source, ev.Type = rapid.StringMatching(`[0-9]{1,4}`).Draw(t, "id"), "src", "type"
	ev.Time = start.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "second")) * time.Second)
	switch rapid.IntRange(0, 4).Draw(t, "shape") {
	case 0:
		ev.Kind = event.ModelRegistered
		ev.Model = &event.Model{Name: name("model"), Version: name("version"), Job: name("job"), Tags: map[string]string{"owner": name("owner")}}
	case 1:
		ev.Kind = event.ModelDeployed
		ev.Deployment = &event.Deployment{Endpoint: name("endpoint"), Name: name("deployment"), Models: []event.ModelRef{{Name: name("model"), Version: name("version")}}}
	case 2:
		ev.Kind = event.JobCompleted
		ev.Run = &event.Run{ID: name("job"), Status: name("status"), Inputs: []event.DataRef{{Name: name("data"), Version: name("dataversion")}}}
	case 3:
		v := rapid.Float64Range(0, 1).Draw(t, "value")
		ev.Kind = event.MonitorBreached
		ev.Monitor = &event.Monitor{Name: name("monitor"), Model: name("model"), Window: name("window")}
		ev.Run = &event.Run{ID: name("run")}
		ev.Breaches = []event.Breach{{Signal: name("signal"), Value: &v}}
	default:
		ev.Kind = event.MonitorPassed
		ev.Monitor = &event.Monitor{Name: name("monitor"), Model: name("model"), Window: name("window")}
	}
	// An event's identity fixes its content: the id is derived from both.
	body, _ := json.Marshal(ev)
	ev.ID = event.Digest(string(body))
	return ev
}

// enrich is what Azure Machine Learning says of an event, the same each time:
// what the event did not say, and some of what it did in other words.
func enrich(ev *event.Event) *event.Event {
	out := *ev
	out.Enriched = true
	facts := map[string]string{"environment": ev.ID[:2]}
	switch {
	case ev.Model != nil:
		m := *ev.Model
		m.Run = &event.Run{ID: m.Job, Status: "Completed", Facts: facts, Inputs: []event.DataRef{{Name: "a", Version: ev.ID[:1]}}}
		out.Model = &m
	case ev.Deployment != nil:
		d := *ev.Deployment
		d.Traffic = map[string]int{d.Name: len(ev.ID)}
		out.Deployment = &d
	case ev.Monitor != nil:
		m := *ev.Monitor
		m.Schedule = &event.Schedule{Endpoint: ev.ID[:1], Signals: []event.Signal{{Name: "s"}}}
		out.Monitor = &m
		if len(ev.Breaches) > 0 {
			out.Breaches = append(ev.Breaches[:1:1], event.Breach{Signal: ev.Breaches[0].Signal, Feature: ev.ID[:1]})
		}
	case ev.Run != nil:
		r := *ev.Run
		r.Facts, r.Metrics = facts, map[string]float64{"accuracy": float64(ev.ID[0])}
		out.Run = &r
	}
	return &out
}

// TestEnrichedEventsAreOrderFreeToo mixes events with what enrichment made of
// them.
func TestEnrichedEventsAreOrderFreeToo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var history []*event.Event
		for _, ev := range rapid.SliceOfN(rapid.Custom(anyEvent), 1, 30).Draw(t, "history") {
			history = append(history, ev, enrich(ev))
		}
		straight, shuffled := newWorld(), newWorld()
		for _, ev := range history {
			straight.apply(ev)
		}
		repeated := append(history, rapid.SliceOf(rapid.SampledFrom(history)).Draw(t, "repeats")...)
		for _, ev := range rapid.Permutation(repeated).Draw(t, "order") {
			shuffled.apply(ev)
		}
		if a, b := straight.snapshot(t), shuffled.snapshot(t); a != b {
			t.Fatalf("straight:\n%s\nshuffled:\n%s", a, b)
		}
	})
}

// TestEnrichmentComesRightAfterItsEvent holds the order of stamps: it replaces
// what the event said by itself and nothing that a later event says.
func TestEnrichmentComesRightAfterItsEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyEvent(t), anyEvent(t)
		own, later := lineage.StampOf(a), lineage.StampOf(enrich(a))
		if own.Compare(later) >= 0 || a.Key() != enrich(a).Key() {
			t.Fatalf("%v is not before %v", own, later)
		}
		if other := lineage.StampOf(b); own.Compare(other) < 0 && later.Compare(other) >= 0 {
			t.Fatalf("%v lies between %v and %v", other, own, later)
		}
	})
}

func TestAnyOrderAndRepetitionGivesTheSameLineage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.SliceOfN(rapid.Custom(anyEvent), 1, 40).Draw(t, "history")
		straight := newWorld()
		for _, ev := range history {
			straight.apply(ev)
		}
		shuffled := newWorld()
		repeated := append(history, rapid.SliceOf(rapid.SampledFrom(history)).Draw(t, "repeats")...)
		for _, ev := range rapid.Permutation(repeated).Draw(t, "order") {
			shuffled.apply(ev)
		}
		if a, b := straight.snapshot(t), shuffled.snapshot(t); a != b {
			t.Fatalf("straight:\n%s\nshuffled:\n%s", a, b)
		}
	})
}

func TestManyEdgesAndMembersAreOrderFree(t *testing.T) {
	history := make([]*event.Event, 200)
	for i := range history {
		ev := &event.Event{Kind: event.ModelDeployed, Workspace: event.Workspace{Alias: "ws"}}
		ev.ID, ev.Time = fmt.Sprint(i), start.Add(time.Duration(i*37%200)*time.Second)
		ev.Deployment = &event.Deployment{Endpoint: "ep", Name: "blue", Models: []event.ModelRef{{Name: "m", Version: fmt.Sprint(i)}}}
		history[i] = ev
	}
	forth, back := newWorld(), newWorld()
	for i := range history {
		forth.apply(history[i])
		back.apply(history[len(history)-1-i])
	}
	if forth.snapshot(t) != back.snapshot(t) {
		t.Fatal("the order of 200 deployments changed what is known")
	}
	d := forth.assets["deployment/ws/ep/blue"]
	if served := d.ServedHistory(); len(served) != 64 || served[63].Since != start.Add(199*time.Second) {
		t.Fatalf("want the newest 64 entries of what was served, got %d ending %v", len(served), served[len(served)-1].Since)
	}
	if got := len(d.Edges) + len(forth.edges[d.ID]); got != 201 {
		t.Fatalf("want 200 models and the endpoint as edges, got %d", got)
	}
}

func TestOlderNewsNeverOverwritesNewer(t *testing.T) {
	w := newWorld()
	at := func(second int, status string) *event.Event {
		ev := &event.Event{Kind: event.JobStatus, Workspace: event.Workspace{Alias: "ws"}, Run: &event.Run{ID: "r", Status: status}}
		ev.ID, ev.Time = status, start.Add(time.Duration(second)*time.Second)
		return ev
	}
	w.apply(at(5, "Completed"))
	w.apply(at(1, "Running"))
	job := w.assets["job/ws/r"]
	if job.Text("status") != "Completed" {
		t.Fatalf("status is %q after an older event came late", job.Text("status"))
	}
	if !job.First.At.Equal(start.Add(time.Second)) || !job.Last.At.Equal(start.Add(5*time.Second)) {
		t.Fatalf("span is %v to %v", job.First.At, job.Last.At)
	}
}

func TestIDsSurviveHostileNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 40, 200).Draw(t, "name")
		id := lineage.NewID(lineage.Model, "ws", name, "1")
		back, err := lineage.ParseID(string(id))
		if err != nil || back != id || back.Name() != name || back.Version() != "1" {
			t.Fatalf("%q became %q (%v)", name, back, err)
		}
	})
}

func TestARepeatChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, ev := newWorld(), anyEvent(t)
		w.apply(ev)
		for _, p := range lineage.Patches(ev) {
			if changed, _ := w.assets[p.Asset].Apply(p); changed {
				t.Fatalf("the same event again changed %s", p.Asset)
			}
		}
	})
}

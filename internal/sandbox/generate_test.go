package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// TestHistoriesAreConsistent generates histories of any shape and replays
// each model's in order: nothing comes before what caused it.
func TestHistoriesAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := sandbox.GenOptions{
			Seed:          rapid.Int64().Draw(t, "seed"),
			Events:        rapid.IntRange(0, 400).Draw(t, "events"),
			Assets:        rapid.IntRange(1, 5).Draw(t, "assets"),
			DuplicateRate: rapid.Float64Range(0, 0.5).Draw(t, "duplicates"),
			Interval:      time.Duration(rapid.IntRange(1, 1e6).Draw(t, "interval")),
			Schema:        rapid.SampledFrom([]sandbox.Schema{sandbox.EventGrid, sandbox.CloudEvents}).Draw(t, "schema"),
			Mix: sandbox.Mix{
				RunStatus: rapid.IntRange(0, 5).Draw(t, "status"), ModelDeployed: rapid.IntRange(0, 5).Draw(t, "deployed"),
				Breach: rapid.IntRange(0, 5).Draw(t, "breach"), Pass: rapid.IntRange(0, 5).Draw(t, "pass"), Drift: 1,
			},
		}
		h := history{ids: map[string]bool{}, ended: map[string]bool{}, models: map[string]bool{}, deployed: map[string]bool{}, steps: map[string]int{}}
		for e := range sandbox.Generate(o) {
			h.add(t, e)
		}
		if len(h.ids) != o.Events {
			t.Fatalf("got %d distinct events, want %d", len(h.ids), o.Events)
		}
	})
}

type history struct {
	last                         time.Time
	ids, ended, models, deployed map[string]bool
	steps                        map[string]int
}

func (h *history) add(t *rapid.T, e sandbox.Generated) {
	var body map[string]any
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, e.Body)
	}
	if body["id"] != e.ID || e.Duplicate != h.ids[e.ID] {
		t.Fatalf("id %s, duplicate %v: %s", e.ID, e.Duplicate, e.Body)
	}
	if e.Duplicate {
		return
	}
	h.ids[e.ID] = true
	if !e.Time.After(h.last) {
		t.Fatalf("time does not rise: %v after %v", e.Time, h.last)
	}
	h.last = e.Time
	h.replay(t, typeOf(body), dataOf(body))
}

func (h *history) replay(t *rapid.T, kind string, data map[string]any) {
	run, _ := data["runId"].(string)
	tag := at(data, "runTags", sandbox.BreachTag)
	switch {
	case tag != nil:
		if h.steps[run]++; h.steps[run] > 2 || (kind == "RunCompleted") != (h.steps[run] == 2) {
			t.Fatalf("step %s: %s as event number %d", run, kind, h.steps[run])
		}
	case kind == "RunStatusChanged" || kind == "RunCompleted":
		if h.ended[run] {
			t.Fatalf("run %s goes on after its end", run)
		}
		h.ended[run] = kind == "RunCompleted" || data["runStatus"] == "Failed"
	case kind == "ModelRegistered":
		if made := at(data, "modelProperties", "azureml.runId").(string); !h.ended[made] {
			t.Fatalf("model of the unfinished run %s", made)
		}
		h.models[fmt.Sprint(data["modelName"], ":", data["modelVersion"])] = true
	case kind == "ModelDeployed":
		id := data["modelIds"].(string)
		if !h.models[id] || h.deployed[id] {
			t.Fatalf("deployed %s: registered %v, deployed before %v", id, h.models[id], h.deployed[id])
		}
		h.deployed[id] = true
	}
}

func TestGenerateFollowsItsOptions(t *testing.T) {
	generate := func(o sandbox.GenOptions) (out [][]byte) {
		for e := range sandbox.Generate(o) {
			out = append(out, slices.Clone(e.Body))
		}
		return out
	}
	o := sandbox.GenOptions{Seed: 5, Events: 2000, Assets: 20, DuplicateRate: 0.1}
	a := generate(o)
	if !slices.EqualFunc(a, generate(o), bytes.Equal) {
		t.Error("the same options gave another history")
	}
	if n := len(a) - 2000; n < 120 || n > 300 {
		t.Errorf("%d duplicates, want about 200", n)
	}
	o.Seed = 6
	if slices.EqualFunc(a, generate(o), bytes.Equal) {
		t.Error("another seed gave the same history")
	}
	count := map[string]int{}
	for _, body := range a {
		e := decodeEvents(t, body)[0]
		kind := typeOf(e)
		if strings.Contains(string(body), sandbox.BreachTag) {
			kind = "breach"
		}
		count[kind]++
	}
	if len(count) != 6 || count["RunStatusChanged"]+count["RunCompleted"] < 1500 || count["breach"] > 120 || count["breach"] == 0 {
		t.Errorf("the default mix gave %v", count)
	}
}

// TestGeneratedShapesAreTheWorkspaces compares key by key with what a
// Workspace emits, so that load tests speak the language of the stories.
func TestGeneratedShapesAreTheWorkspaces(t *testing.T) {
	for _, schema := range []sandbox.Schema{sandbox.EventGrid, sandbox.CloudEvents} {
		for _, casing := range []sandbox.Casing{sandbox.Camel, sandbox.Pascal} {
			t.Run(string(schema)+" "+string(casing), func(t *testing.T) {
				want := map[string]string{}
				golden := must[[]byte](t)(readGolden(schema, casing))
				for dec := json.NewDecoder(bytes.NewReader(golden)); dec.More(); {
					var raw json.RawMessage
					check(t, dec.Decode(&raw))
					if raw[0] == '[' {
						raw = bytes.TrimSpace(raw[1 : len(raw)-1])
					}
					kind, shape := shapeOf(t, raw)
					want[kind] = shape
				}
				checked := map[string]bool{}
				for e := range sandbox.Generate(sandbox.GenOptions{Events: 500, Assets: 3, Schema: schema, Casing: casing}) {
					kind, shape := shapeOf(t, e.Body)
					if shape != want[kind] {
						t.Fatalf("%s: got %s, want %s", kind, shape, want[kind])
					}
					checked[kind] = true
				}
				if len(checked) != 5 {
					t.Errorf("saw %v, want all five types", checked)
				}
			})
		}
	}
}

// shapeOf writes an event's keys and the JSON type of each value.
func shapeOf(t *testing.T, raw []byte) (kind, shape string) {
	t.Helper()
	e := decodeEvents(t, raw)[0]
	for _, key := range orderedKeys(t, raw) {
		shape += fmt.Sprintf(" %s=%T", key, e[key])
	}
	var envelope struct {
		Data json.RawMessage `json:"data"`
	}
	check(t, json.Unmarshal(raw, &envelope))
	for _, key := range orderedKeys(t, envelope.Data) {
		shape += fmt.Sprintf(" data.%s=%T", key, dataOf(e)[key])
	}
	return typeOf(e), shape
}

// BenchmarkGenerate measures the generator alone: it must not be what a load
// test measures.
func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	var size int64
	for e := range sandbox.Generate(sandbox.GenOptions{Events: b.N, Assets: 1000}) {
		size += int64(len(e.Body))
	}
	b.SetBytes(size / int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

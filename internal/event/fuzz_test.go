package event_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/event"
)

// addSamples seeds a fuzz test with every sample body.
func addSamples(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	for _, body := range adversarial(200) {
		f.Add([]byte(body))
	}
}

// FuzzSplit: no body panics; items lie within the body; an event survives
// being written and read again; the result depends on the bytes alone.
func FuzzSplit(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		kept := bytes.Clone(body)
		items, err := event.Split("application/json", nil, body)
		if !bytes.Equal(body, kept) {
			t.Fatal("Split changed the body")
		}
		if err != nil && (err.(*event.Problem).Reason == "" || len(items) != 0) {
			t.Fatalf("%v with %d items", err, len(items))
		}
		for _, item := range items {
			checkItem(t, item, body)
		}
		again, _ := event.Split("application/cloudevents+json", nil, kept)
		if len(again) != len(items) {
			t.Fatalf("%d items, then %d", len(items), len(again))
		}
	})
}

func checkItem(t *testing.T, item event.Item, body []byte) {
	t.Helper()
	if utf8.Valid(body) && !bytes.Contains(body, item.Raw) {
		t.Fatalf("raw %q is not in the body", item.Raw)
	}
	if item.Problem != nil {
		if item.Problem.Reason == "" || item.Problem.Detail == "" {
			t.Fatalf("a problem without words: %+v", item.Problem)
		}
		return
	}
	if !json.Valid(item.Raw) || item.Envelope.Data != nil && !json.Valid(item.Envelope.Data) {
		t.Fatalf("invalid JSON passed: %q", item.Raw)
	}
	canonical := item.Envelope.AppendJSON(nil)
	if !json.Valid(canonical) {
		t.Fatalf("canonical form is not JSON: %q", canonical)
	}
	back, err := event.Split("", nil, canonical)
	if err != nil || len(back) != 1 || back[0].Problem != nil {
		t.Fatalf("%s does not read back: %v %v", canonical, back, err)
	}
	sameEnvelope(t, back[0].Envelope, item.Envelope)
}

// FuzzParse takes bodies the whole way: no panic, the same result twice, and
// every event within its bounds and writable as JSON.
func FuzzParse(f *testing.F) {
	addSamples(f)
	p, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		items, _ := event.Split("", nil, body)
		for _, item := range items {
			if item.Problem == nil {
				checkParse(t, p, item.Envelope)
			}
		}
	})
}

// FuzzParseData feeds any payload to every type of event.
func FuzzParseData(f *testing.F) {
	f.Add(0, "models/churn:1", []byte(`{"modelName":"churn","modelVersion":1}`))
	f.Add(2, "experiments/x/runs/y", []byte(`{"runTags":{"azureml_modelmonitor_threshold_breached":"['{\"group\":\"a\"}']"}}`))
	f.Add(5, "rule", []byte(`{"data":{"essentials":{"alertId":"a","alertTargetIDs":["t"]},"alertContext":{"condition":{"allOf":[{"dimensions":[{"name":"a","value":1}]}]}}}}`))
	p, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		f.Fatal(err)
	}
	types := []string{"ModelRegistered", "ModelDeployed", "RunCompleted", "RunStatusChanged", "DatasetDriftDetected", "x"}
	f.Fuzz(func(t *testing.T, n int, subject string, data []byte) {
		typ := "Microsoft.MachineLearningServices." + types[uint(n)%uint(len(types))]
		if uint(n)%7 == 6 {
			typ = "Microsoft.AlertsManagement.Alert.Fired"
		}
		checkParse(t, p, event.Envelope{ID: "1", Source: workspace, Type: typ, Subject: subject, Data: data})
	})
}

func checkParse(t *testing.T, p *event.Parser, env event.Envelope) {
	t.Helper()
	e, err := p.Parse(env)
	if err != nil {
		if problem, ok := err.(*event.Problem); !ok || problem.Reason == "" || problem.Detail == "" {
			t.Fatalf("not a problem: %#v", err)
		}
		return
	}
	e.Data = nil
	first, err := json.Marshal(e)
	if err != nil {
		t.Fatalf("the event can't be written: %v", err)
	}
	again, err := p.Parse(env)
	if err != nil {
		t.Fatal(err)
	}
	again.Data = nil
	if second, _ := json.Marshal(again); !bytes.Equal(first, second) {
		t.Fatalf("%s\nthen %s", first, second)
	}
	checkEvent(t, e)
}

func checkEvent(t *testing.T, e *event.Event) {
	t.Helper()
	if e.Workspace.Alias == "" || e.Kind == "" {
		t.Fatalf("no place or kind: %+v", e)
	}
	if len(e.Breaches) > 2000 {
		t.Fatalf("%d breaches", len(e.Breaches))
	}
	if l := e.Loss; l != nil && (len(l.Fragment) > 200 || !utf8.ValidString(l.Fragment) || l.Kept > len(e.Breaches)) {
		t.Fatalf("loss %+v with %d breaches", l, len(e.Breaches))
	}
	if (e.Kind == event.MonitorBreached) != (len(e.Breaches) > 0 && e.Kind != event.DriftDetected) {
		t.Fatalf("%s with %d breaches", e.Kind, len(e.Breaches))
	}
	if e.Monitor != nil && (e.Monitor.Name == "" || e.Monitor.Window == "") {
		t.Fatalf("monitor %+v", e.Monitor)
	}
}

// FuzzBreachTag: any tag on a run is a breach, however little is readable.
func FuzzBreachTag(f *testing.F) {
	f.Add("The signal 's' has failed due to ...\n['{\"group\":\"age\",\"metric_value\":0.35,\"metric_name\":\"PSI\",\"threshold_value\":0.2}']")
	f.Add(`[{'group': 'a', "metric_name": 'b', 'metric_value': nan, 'x': [1, {'y': "]"}]}, "{\"group\":\"q\"}"`)
	f.Add(`[\'{\"group\":\"a\"}\', ''{""group"":""b""}''`)
	p, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env := runEvent(map[string]string{stepTag: text})
		checkParse(t, p, env)
		e, err := p.Parse(env)
		if err != nil {
			t.Fatal(err)
		}
		cleared := map[string]bool{"": true, "none": true, "null": true, "false": true}
		text = strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(text, "\ufffd")))
		if (e.Kind == event.MonitorBreached) == cleared[text] {
			t.Fatalf("%q: %s", text, e.Kind)
		}
	})
}

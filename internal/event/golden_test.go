package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// outcome is what became of one element of a body.
type outcome struct {
	Key     event.Key      `json:"key,omitempty"`
	Event   *event.Event   `json:"event,omitempty"`
	Problem *event.Problem `json:"problem,omitempty"`
	Raw     string         `json:"raw,omitempty"`
}

// outcomes takes a body the whole way.
func outcomes(p *event.Parser, body []byte) []outcome {
	items, err := event.Split("application/json", nil, body)
	if err != nil {
		return []outcome{{Problem: err.(*event.Problem)}}
	}
	out := []outcome{}
	for _, item := range items {
		if item.Problem != nil {
			out = append(out, outcome{Problem: item.Problem, Raw: string(item.Raw)})
			continue
		}
		e, err := p.Parse(item.Envelope)
		if err != nil {
			out = append(out, outcome{Problem: err.(*event.Problem)})
			continue
		}
		if len(e.Data) > 300 {
			e.Data = nil // keeps the golden files readable
		}
		out = append(out, outcome{Key: item.Envelope.Key(), Event: e})
	}
	return out
}

func TestSamplesGiveTheGoldenEvents(t *testing.T) {
	p := newParser(t)
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", " ")
			if err := enc.Encode(outcomes(p, readFile(t, file))); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := readFile(t, golden); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("differs from %s (rerun with -update after reading the difference)\ngot:\n%s", golden, got.Bytes())
			}
		})
	}
}

package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// plainEnvelope is what one would write with encoding/json, for one schema and
// without any of the tolerance: the baseline of BenchmarkSplit.
type plainEnvelope struct {
	ID        string          `json:"id"`
	Topic     string          `json:"topic"`
	Subject   string          `json:"subject"`
	EventType string          `json:"eventType"`
	EventTime time.Time       `json:"eventTime"`
	Data      json.RawMessage `json:"data"`
}

func batchOf(t testing.TB, file string, n int) []byte {
	one := bytes.Trim(bytes.TrimSpace(readFile(t, file)), "[]")
	var compact bytes.Buffer
	if err := json.Compact(&compact, one); err != nil {
		t.Fatal(err)
	}
	parts := make([][]byte, n)
	for i := range parts {
		parts[i] = compact.Bytes()
	}
	return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']')
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{1, 100} {
		body := batchOf(b, "testdata/azure/model-registered.eventgrid.json", n)
		run := func(name string, split func() (int, error)) {
			b.Run(fmt.Sprintf("batch=%d/%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if got, err := split(); err != nil || got != n {
						b.Fatalf("%d events, %v", got, err)
					}
				}
				b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "events/s")
			})
		}
		run("modelwarden", func() (int, error) {
			items, err := event.Split("application/json", nil, body)
			return len(items), err
		})
		run("encoding-json", func() (int, error) {
			var events []plainEnvelope
			err := json.Unmarshal(body, &events)
			return len(events), err
		})
	}
}

// BenchmarkAccept is what the subscriber does with a batch: cut it and write
// every event in canonical form.
func BenchmarkAccept(b *testing.B) {
	body := batchOf(b, "testdata/azure/model-registered.eventgrid.json", 100)
	var buf []byte
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		items, err := event.Split("application/json", nil, body)
		if err != nil {
			b.Fatal(err)
		}
		buf = buf[:0]
		for i := range items {
			buf = items[i].Envelope.AppendJSON(buf)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkParse(b *testing.B) {
	parser := newParser(b)
	for _, file := range []string{
		"model-registered.eventgrid", "model-deployed.eventgrid", "run-completed.cloudevents",
		"monitor-breached.eventgrid", "monitor-breached.truncated", "azure-monitor-fired",
	} {
		items, err := event.Split("", nil, readFile(b, "testdata/azure/"+file+".json"))
		if err != nil {
			b.Fatal(err)
		}
		env := items[0].Envelope
		b.Run(file+"/modelwarden", func(b *testing.B) {
			b.SetBytes(int64(len(env.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.Parse(env); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(file+"/encoding-json-map", func(b *testing.B) {
			b.SetBytes(int64(len(env.Data)))
			b.ReportAllocs()
			for b.Loop() {
				var m map[string]any
				if err := json.Unmarshal(env.Data, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

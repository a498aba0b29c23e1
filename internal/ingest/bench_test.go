package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// discard is a queue that keeps nothing: what is measured is the subscriber.
type discard struct{}

func (discard) Send(context.Context, []lineage.Message) error { return nil }

func eventBatch(n int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"7e0c1b1e-%08d","topic":"%s","subject":"experiments/9f2c/runs/churn_%d",`+
			`"eventType":"Microsoft.MachineLearningServices.RunCompleted","eventTime":"2026-11-02T08:00:00.1234567Z",`+
			`"data":{"experimentId":"9f2c","experimentName":"churn-train","runId":"churn_%d","runType":"azureml.scriptrun",`+
			`"runTags":{"team":"risk","git":"b1946ac9","accuracy":"0.91"},"runProperties":{"azureml.runsource":"azureml.scriptrun"}},`+
			`"dataVersion":"1","metadataVersion":"1"}`, i, workspaceID, i, i)
	}
	b.WriteByte(']')
	return b.String()
}

// BenchmarkHandler measures the handler alone: no network, no queue.
func BenchmarkHandler(b *testing.B) {
	for _, size := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, err := ingest.New(ingest.Options{Queue: discard{}, Authenticator: ingest.None()})
			if err != nil {
				b.Fatal(err)
			}
			handler, body := s.Events(), eventBatch(size)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/events", strings.NewReader(body))
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkServer compares with the least that a JSON webhook can do, over 32
// kept-alive connections, client and server on the same machine.
func BenchmarkServer(b *testing.B) {
	s, err := ingest.New(ingest.Options{Queue: discard{}, Authenticator: ingest.None()})
	if err != nil {
		b.Fatal(err)
	}
	handlers := []struct {
		name    string
		handler http.Handler
	}{{"bare", http.HandlerFunc(bare)}, {"modelwarden", s.Events()}}
	for _, size := range []int{1, 10, 100, 1000} {
		for _, h := range handlers {
			b.Run(fmt.Sprintf("batch=%d/%s", size, h.name), func(b *testing.B) { load(b, h.handler, size) })
		}
	}
}

// bare is net/http and encoding/json and nothing else.
func bare(w http.ResponseWriter, r *http.Request) {
	var events []struct {
		ID, Topic, Subject, EventType, EventTime string
		Data                                     json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"accepted": len(events)})
}

func load(b *testing.B, handler http.Handler, size int) {
	server := httptest.NewServer(handler)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	body := []byte(eventBatch(size))
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(server.URL, "application/json", bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

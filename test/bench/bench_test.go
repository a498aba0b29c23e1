package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func TestReadHead(t *testing.T) {
	for name, c := range map[string]struct {
		head           string
		status, length int
		wrong          string
	}{
		"usual":          {"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 12\r\n\r\n", 200, 12, ""},
		"lower case":     {"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 503, 0, ""},
		"without length": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0, "no Content-Length"},
		"other protocol": {"SSH-2.0-OpenSSH_9.9\r\n", 0, 0, "not an HTTP/1.1 answer"},
		"no status":      {"HTTP/1.1 abc OK\r\n", 0, 0, "not a status line"},
		"bad length":     {"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 0, 0, "not a length"},
	} {
		t.Run(name, func(t *testing.T) {
			status, length, err := readHead(bufio.NewReader(strings.NewReader(c.head)))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error %v, want %q", err, c.wrong)
				}
				return
			}
			if err != nil || status != c.status || length != c.length {
				t.Errorf("got %d, %d, %v", status, length, err)
			}
		})
	}
}

// TestLoadSendsEveryEventOnce holds what all rates rest on: the generator
// sends valid requests with each event in exactly one of them.
func TestLoadSendsEveryEventOnce(t *testing.T) {
	for _, batch := range []int{1, 7, 100} {
		var mu sync.Mutex
		seen := map[string]int{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids(t, r.Header.Get("Content-Type"), body) {
				seen[id]++
			}
			accepted(w, 1)
		}))
		events := newArena(sandbox.GenOptions{Seed: 1, Events: 250})
		clients, err := dialAll(t.Context(), strings.TrimPrefix(server.URL, "http://"), 4)
		if err != nil {
			t.Fatal(err)
		}
		out, err := (&load{events: events, batch: batch}).run(t.Context(), clients, 0)
		closeAll(clients)
		server.Close()
		if err != nil || out.events != 250 || len(seen) != 250 {
			t.Errorf("batch %d: %d events answered, %d arrived: %v", batch, out.events, len(seen), err)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("batch %d: event %s was sent %d times", batch, id, n)
			}
		}
	}
}

func ids(t *testing.T, contentType string, body []byte) (out []string) {
	t.Helper()
	events := make([]bareEvent, 1)
	into := any(&events[0])
	if contentType == typeBatch {
		into = &events
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Errorf("%s: %v", contentType, err)
	}
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestLoadEndsWithWhatTheServerRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too busy", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	clients, err := dialAll(t.Context(), strings.TrimPrefix(server.URL, "http://"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(clients)
	_, err = (&load{events: newArena(sandbox.GenOptions{Events: 3}), batch: 1}).run(context.Background(), clients, 0)
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v, want the server's 503", err)
	}
}

// TestGlueKeepsWhatItAnswers keeps the baseline honest.
func TestGlueKeepsWhatItAnswers(t *testing.T) {
	dir := t.TempDir()
	g, err := openGlue(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	defer server.Close()
	clients, err := dialAll(t.Context(), strings.TrimPrefix(server.URL, "http://"), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(clients)
	for _, batch := range []int{1, 10} {
		if _, err := (&load{events: newArena(sandbox.GenOptions{Events: 50}), batch: batch}).run(t.Context(), clients, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.db.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := glueRows(t.Context(), dir); err != nil || n != 100 {
		t.Errorf("%d rows, want 100: %v", n, err)
	}
}

func TestRounds(t *testing.T) {
	r := rounds{4, 1, 3, 2}
	if got := r.median(); got != 2.5 {
		t.Errorf("median %v", got)
	}
	if got := r.quantile(0.99); got != 4 {
		t.Errorf("p99 %v", got)
	}
	if got := r.quantile(0.5); got != 2 {
		t.Errorf("p50 %v", got)
	}
	if got := r.over(rounds{2, 0, 1, 2}); len(got) != 3 || got[0] != 2 || got[1] != 3 || got[2] != 1 {
		t.Errorf("over %v", got)
	}
}

func TestReportChecksTargets(t *testing.T) {
	r := newReport()
	r.add(row{What: "ratio", Value: 10, Baseline: 4, Beside: "glue", Target: atLeast(2.5)})
	r.add(row{What: "ratio", Value: 9, Baseline: 4, Beside: "glue", Target: atLeast(2.5)})
	r.add(row{What: "value", Value: 151, Target: atMost(150)})
	r.add(row{What: "value", Value: 7})
	if got := r.missed(); got != 2 {
		t.Errorf("%d missed, want 2", got)
	}
	if got := r.Rows[0].Ratio; math.Abs(got-2.5) > 1e-9 {
		t.Errorf("ratio %v", got)
	}
	var text strings.Builder
	if err := r.print(&text); err != nil || strings.Count(text.String(), "MISSED") != 2 || strings.Count(text.String(), "pass") != 1 {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestProbesAreFirstBreachesOfTheirModels(t *testing.T) {
	events, probes := latencyEvents(2000)
	if len(probes) < 80 {
		t.Fatalf("%d probes among %d events", len(probes), events.len())
	}
	for model, i := range probes {
		body := events.slice(i, i+1)
		if probedModel(body) != model || !strings.Contains(string(body), probeSource) {
			t.Errorf("event %d is not the breach of %s: %s", i, model, body)
		}
	}
}

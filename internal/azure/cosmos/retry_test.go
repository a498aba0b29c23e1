package cosmos_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// TestRetriesAreBounded counts the requests to an account that is down, and
// keeps to the caller's time.
func TestRetriesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := &server.Faults{Rates: []server.Rate{{Fault: server.Fault{Status: 503}, Probability: 1}}, Only: func(op server.Operation, _ *http.Request) bool { return op == server.Batch || op == server.ReadItem }}
		counter := &batches{}
		h := openHarness(t, server.Options{Faults: faults})
		o := h.options()
		counter.Transporter, o.Transport = o.Transport, counter
		s, err := cosmos.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		start := time.Now()
		_, err = s.Commit(t.Context(), "p", []lineage.Change{record(lineage.Create, "a", "1", "")})
		if err == nil || !strings.Contains(err.Error(), "503") || counter.n != 8 {
			t.Errorf("%d tries, %v", counter.n, err)
		}
		if d := time.Since(start); d > 15*time.Second || d < 2*time.Second {
			t.Errorf("it took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := s.Get(ctx, "p", "a"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

type batches struct {
	policy.Transporter
	n int
}

func (b *batches) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("x-ms-cosmos-is-batch-request") != "" {
		b.n++
	}
	return b.Transporter.Do(r)
}

// TestThrottlingIsObeyed waits as long as the service says.
func TestThrottlingIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := onBatch()
		h := openHarness(t, server.Options{Faults: faults})
		faults.Add(server.Fault{Status: 429, RetryAfter: 3 * time.Second}, server.Fault{Status: 449})
		start := time.Now()
		h.commit(t, record(lineage.Create, "a", "1", ""))
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// TestSilentConnection gives up on a request that nobody answers.
func TestSilentConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := onBatch()
		h := openHarness(t, server.Options{Faults: faults})
		h.commit(t, record(lineage.Create, "a", "1", ""))
		faults.Add(server.Fault{Delay: time.Hour})
		start := time.Now()
		h.commit(t, record(lineage.Upsert, "a", "2", ""))
		if d := time.Since(start); d > 15*time.Second {
			t.Errorf("it took %v", d)
		}
		h.get(t, "a")
	})
}

// TestFirstContactFails fails what the SDK asks before its first request; it
// would hold that against every request for five minutes.
func TestFirstContactFails(t *testing.T) {
	for name, fault := range map[string]server.Fault{"503": {Status: 503}, "connection": {Drop: true}, "403": {Status: 403}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := openHarness(t, server.Options{Faults: &server.Faults{Script: []server.Fault{fault}}})
				start := time.Now()
				_, err := h.store.Get(t.Context(), "p", "a")
				if name == "403" && err == nil {
					t.Error("a refusal is no fault to hide")
				} else if name == "403" {
					_, err = h.store.Get(t.Context(), "p", "a")
				}
				if err != nil || time.Since(start) > 10*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

package cosmos_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/porttest"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// Answers that are lost: the effect has happened.
var (
	lostTimeout     = server.Fault{Status: http.StatusRequestTimeout, AfterEffect: true}
	lostUnavailable = server.Fault{Status: http.StatusServiceUnavailable, AfterEffect: true}
	lostConnection  = server.Fault{Drop: true, AfterEffect: true}
)

// transient faults come at 10 % of each kind: six requests of ten go wrong.
func transient(seed uint64) *server.Faults {
	return &server.Faults{Seed: seed, Only: early, Rates: []server.Rate{
		{Fault: server.Fault{Status: http.StatusTooManyRequests, RetryAfter: 20 * time.Millisecond}, Probability: 0.1},
		{Fault: server.Fault{Status: 449}, Probability: 0.1},
		{Fault: server.Fault{Status: http.StatusServiceUnavailable}, Probability: 0.05},
		{Fault: lostUnavailable, Probability: 0.05},
		{Fault: server.Fault{Status: http.StatusRequestTimeout}, Probability: 0.05},
		{Fault: lostTimeout, Probability: 0.05},
		{Fault: lostConnection, Probability: 0.1},
		{Fault: server.Fault{EmptyPage: true}, Probability: 0.05},
		{Fault: server.Fault{ShortPage: true}, Probability: 0.05},
	}}
}

// requestsOf is the context key of how many requests a call has made.
type requestsOf struct{}

// early lets faults befall the first requests of a call only: at such odds
// eight tries would all fail now and then, which is not what the laws are
// about.
func early(_ server.Operation, r *http.Request) bool {
	n, ok := r.Context().Value(requestsOf{}).(*atomic.Int32)
	return !ok || n.Add(1) <= 5
}

// counting is a Store that counts the requests of each call.
type counting struct{ lineage.Store }

func counted(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestsOf{}, new(atomic.Int32))
}

func (c counting) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	return c.Store.Commit(counted(ctx), partition, changes)
}

func (c counting) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	return c.Store.Get(counted(ctx), partition, ids...)
}

func (c counting) List(ctx context.Context, q lineage.Query) (lineage.Page, error) {
	return c.Store.List(counted(ctx), q)
}

type countingHarness struct{ *harness }

func (h countingHarness) Store() lineage.Store { return counting{h.store} }

// TestStoreUnderFaults holds every law over an account that fails all the
// time.
func TestStoreUnderFaults(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			porttest.Store(t, porttest.StoreBackend{
				Around: bubble,
				Lossy:  true,
				Open: func(t *testing.T) porttest.StoreHarness {
					return countingHarness{openHarness(t, server.Options{Faults: transient(seed)})}
				},
			})
		})
	}
}

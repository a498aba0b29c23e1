package ml_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// counting counts the requests that reach a handler.
type counting struct {
	http.Handler
	requests atomic.Int64
}

// ServeHTTP implements http.Handler.
func (c *counting) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	c.Handler.ServeHTTP(rw, r)
}

// TestAThrottlingStormIsSurvivedWithinTheBudget lets ARM throttle for a while
// those who enrich 40 jobs at once: all of them are served in the end, and the
// service is left alone for as long as it asked.
func TestAThrottlingStormIsSurvivedWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs, storms, retryAfter = 40, 3, 20 * time.Second
		r := newRig(t, sandbox.Options{})
		for i := range jobs {
			r.train(t, sandbox.JobSpec{Name: fmt.Sprint("job", i), Environment: "azureml:sklearn:5"})
		}
		arm := &counting{Handler: r.ws.Handler()}
		client := must[*ml.Client](t)(ml.New(ml.Options{Endpoint: "http://" + host, Transport: &http.Client{Transport: sandbox.InMemory{host: arm}}}))
		cache := must[*azureml.Cache](t)(azureml.NewCache(client, azureml.CacheOptions{RequestsPerSecond: 5, Burst: 5}))
		r.ws.Inject(sandbox.Fault{Path: "/jobs/", Times: storms, Status: http.StatusTooManyRequests, RetryAfter: retryAfter})

		began := time.Now()
		var refused atomic.Int64
		var wg sync.WaitGroup
		for i := range jobs {
			wg.Go(func() { refused.Add(enrichAtLast(t, azureml.NewEnricher(cache, nil), r.at, fmt.Sprint("job", i))) })
		}
		wg.Wait()
		if refused.Load() < jobs {
			t.Errorf("%d answers to come later: the storm did not reach everyone", refused.Load())
		}
		// Job, its history and its run, and once the workspace's address;
		// besides those the throttled ones, and what was on its way with them.
		if n := arm.requests.Load(); n > 3*jobs+1+storms+5 {
			t.Errorf("%d requests for %d jobs", n, jobs)
		}
		if took := time.Since(began); took < retryAfter || took > 3*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// enrichAtLast asks until there is an answer, as often as it is told to come
// again, which is counted.
func enrichAtLast(t *testing.T, e *azureml.Enricher, ws event.Workspace, job string) (refused int64) {
	nobody := func(context.Context, string, string) (event.Model, error) { return event.Model{}, nil }
	for range 100 {
		ev := &event.Event{Kind: event.JobCompleted, Workspace: ws, Run: &event.Run{ID: job, Status: "Completed"}}
		_, _, err := e.Enrich(t.Context(), ev, nobody)
		if err == nil {
			if ev.Run.Facts["environment"] != "azureml:sklearn:5" {
				t.Errorf("%s: facts %v", job, ev.Run.Facts)
			}
			return refused
		}
		var later *policy.RetryAfterError
		if !errors.As(err, &later) {
			t.Errorf("%s: %v", job, err)
			return refused
		}
		refused++
		time.Sleep(max(later.After, time.Second))
	}
	t.Errorf("%s was never enriched", job)
	return refused
}

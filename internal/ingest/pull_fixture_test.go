package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/azure/eventgrid"
	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

var _ ingest.PullSource = (*eventgrid.Source)(nil)

const pullKey = "cHVsbC1zZWNyZXQta2V5"

// pullRig is a namespace in this process, the real adapter, a queue in memory
// and a Pull between them. It lives in a synctest bubble.
type pullRig struct {
	*azure.Namespace
	*memory
	pull     *ingest.Pull
	source   *watched
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
	dead     []azure.QueueDeadLetter
	stop     func()
}

// watched is a source that notes its releases.
type watched struct {
	ingest.PullSource
	mu       sync.Mutex
	released []time.Duration
	sizes    []int
}

func (w *watched) Release(ctx context.Context, leases []lineage.Lease, after time.Duration) error {
	w.mu.Lock()
	w.released = append(w.released, after)
	w.mu.Unlock()
	return w.PullSource.Release(ctx, leases, after)
}

func (w *watched) Receive(ctx context.Context, max int, wait time.Duration) ([]lineage.Delivery, error) {
	w.mu.Lock()
	w.sizes = append(w.sizes, max)
	w.mu.Unlock()
	return w.PullSource.Receive(ctx, max, wait)
}

// notes are the releases and page sizes so far.
func (w *watched) notes() (released []time.Duration, sizes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(released, w.released...), append(sizes, w.sizes...)
}

func newPullRig(t testing.TB, faults *azure.Faults, change func(*ingest.PullOptions)) *pullRig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &pullRig{memory: &memory{}, registry: prometheus.NewRegistry(), logs: logs}
	r.Namespace = azure.NewNamespace(azure.NamespaceOptions{Auth: azure.Auth{Keys: []string{pullKey}}, Faults: faults})
	if err := r.Subscribe("events", azure.QueueSubscription{Name: "warden", DeadLetter: func(d azure.QueueDeadLetter) { r.dead = append(r.dead, d) }}); err != nil {
		t.Fatal(err)
	}
	source, err := eventgrid.NewSource(eventgrid.SourceOptions{Endpoint: "https://ns.test", Topic: "events", Subscription: "warden",
		Key: pullKey, Transport: azure.Transport{Handler: r.Namespace}})
	if err != nil {
		t.Fatal(err)
	}
	r.source = &watched{PullSource: source}
	o := ingest.PullOptions{Source: r.source, Queue: r.memory, Name: "warden", Registerer: r.registry, Logger: zap.New(core)}
	if change != nil {
		change(&o)
	}
	if r.pull, err = ingest.NewPull(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the pull; stop ends it and waits.
func (r *pullRig) start(t testing.TB) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.pull.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func (r *pullRig) publish(t testing.TB, events ...string) {
	t.Helper()
	for _, e := range events {
		if err := r.Publish("events", json.RawMessage(e)); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *pullRig) stats(t testing.TB) azure.QueueStats {
	t.Helper()
	s, err := r.QueueStats("events", "warden")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// has reports whether a message's body is, or holds as its id, what.
func (r *pullRig) has(what string) bool {
	for _, m := range r.all() {
		if string(m.Body) == what || strings.Contains(string(m.Body), fmt.Sprintf(`"id":%q`, what)) {
			return true
		}
	}
	return false
}

// settled lets time pass until the subscription is empty, a week at most.
func (r *pullRig) settled(t testing.TB) {
	t.Helper()
	for range 7 * 24 * 60 {
		time.Sleep(time.Minute)
		if s := r.stats(t); s.Ready+s.Locked+s.Delayed == 0 {
			return
		}
	}
	t.Fatalf("never done: %+v", r.stats(t))
}

func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// BenchmarkPipeline is one event from the queue to settled: lineage, lists
// and decisions durable, in the embedded engine, events of the usual mix in
// messages of one event each.
func BenchmarkPipeline(b *testing.B) {
	db, err := embedded.Open(b.Context(), embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	f, err := policy.Parse("p.yaml", []byte(retrainPolicy))
	if err != nil {
		b.Fatal(err)
	}
	set, err := policy.Compile(f, policy.CompileOptions{})
	if err != nil {
		b.Fatal(err)
	}
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	fill(b, db.Queue())
	w, err := worker.New(worker.Options{Queue: db.Queue(), Store: db.Store(), Parser: parser,
		Policies: func() *policy.Set { return set }, Effector: newEffects(nil).find,
		NextAttempt: func(string, int, error, time.Time) (time.Time, bool) { return time.Time{}, true }, Sole: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	go func() { defer close(done); _ = w.Run(ctx, time.Minute) }()
	for d := (lineage.Depth{Ready: 1}); d.Ready+d.Leased > 0; {
		time.Sleep(time.Millisecond)
		if d, err = db.Queue().Depth(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	<-done
}

func fill(b *testing.B, q lineage.Queue) {
	var messages []lineage.Message
	for e := range sandbox.Generate(sandbox.GenOptions{Seed: 1, Events: b.N, Schema: sandbox.CloudEvents}) {
		messages = append(messages, lineage.Message{ID: e.ID, Body: slices.Clone(e.Body)})
	}
	for chunk := range slices.Chunk(messages, 100) {
		if err := q.Send(b.Context(), chunk); err != nil {
			b.Fatal(err)
		}
	}
}

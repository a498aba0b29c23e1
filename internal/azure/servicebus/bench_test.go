package servicebus_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// BenchmarkThrough takes messages of 1 KiB through send, receive and settle
// over TCP, in batches, and counts what that costs on the wire.
func BenchmarkThrough(b *testing.B) {
	for _, size := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := broker.New(broker.Options{Queues: map[string]broker.Queue{"q": {}}})
			defer s.Close()
			if err := s.Start("127.0.0.1:0"); err != nil {
				b.Fatal(err)
			}
			c, err := servicebus.Open(servicebus.Options{ConnectionString: s.ConnectionString(), Queue: "q"})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			body := make([]byte, 1<<10)
			through(b, c.Queue(), size, body) // opens the links
			before := s.Stats()
			b.ResetTimer()
			for range b.N {
				through(b, c.Queue(), size, body)
			}
			b.StopTimer()
			after, n := s.Stats(), float64(b.N*size)
			b.ReportMetric(n/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(after.TransfersIn-before.TransfersIn)/n, "transfers-in/message")
			b.ReportMetric(float64(after.TransfersOut-before.TransfersOut)/n, "transfers-out/message")
			b.ReportMetric(float64(after.DispositionsIn-before.DispositionsIn)/n, "dispositions-in/message")
		})
	}
}

func through(b *testing.B, q lineage.Queue, size int, body []byte) {
	ctx := context.Background()
	all := make([]lineage.Message, size)
	for i := range all {
		all[i] = lineage.Message{ID: fmt.Sprint(i), Body: body}
	}
	if err := q.Send(ctx, all); err != nil {
		b.Fatal(err)
	}
	for left := size; left > 0; {
		ds, err := q.Receive(ctx, left)
		if err != nil {
			b.Fatal(err)
		}
		left -= len(ds)
		settlements := make([]lineage.Settlement, len(ds))
		for i, d := range ds {
			settlements[i] = lineage.Settlement{Lease: d.Lease}
		}
		if err := q.Settle(ctx, settlements); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConcurrent is the same with a sender and two workers side by side,
// as the service runs.
func BenchmarkConcurrent(b *testing.B) {
	s := broker.New(broker.Options{Queues: map[string]broker.Queue{"q": {}}})
	defer s.Close()
	if err := s.Start("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	c, err := servicebus.Open(servicebus.Options{ConnectionString: s.ConnectionString(), Queue: "q"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	through(b, c.Queue(), 1, nil)
	before := s.Stats()
	b.ResetTimer()
	ctx, done := context.WithCancel(context.Background())
	settled := make(chan int)
	for range 2 {
		go func() {
			for {
				ds, err := c.Queue().Receive(ctx, 500)
				if err != nil {
					return
				}
				settlements := make([]lineage.Settlement, len(ds))
				for i, d := range ds {
					settlements[i] = lineage.Settlement{Lease: d.Lease}
				}
				if err := c.Queue().Settle(ctx, settlements); err != nil {
					b.Error(err)
				}
				settled <- len(ds)
			}
		}()
	}
	go func() {
		for i := range b.N {
			if err := c.Queue().Send(ctx, []lineage.Message{{ID: fmt.Sprint(i), Body: make([]byte, 1<<10)}}); err != nil {
				b.Error(err)
			}
		}
	}()
	for left := b.N; left > 0; {
		left -= <-settled
	}
	b.StopTimer()
	done()
	after, n := s.Stats(), float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(after.TransfersOut-before.TransfersOut)/n, "transfers-out/message")
	b.ReportMetric(float64(after.DispositionsIn-before.DispositionsIn)/n, "dispositions-in/message")
}

package embedded_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

func openBench(b *testing.B) *embedded.DB {
	b.Helper()
	db, err := embedded.Open(b.Context(), embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// crowd runs do in n goroutines until b.N calls were made.
func crowd(b *testing.B, n int, do func(worker int) error) {
	b.Helper()
	var calls atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for worker := range n {
		wg.Go(func() {
			for calls.Add(1) <= int64(b.N) {
				if err := do(worker); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func kilobytes(n int) []lineage.Message {
	ms := make([]lineage.Message, n)
	for i := range ms {
		body := make([]byte, 1024)
		rand.Read(body)
		ms[i] = lineage.Message{ID: fmt.Sprint("event-", i), Body: body}
	}
	return ms
}

func BenchmarkSend(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			q := openBench(b).Queue()
			ms := kilobytes(batch)
			crowd(b, 32, func(int) error { return q.Send(context.Background(), ms) })
			rate := float64(b.N) * float64(batch) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "msg/s")
			b.ReportMetric(rate/plainSends(b, batch), "x-plain-sql")
		})
	}
}

// BenchmarkCycle sends, receives and settles every message.
func BenchmarkCycle(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			q := openBench(b).Queue()
			ms := kilobytes(batch)
			crowd(b, 16, func(int) error {
				if err := q.Send(context.Background(), ms); err != nil {
					return err
				}
				return receiveAndSettle(q, batch)
			})
			b.ReportMetric(float64(b.N)*float64(batch)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkDrain receives and settles in hundreds what was sent before.
func BenchmarkDrain(b *testing.B) {
	q := openBench(b).Queue()
	ms := kilobytes(100)
	for range b.N {
		if err := q.Send(b.Context(), ms); err != nil {
			b.Fatal(err)
		}
	}
	crowd(b, 8, func(int) error { return receiveAndSettle(q, 100) })
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "msg/s")
}

func receiveAndSettle(q lineage.Queue, batch int) error {
	for got := 0; got < batch; {
		ds, err := q.Receive(context.Background(), batch-got)
		if err != nil {
			return err
		}
		done := make([]lineage.Settlement, len(ds))
		for i := range ds {
			done[i].Lease = ds[i].Lease
		}
		if err := q.Settle(context.Background(), done); err != nil {
			return err
		}
		got += len(ds)
	}
	return nil
}

func BenchmarkCommit(b *testing.B) {
	for _, partitions := range []int{1000, 20000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			s := openBench(b).Store()
			body := make([]byte, 700)
			rand.Read(body)
			var n atomic.Int64
			crowd(b, 64, func(int) error {
				i := n.Add(1)
				p := fmt.Sprintf("model/contoso-ml/churn/%d", i*7919%int64(partitions))
				_, err := s.Commit(context.Background(), p, []lineage.Change{
					{Op: lineage.Create, Record: lineage.Record{ID: fmt.Sprintf("event/%d", i), Sort: fmt.Sprintf("%012d", i), Body: body}},
					{Op: lineage.Upsert, Record: lineage.Record{ID: "asset", Sort: "asset", Body: body}},
				})
				return err
			})
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "commits/s")
			b.ReportMetric(rate/plainCommits(b, partitions, 1, 32), "x-plain-sql")
			b.ReportMetric(rate/plainCommits(b, partitions, 64, 1), "x-raw-groups")
		})
	}
}

// BenchmarkGet reads two records of one partition from eight callers.
func BenchmarkGet(b *testing.B) {
	s := openBench(b).Store()
	body := make([]byte, 700)
	for i := range 2000 {
		_, err := s.Commit(b.Context(), fmt.Sprint("model/contoso-ml/churn/", i), []lineage.Change{
			{Op: lineage.Create, Record: lineage.Record{ID: "asset", Sort: "asset", Body: body}},
			{Op: lineage.Create, Record: lineage.Record{ID: "memory", Body: body}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var n atomic.Int64
	crowd(b, 8, func(int) error {
		_, err := s.Get(context.Background(), fmt.Sprint("model/contoso-ml/churn/", n.Add(7919)%2000), "asset", "memory")
		return err
	})
}

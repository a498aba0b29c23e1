package cosmos_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// BenchmarkOperations counts what each call asks of the service, in requests
// and request units by the server's formula, for records of 1 KiB.
func BenchmarkOperations(b *testing.B) {
	body := []byte(noisyText(1024))
	write := func(op lineage.Op, id, version string) lineage.Change {
		return lineage.Change{Op: op, Record: lineage.Record{ID: id, Sort: "s/" + id, Body: body, Version: version}}
	}
	must := func(_ any, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	commit := func(s lineage.Store, changes ...lineage.Change) []string {
		v, err := s.Commit(context.Background(), "p", changes)
		must(v, err)
		return v
	}
	for _, c := range []struct {
		name string
		run  func(s lineage.Store, n int)
	}{
		{"create", func(s lineage.Store, n int) { commit(s, write(lineage.Create, fmt.Sprint("new", n), "")) }},
		{"create four", func(s lineage.Store, n int) {
			id := func(i int) string { return fmt.Sprint("four", n, i) }
			commit(s, write(lineage.Create, id(0), ""), write(lineage.Create, id(1), ""), write(lineage.Create, id(2), ""), write(lineage.Create, id(3), ""))
		}},
		{"upsert", func(s lineage.Store, n int) { commit(s, write(lineage.Upsert, "00", "")) }},
		{"delete nothing", func(s lineage.Store, n int) { commit(s, write(lineage.Delete, "none", "")) }},
		{"delete nothing beside a write", func(s lineage.Store, n int) {
			commit(s, write(lineage.Delete, "none", ""), write(lineage.Upsert, "00", ""))
		}},
		{"get", func(s lineage.Store, n int) { must(s.Get(context.Background(), "p", "00")) }},
		{"get three", func(s lineage.Store, n int) { must(s.Get(context.Background(), "p", "00", "01", "none")) }},
		{"list twenty", func(s lineage.Store, n int) {
			must(s.List(context.Background(), lineage.Query{Partition: "p", Order: lineage.BySort, Prefix: "s/", Until: "s/20", Limit: 20}))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := openHarness(b, server.Options{})
			var changes []lineage.Change
			for i := range 20 {
				changes = append(changes, write(lineage.Create, fmt.Sprintf("%02d", i), ""))
			}
			commit(h.store, changes...)
			before, n := total(h.server.Stats()), 0
			for b.Loop() {
				c.run(h.store, n)
				n++
			}
			after := total(h.server.Stats())
			b.ReportMetric(float64(after.Requests-before.Requests)/float64(n), "requests/op")
			b.ReportMetric((after.RequestUnits-before.RequestUnits)/float64(n), "RU/op")
		})
	}
}

func total(stats server.Stats) (sum server.Count) {
	for _, n := range stats {
		sum.Requests += n.Requests
		sum.RequestUnits += n.RequestUnits
	}
	return sum
}

// noisyText is JSON-like text that does not compress to nothing.
func noisyText(size int) string {
	text := make([]byte, size)
	for i, c := range []byte(noisy(size)) {
		text[i] = 'a' + c%26
		if i%12 == 0 {
			text[i] = '"'
		}
	}
	return string(text)
}

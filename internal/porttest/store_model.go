package porttest

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// StoreModel compares a backend with a store in memory over random histories
// of commits, reads, listings and reopenings.
func StoreModel(t *testing.T, backend StoreBackend) {
	rapid.Check(t, func(r *rapid.T) {
		// rapid ends a case by a panic, which has to reach it out of whatever
		// the backend puts around.
		var ended any
		backend.Around.run(t, func(t *testing.T) {
			defer func() { ended = recover() }()
			m := &storeModel{t: t, h: backend.Open(t), lossy: backend.Lossy, records: map[recordName]lineage.Record{}, seen: map[string]bool{}}
			r.Repeat(map[string]func(*rapid.T){
				"commit": m.commit, "list": m.list, "get": m.get,
				"reopen": func(*rapid.T) { m.h.Reopen(t) },
			})
		})
		if ended != nil {
			panic(ended)
		}
	})
}

// storeModel is a store in memory next to the real one.
type storeModel struct {
	t       *testing.T
	h       StoreHarness
	lossy   bool
	records map[recordName]lineage.Record
	seen    map[string]bool // versions
}

type recordName struct{ partition, id string }

var (
	drawPartition = rapid.SampledFrom([]string{"p", "q", "é", "p/"})
	drawID        = rapid.SampledFrom([]string{"a", "ab", "a/", "a?", "b", "b\x00", "é", "z/1", "z/2", "z/10", "\u2028", "\U0001f986", strings.Repeat("/", 600)})
	drawSort      = rapid.SampledFrom([]string{"", "1", "10", "1/", "2", "é"})
	drawBound     = rapid.SampledFrom([]string{"", "", "1", "2", "a", "a/", "b", "z/", "\xc3", "é", "\xf0", "\xff"})
)

func (m *storeModel) commit(r *rapid.T) {
	partition := drawPartition.Draw(r, "partition")
	ids := rapid.SliceOfNDistinct(drawID, 1, 5, rapid.ID[string]).Draw(r, "ids")
	var changes []lineage.Change
	var want error
	bad, deletes := -1, 0
	for i, id := range ids {
		old := m.records[recordName{partition, id}]
		c := lineage.Change{
			Op:     lineage.Op(rapid.IntRange(int(lineage.Create), int(lineage.Delete)).Draw(r, "op")),
			Record: lineage.Record{ID: id, Sort: drawSort.Draw(r, "sort"), Body: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(r, "body")},
		}
		if rapid.IntRange(0, 3).Draw(r, "version") > 0 {
			c.Record.Version = old.Version
		}
		if err := expected(c, old); err != nil && want == nil {
			want, bad = err, i
		}
		if c.Op == lineage.Delete {
			deletes++
		}
		changes = append(changes, c)
	}
	if m.lossy && deletes == len(changes) && want != nil {
		return // may be taken for the trace of a first try
	}
	versions, err := m.h.Store().Commit(m.t.Context(), partition, changes)
	var ce *lineage.ChangeError
	if !errors.Is(err, want) || errors.As(err, &ce) && ce.Index != bad {
		r.Fatalf("commit answers %v, the model %v for number %d", err, want, bad)
	}
	if err == nil {
		m.apply(r, partition, changes, versions)
	}
}

func expected(c lineage.Change, old lineage.Record) error {
	switch {
	case c.Op == lineage.Create && old.Version != "":
		return lineage.ErrExists
	case c.Op == lineage.Replace && (old.Version == "" || c.Record.Version != old.Version):
		return lineage.ErrConflict
	case c.Op == lineage.Delete && c.Record.Version != "" && c.Record.Version != old.Version:
		return lineage.ErrConflict
	}
	return nil
}

func (m *storeModel) apply(r *rapid.T, partition string, changes []lineage.Change, versions []string) {
	for i, c := range changes {
		name := recordName{partition, c.Record.ID}
		if c.Op == lineage.Delete {
			delete(m.records, name)
			continue
		}
		if versions[i] == "" || m.seen[versions[i]] {
			r.Fatalf("version %q came twice", versions[i])
		}
		m.seen[versions[i]] = true
		c.Record.Partition, c.Record.Version = partition, versions[i]
		m.records[name] = c.Record
	}
}

func (m *storeModel) get(r *rapid.T) {
	partition, ids := drawPartition.Draw(r, "partition"), rapid.SliceOfN(drawID, 1, 4).Draw(r, "ids")
	got, err := m.h.Store().Get(m.t.Context(), partition, ids...)
	if err != nil {
		r.Fatal(err)
	}
	for i, id := range ids {
		want, ok := m.records[recordName{partition, id}]
		if !ok && got[i].Version != "" || ok && !sameRecord(got[i], want) {
			r.Fatalf("got %+v, want %+v", got[i], want)
		}
	}
}

func sameRecord(a, b lineage.Record) bool {
	return a.Partition == b.Partition && a.ID == b.ID && a.Sort == b.Sort && a.Version == b.Version && string(a.Body) == string(b.Body)
}

func (m *storeModel) list(r *rapid.T) {
	q := lineage.Query{
		Partition: drawPartition.Draw(r, "partition"), Order: lineage.Order(rapid.IntRange(0, 1).Draw(r, "order")),
		Prefix: drawBound.Draw(r, "prefix"), From: drawBound.Draw(r, "from"), Until: drawBound.Draw(r, "until"),
		Descending: rapid.Bool().Draw(r, "descending"), Limit: rapid.IntRange(1, 4).Draw(r, "limit"),
	}
	want := m.matching(q)
	var got []lineage.Record
	for {
		page, err := m.h.Store().List(m.t.Context(), q)
		if err != nil {
			r.Fatal(err)
		}
		got = append(got, page.Records...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if !slices.EqualFunc(got, want, sameRecord) {
		r.Fatalf("%+v lists %v, want %v", q, got, want)
	}
}

func (m *storeModel) matching(q lineage.Query) []lineage.Record {
	key := func(r lineage.Record) string {
		if q.Order == lineage.BySort {
			return r.Sort
		}
		return r.ID
	}
	all := slices.DeleteFunc(slices.Collect(maps.Values(m.records)), func(r lineage.Record) bool {
		k := key(r)
		return r.Partition != q.Partition || k == "" || !strings.HasPrefix(k, q.Prefix) || k < q.From || q.Until != "" && k >= q.Until
	})
	slices.SortFunc(all, func(a, b lineage.Record) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.ID, b.ID))
	})
	if q.Descending {
		slices.Reverse(all)
	}
	return all
}

package cosmos_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// model is a store in memory next to the real one.
type model struct {
	t       *testing.T
	store   lineage.Store
	lossy   bool
	records map[string]lineage.Record
	seen    map[string]bool // versions
}

func TestStoreBehavesLikeItsModel(t *testing.T) {
	for name, lossy := range map[string]bool{"whole": false, "under faults": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				// rapid ends a case by a panic, which has to reach it out of
				// the bubble.
				var ended any
				bubble(t, func(t *testing.T) {
					defer func() { ended = recover() }()
					(&model{t: t, lossy: lossy}).run(r)
				})
				if ended != nil {
					panic(ended)
				}
			})
		})
	}
}

func (m *model) run(r *rapid.T) {
	o := server.Options{}
	if m.lossy {
		o.Faults = transient(rapid.Uint64().Draw(r, "seed"))
	}
	m.store, m.records, m.seen = counting{openHarness(m.t, o).store}, map[string]lineage.Record{}, map[string]bool{}
	r.Repeat(map[string]func(*rapid.T){"commit": m.commit, "list": m.list, "get": m.get})
}

var (
	drawID   = rapid.SampledFrom([]string{"a", "ab", "a/", "a?", "b", "b\x00", "é", "z/1", "z/2", "z/10", "\u2028", "\U0001f986", strings.Repeat("/", 600)})
	drawSort = rapid.SampledFrom([]string{"", "1", "10", "1/", "2", "é"})
)

func (m *model) commit(r *rapid.T) {
	ids := rapid.SliceOfNDistinct(drawID, 1, 5, rapid.ID[string]).Draw(r, "ids")
	var changes []lineage.Change
	var want error
	bad, deletes := -1, 0
	for i, id := range ids {
		old := m.records[id]
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
	versions, err := m.store.Commit(m.t.Context(), "p", changes)
	var ce *lineage.ChangeError
	if !errors.Is(err, want) || errors.As(err, &ce) && ce.Index != bad {
		r.Fatalf("commit answers %v, the model %v for number %d", err, want, bad)
	}
	if err == nil {
		m.apply(r, changes, versions)
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

func (m *model) apply(r *rapid.T, changes []lineage.Change, versions []string) {
	for i, c := range changes {
		if c.Op == lineage.Delete {
			delete(m.records, c.Record.ID)
			continue
		}
		if versions[i] == "" || m.seen[versions[i]] {
			r.Fatalf("version %q came twice", versions[i])
		}
		m.seen[versions[i]] = true
		c.Record.Partition, c.Record.Version = "p", versions[i]
		m.records[c.Record.ID] = c.Record
	}
}

func (m *model) get(r *rapid.T) {
	ids := rapid.SliceOfN(drawID, 1, 4).Draw(r, "ids")
	got, err := m.store.Get(m.t.Context(), "p", ids...)
	if err != nil {
		r.Fatal(err)
	}
	for i, id := range ids {
		want, ok := m.records[id]
		if !ok {
			want = lineage.Record{Partition: "p", ID: id}
		}
		if !same(got[i], want) {
			r.Fatalf("got %+v, want %+v", got[i], want)
		}
	}
}

func same(a, b lineage.Record) bool {
	return a.Partition == b.Partition && a.ID == b.ID && a.Sort == b.Sort && a.Version == b.Version && string(a.Body) == string(b.Body)
}

func (m *model) list(r *rapid.T) {
	bound := rapid.SampledFrom([]string{"", "", "1", "2", "a", "a/", "b", "z/", "\xc3", "é", "\xf0", "\xff"})
	q := lineage.Query{
		Partition: "p", Order: lineage.Order(rapid.IntRange(0, 1).Draw(r, "order")), Prefix: bound.Draw(r, "prefix"),
		From: bound.Draw(r, "from"), Until: bound.Draw(r, "until"), Descending: rapid.Bool().Draw(r, "descending"), Limit: rapid.IntRange(1, 4).Draw(r, "limit"),
	}
	want := m.matching(q)
	var got []lineage.Record
	for {
		page, err := m.store.List(m.t.Context(), q)
		if err != nil {
			r.Fatal(err)
		}
		got = append(got, page.Records...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if !slices.EqualFunc(got, want, same) {
		r.Fatalf("%+v lists %v, want %v", q, got, want)
	}
}

func (m *model) matching(q lineage.Query) []lineage.Record {
	key := func(r lineage.Record) string {
		if q.Order == lineage.BySort {
			return r.Sort
		}
		return r.ID
	}
	all := slices.DeleteFunc(slices.Collect(maps.Values(m.records)), func(r lineage.Record) bool {
		k := key(r)
		return k == "" || !strings.HasPrefix(k, q.Prefix) || k < q.From || q.Until != "" && k >= q.Until
	})
	slices.SortFunc(all, func(a, b lineage.Record) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.ID, b.ID))
	})
	if q.Descending {
		slices.Reverse(all)
	}
	return all
}

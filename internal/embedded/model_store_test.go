package embedded_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// storeModel is a store in memory next to the real one.
type storeModel struct {
	t       *testing.T
	h       *harness
	records map[[2]string]lineage.Record
	seen    map[string]bool // versions
}

func TestStoreBehavesLikeItsModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := &harness{options: embedded.Options{Dir: t.TempDir()}}
		h.open(t)
		defer h.Close(t)
		m := &storeModel{t: t, h: h, records: map[[2]string]lineage.Record{}, seen: map[string]bool{}}
		r.Repeat(map[string]func(*rapid.T){
			"commit": m.commit,
			"list":   m.list,
			"get":    m.get,
			"reopen": func(*rapid.T) { h.Reopen(t) },
		})
	})
}

var (
	drawPartition = rapid.SampledFrom([]string{"p", "q", "é"})
	drawID        = rapid.SampledFrom([]string{"a", "ab", "b", "b\x00", "é", "z/1", "z/2", "z/10"})
	drawSort      = rapid.SampledFrom([]string{"", "1", "10", "2", "é"})
)

func (m *storeModel) commit(r *rapid.T) {
	p := drawPartition.Draw(r, "partition")
	ids := rapid.SliceOfNDistinct(drawID, 1, 5, rapid.ID[string]).Draw(r, "ids")
	var changes []lineage.Change
	var want error
	bad := -1
	for i, id := range ids {
		old := m.records[[2]string{p, id}]
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
		changes = append(changes, c)
	}
	versions, err := m.h.Store().Commit(m.t.Context(), p, changes)
	if !errors.Is(err, want) {
		r.Fatalf("commit answers %v, the model %v", err, want)
	}
	var ce *lineage.ChangeError
	if errors.As(err, &ce) && ce.Index != bad {
		r.Fatalf("commit blames change %d, the model %d", ce.Index, bad)
	}
	if err == nil {
		m.apply(r, p, changes, versions)
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

func (m *storeModel) apply(r *rapid.T, p string, changes []lineage.Change, versions []string) {
	for i, c := range changes {
		key := [2]string{p, c.Record.ID}
		if c.Op == lineage.Delete {
			delete(m.records, key)
			continue
		}
		if versions[i] == "" || m.seen[versions[i]] {
			r.Fatalf("version %q came twice", versions[i])
		}
		m.seen[versions[i]] = true
		c.Record.Partition, c.Record.Version = p, versions[i]
		m.records[key] = c.Record
	}
}

func (m *storeModel) get(r *rapid.T) {
	p, id := drawPartition.Draw(r, "partition"), drawID.Draw(r, "id")
	rs, err := m.h.Store().Get(m.t.Context(), p, id)
	if err != nil {
		r.Fatal(err)
	}
	if want := m.records[[2]string{p, id}]; want.Version != "" && !same(rs[0], want) || want.Version != rs[0].Version {
		r.Fatalf("got %+v, want %+v", rs[0], want)
	}
}

func same(a, b lineage.Record) bool {
	return a.Partition == b.Partition && a.ID == b.ID && a.Sort == b.Sort && a.Version == b.Version && string(a.Body) == string(b.Body)
}

func (m *storeModel) list(r *rapid.T) {
	bound := rapid.SampledFrom([]string{"", "", "1", "2", "a", "b", "z/", "é"})
	q := lineage.Query{
		Partition:  drawPartition.Draw(r, "partition"),
		Order:      lineage.Order(rapid.IntRange(0, 1).Draw(r, "order")),
		Prefix:     bound.Draw(r, "prefix"),
		From:       bound.Draw(r, "from"),
		Until:      bound.Draw(r, "until"),
		Descending: rapid.Bool().Draw(r, "descending"),
		Limit:      rapid.IntRange(1, 4).Draw(r, "limit"),
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
	if !slices.EqualFunc(got, want, same) {
		r.Fatalf("%+v lists %v, want %v", q, got, want)
	}
}

func (m *storeModel) matching(q lineage.Query) (all []lineage.Record) {
	key := func(r lineage.Record) string {
		if q.Order == lineage.BySort {
			return r.Sort
		}
		return r.ID
	}
	for _, r := range m.records {
		k := key(r)
		if r.Partition == q.Partition && k != "" && strings.HasPrefix(k, q.Prefix) && k >= q.From && (q.Until == "" || k < q.Until) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b lineage.Record) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.ID, b.ID))
	})
	if q.Descending {
		slices.Reverse(all)
	}
	return all
}

package porttest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// list reads all pages and returns the ids.
func (l *storeLaw) list(q lineage.Query) (ids []string) {
	l.Helper()
	q.Partition = "p"
	for range 10_000 {
		page, err := l.Store().List(l.ctx, q)
		l.must(err)
		if q.Limit > 0 && len(page.Records) > q.Limit {
			l.Fatalf("a page of %d, asked for %d", len(page.Records), q.Limit)
		}
		for _, r := range page.Records {
			ids = append(ids, r.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
	l.Fatal("the list does not end")
	return nil
}

func (l *storeLaw) lists(q lineage.Query, want ...string) {
	l.Helper()
	if got := l.list(q); !slices.Equal(got, want) {
		l.Errorf("%+v lists\n%q, want\n%q", q, got, want)
	}
}

func sorted(id, sort string) lineage.Change {
	return lineage.Change{Op: lineage.Upsert, Record: lineage.Record{ID: id, Sort: sort, Body: []byte(id)}}
}

func lawListOrder(l *storeLaw) {
	for _, id := range names {
		l.commit(create(id, "x"))
	}
	want := slices.Sorted(slices.Values(names))
	l.lists(lineage.Query{Limit: 7}, want...)
	slices.Reverse(want)
	l.lists(lineage.Query{Limit: 7, Descending: true}, want...)
}

func lawListSort(l *storeLaw) {
	l.commit(sorted("1", "b"), sorted("2", "a"), sorted("3", ""), sorted("4", "b"), sorted("0", "b"), sorted("5", "c"))
	for _, limit := range []int{0, 1, 2} {
		l.lists(lineage.Query{Order: lineage.BySort, Limit: limit}, "2", "0", "1", "4", "5")
		l.lists(lineage.Query{Order: lineage.BySort, Limit: limit, Descending: true}, "5", "4", "1", "0", "2")
	}
}

func lawListBounds(l *storeLaw) {
	l.commit(
		sorted("a", "event/1"), sorted("ab", "event/2"), sorted("abc", "event/10"), sorted("b", "eve"),
		sorted("b%", "event"), sorted("b_", "évent"), sorted("c", "f"), sorted("\U0010ffff", "\U0010ffff"), sorted("\U0010ffff1", ""))
	for _, c := range []struct {
		q    lineage.Query
		want []string
	}{
		{lineage.Query{Prefix: "ab"}, []string{"ab", "abc"}},
		{lineage.Query{Prefix: "b"}, []string{"b", "b%", "b_"}},
		{lineage.Query{Prefix: "b%"}, []string{"b%"}},
		{lineage.Query{Prefix: "zz"}, nil},
		{lineage.Query{Prefix: "\U0010ffff"}, []string{"\U0010ffff", "\U0010ffff1"}},
		{lineage.Query{From: "ab", Until: "b"}, []string{"ab", "abc"}},
		{lineage.Query{From: "b_"}, []string{"b_", "c", "\U0010ffff", "\U0010ffff1"}},
		{lineage.Query{Until: "ab"}, []string{"a"}},
		{lineage.Query{From: "c", Until: "a"}, nil},
		{lineage.Query{Prefix: "a", From: "ab", Until: "abc"}, []string{"ab"}},
		{lineage.Query{Prefix: "b", From: "a", Until: "z"}, []string{"b", "b%", "b_"}},
		{lineage.Query{Order: lineage.BySort, Prefix: "event"}, []string{"b%", "a", "abc", "ab"}},
		{lineage.Query{Order: lineage.BySort, From: "event/1", Until: "event/2"}, []string{"a", "abc"}},
	} {
		for _, limit := range []int{0, 1} {
			c.q.Limit, c.q.Descending = limit, false
			l.lists(c.q, c.want...)
			c.q.Descending = true
			reversed := slices.Clone(c.want)
			slices.Reverse(reversed)
			l.lists(c.q, reversed...)
		}
	}
}

// fill creates records 000 to n-1 in the partition "p", with sort keys that
// run the other way, three records to a key.
func (l *storeLaw) fill(n int) {
	l.Helper()
	for start := 0; start < n; start += 100 {
		var changes []lineage.Change
		for i := start; i < min(n, start+100); i++ {
			changes = append(changes, sorted(fmt.Sprintf("%03d", i), fmt.Sprintf("s%03d", (n-i)/3)))
		}
		l.commit(changes...)
	}
}

func lawPages(l *storeLaw) {
	const n = 250
	l.fill(n)
	for _, order := range []lineage.Order{lineage.ByID, lineage.BySort} {
		whole := l.list(lineage.Query{Order: order, Limit: 1000})
		if len(whole) != n {
			l.Fatalf("%d records in all, want %d", len(whole), n)
		}
		for _, limit := range []int{1, 2, 3, 83, 249, 250} {
			l.lists(lineage.Query{Order: order, Limit: limit}, whole...)
		}
	}
}

// lawStablePages pages while others create and delete: what was there before
// and is not touched comes exactly once.
func lawStablePages(l *storeLaw) {
	const n = 100
	l.fill(n)
	for _, q := range []lineage.Query{
		{Limit: 7}, {Limit: 7, Descending: true},
		{Limit: 7, Order: lineage.BySort}, {Limit: 7, Order: lineage.BySort, Descending: true},
	} {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() { l.disturb(stop) })
		seen := map[string]int{}
		for _, id := range l.list(q) {
			seen[id]++
		}
		close(stop)
		wg.Wait()
		for i := range n {
			if id := fmt.Sprintf("%03d", i); seen[id] != 1 {
				l.Errorf("%+v: %s came %d times", q, id, seen[id])
			}
		}
	}
}

func (l *storeLaw) disturb(stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		id := fmt.Sprintf("%03d+", i%100)
		for _, c := range []lineage.Change{sorted(id, fmt.Sprintf("s%03d", i%40)), remove(id)} {
			if _, err := l.Store().Commit(l.ctx, "p", []lineage.Change{c}); err != nil {
				l.Error(err)
				return
			}
		}
	}
}

func lawListLimits(l *storeLaw) {
	for _, q := range []lineage.Query{{Limit: -1}, {Limit: 1001}, {Order: 99}} {
		q.Partition = "p"
		if _, err := l.Store().List(l.ctx, q); err == nil {
			l.Errorf("%+v was accepted", q)
		}
	}
}

func lawListDefault(l *storeLaw) {
	l.fill(101)
	page, err := l.Store().List(l.ctx, lineage.Query{Partition: "p"})
	l.must(err)
	if len(page.Records) > 100 || page.Next == "" {
		l.Errorf("a page of %d, next %q", len(page.Records), page.Next)
	}
}

func lawBadCursor(l *storeLaw) {
	l.fill(10)
	for _, cursor := range []string{"nonsense", "AAAA", "\x00", "é", "A"} {
		if _, err := l.Store().List(l.ctx, lineage.Query{Partition: "p", Cursor: cursor}); err == nil {
			l.Errorf("the cursor %q was accepted", cursor)
		}
	}
}

func lawSortMoves(l *storeLaw) {
	bySort := lineage.Query{Order: lineage.BySort}
	l.commit(sorted("a", "1"), sorted("b", "2"))
	l.lists(bySort, "a", "b")
	l.commit(sorted("a", "3"))
	l.lists(bySort, "b", "a")
	l.commit(sorted("b", ""))
	l.lists(bySort, "a")
	l.commit(remove("a"))
	l.lists(bySort)
	l.lists(lineage.Query{}, "b")
}

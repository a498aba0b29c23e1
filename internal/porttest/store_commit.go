package porttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func lawWritten(l *storeLaw) {
	expires := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	want := lineage.Record{ID: "a", Sort: "2026-01-02", Body: []byte(`{"x":1}`), Expires: expires}
	v := l.commit(lineage.Change{Op: lineage.Create, Record: want})
	got := l.get("a")
	if got.Partition != "p" || got.ID != "a" || got.Sort != want.Sort || !bytes.Equal(got.Body, want.Body) {
		l.Errorf("got %+v", got)
	}
	if got.Version != v[0] || got.Version == "" {
		l.Errorf("version %q, commit said %q", got.Version, v[0])
	}
	if d := got.Expires.Sub(expires); d < 0 || d > 2*time.Second {
		l.Errorf("expires %v, want %v", got.Expires, expires)
	}
}

func lawAbsent(l *storeLaw) {
	l.commit(create("b", "B"))
	rs, err := l.Store().Get(l.ctx, "p", "a", "b", "c", "b")
	l.must(err)
	if len(rs) != 4 || rs[0].Version != "" || rs[2].Version != "" || rs[1].ID != "b" || rs[3].Version != rs[1].Version || rs[1].Version == "" {
		l.Errorf("got %+v", rs)
	}
	if rs, err := l.Store().Get(l.ctx, "p"); err != nil || len(rs) != 0 {
		l.Errorf("get of nothing: %v, %v", rs, err)
	}
}

func lawBodies(l *storeLaw) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, body := range [][]byte{
		every, {}, {0}, []byte("\xff\xfe"), []byte(`"`), bytes.Repeat([]byte{0x80}, 100_000),
		[]byte("<&>\u2028\u2029\uFFFD"), []byte(`{"html": "<b>\u003c</b>"}`), bytes.Repeat([]byte("<"), 100_000), noise(5000, 1),
	} {
		id := fmt.Sprint(i)
		l.commit(lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: id, Body: body}})
		l.holds(id, body)
	}
}

// names are record ids that backends like to trip over.
var names = []string{
	"a", "A", "é", "e\u0301", "ﬃ", "日本語", "🦆", " ", "a b", "a/b", `a\b`, "a?b#c", "%2F", "../x", "'; DROP TABLE records; --",
	"\x00", "a\x00b", "a\x00", "\n", "\u2028", "*", "_", "%", strings.Repeat("é", 450),
}

func lawNames(l *storeLaw) {
	for _, id := range names {
		l.commit(create(id, "body of "+id))
	}
	for _, id := range names {
		l.holds(id, []byte("body of "+id))
		r := l.get(id)
		v := l.commit(change(lineage.Replace, id, "new", r.Version))
		l.commit(change(lineage.Delete, id, "", v[0]))
		l.holds(id, nil)
	}
}

func lawRetainsNothing(l *storeLaw) {
	body := []byte("before")
	l.commit(lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: "a", Body: body}})
	copy(body, "XXXXXX")
	r := l.get("a")
	copy(r.Body, "YYYYYY")
	l.holds("a", []byte("before"))
}

func lawCreate(l *storeLaw) {
	l.commit(create("a", "first"))
	l.refused(lineage.ErrExists, create("a", "second"))
	l.holds("a", []byte("first"))
	l.commit(remove("a"))
	l.commit(create("a", "third"))
	l.holds("a", []byte("third"))
}

func lawReplace(l *storeLaw) {
	v1 := l.commit(create("a", "1"))[0]
	v2 := l.commit(change(lineage.Replace, "a", "2", v1))[0]
	for _, version := range []string{v1, "", "nonsense", v2 + "0", " " + v2} {
		l.refused(lineage.ErrConflict, change(lineage.Replace, "a", "3", version))
	}
	l.holds("a", []byte("2"))
}

func lawReplaceAbsent(l *storeLaw) {
	v := l.commit(create("other", "1"))[0]
	for _, version := range []string{"", v, "0"} {
		l.refused(lineage.ErrConflict, change(lineage.Replace, "a", "1", version))
	}
	l.holds("a", nil)
}

func lawUpsert(l *storeLaw) {
	l.commit(upsert("a", "1"))
	l.commit(change(lineage.Upsert, "a", "2", "whatever"))
	l.holds("a", []byte("2"))
}

func lawDelete(l *storeLaw) {
	v1 := l.commit(create("a", "1"))[0]
	v2 := l.commit(upsert("a", "2"))[0]
	l.refused(lineage.ErrConflict, change(lineage.Delete, "a", "", v1))
	l.holds("a", []byte("2"))
	if v := l.commit(change(lineage.Delete, "a", "", v2)); v[0] != "" {
		l.Errorf("a delete has the version %q", v[0])
	}
	l.holds("a", nil)
	if !l.lossy {
		l.refused(lineage.ErrConflict, change(lineage.Delete, "a", "", v2))
	}
	l.commit(create("a", "3"))
	l.refused(lineage.ErrConflict, change(lineage.Delete, "a", "", v2))
	l.holds("a", []byte("3"))
}

func lawDeleteAny(l *storeLaw) {
	l.commit(remove("a"))
	l.commit(create("a", "1"))
	l.commit(remove("a"))
	l.holds("a", nil)
}

// lawDeleteAbsent mixes deletes of what is not there with everything else.
func lawDeleteAbsent(l *storeLaw) {
	v := l.commit(create("there", "1"), create("swapped", "1"))
	l.commit(remove("gone 1"), create("new", "1"), remove("there"), change(lineage.Replace, "swapped", "2", v[1]), remove("gone 2"), upsert("gone 3", "1"))
	l.holds("there", nil)
	l.holds("gone 1", nil)
	l.holds("gone 2", nil)
	l.holds("swapped", []byte("2"))
	l.holds("new", []byte("1"))
	l.refused(lineage.ErrExists, remove("gone 1"), remove("new"), create("swapped", "3"), remove("gone 2"))
	l.holds("new", []byte("1"))
	var many []lineage.Change
	for i := range lineage.MaxChanges - 1 {
		many = append(many, remove(fmt.Sprint(i)))
	}
	l.commit(append(many, upsert("new", "2"))...)
	l.holds("new", []byte("2"))
	l.commit(create("again", "1"), remove("other"))
	l.commit(remove("other"), remove("again"))
	l.holds("again", nil)
}

func lawVersions(l *storeLaw) {
	seen := map[string]bool{}
	for range 20 {
		for _, c := range []lineage.Change{create("a", "1"), upsert("a", "1"), remove("a")} {
			v := l.commit(c)[0]
			if seen[v] {
				l.Fatalf("version %q came twice", v)
			}
			seen[v] = v != ""
		}
	}
}

func lawVersionsReopen(l *storeLaw) {
	seen := map[string]bool{}
	for range 4 {
		v := l.commit(create("a", "1"))[0]
		if seen[v] {
			l.Fatalf("version %q came twice", v)
		}
		seen[v] = true
		l.commit(remove("a"))
		l.Reopen(l.T)
	}
}

// lawAtomic lets one change of a commit fail, at each place.
func lawAtomic(l *storeLaw) {
	const count = 5
	l.commit(create("there", "old"), upsert("kept", "old"))
	for bad := range count {
		var changes []lineage.Change
		for i := range count {
			changes = append(changes, create(fmt.Sprint("new", i), "x"))
		}
		changes = append(changes, upsert("kept", "new"), create("there", "new"))
		changes[bad], changes[len(changes)-1] = changes[len(changes)-1], changes[bad]
		l.refused(lineage.ErrExists, changes...)
		for i := range count {
			l.holds(fmt.Sprint("new", i), nil)
		}
		l.holds("kept", []byte("old"))
	}
}

func lawChangeError(l *storeLaw) {
	l.commit(create("there", "1"))
	for _, bad := range []struct {
		change lineage.Change
		want   error
	}{
		{create("there", "2"), lineage.ErrExists},
		{change(lineage.Replace, "there", "2", "no"), lineage.ErrConflict},
		{change(lineage.Delete, "there", "", "no"), lineage.ErrConflict},
		{lineage.Change{Op: lineage.Upsert, Record: lineage.Record{ID: "there", Body: make([]byte, lineage.MaxBody+1)}}, lineage.ErrTooLarge},
	} {
		_, err := l.Store().Commit(l.ctx, "p", []lineage.Change{create("a", "1"), bad.change, create("b", "1")})
		var ce *lineage.ChangeError
		if !errors.As(err, &ce) || ce.Index != 1 || ce.ID != "there" || !errors.Is(err, bad.want) {
			l.Errorf("got %v, want number 1, there: %v", err, bad.want)
		}
	}
}

func lawPartitions(l *storeLaw) {
	for _, p := range []string{"p", "P", "p/", "q", "pq"} {
		_, err := l.Store().Commit(l.ctx, p, []lineage.Change{create("a", p)})
		l.must(err)
	}
	for _, p := range []string{"p", "P", "p/", "q", "pq"} {
		rs, err := l.Store().Get(l.ctx, p, "a")
		l.must(err)
		page, err := l.Store().List(l.ctx, lineage.Query{Partition: p})
		l.must(err)
		if string(rs[0].Body) != p || len(page.Records) != 1 || string(page.Records[0].Body) != p {
			l.Errorf("partition %s has %q, lists %+v", p, rs[0].Body, page.Records)
		}
	}
}

func lawOneCreator(l *storeLaw) {
	for round := range 10 {
		if won := l.race(func(int) lineage.Change { return create(fmt.Sprint(round), "x") }, lineage.ErrExists); won != 1 {
			l.Fatalf("%d creators won", won)
		}
	}
}

func lawOneSwapper(l *storeLaw) {
	v := l.commit(create("a", "0"))[0]
	for range 10 {
		won := l.race(func(i int) lineage.Change { return change(lineage.Replace, "a", fmt.Sprint(i), v) }, lineage.ErrConflict)
		if won != 1 {
			l.Fatalf("%d swappers won", won)
		}
		v = l.get("a").Version
	}
}

// race lets several callers commit at once and counts the winners.
func (l *storeLaw) race(c func(i int) lineage.Change, loss error) int {
	results := make(chan error, 16)
	for i := range cap(results) {
		go func() {
			_, err := l.Store().Commit(l.ctx, "p", []lineage.Change{c(i)})
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		err := <-results
		if err == nil {
			won++
		} else if !errors.Is(err, loss) {
			l.Error(err)
		}
	}
	return won
}

// lawNoHalf reads two records that are always written together.
func lawNoHalf(l *storeLaw) {
	l.commit(create("a", "0"), create("b", "0"))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() { l.readPairs(stop) })
	}
	for i := range 100 {
		l.commit(upsert("a", fmt.Sprint(i)), upsert("b", fmt.Sprint(i)))
	}
	close(stop)
	wg.Wait()
}

func (l *storeLaw) readPairs(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		rs, err := l.Store().Get(l.ctx, "p", "a", "b")
		if err != nil || string(rs[0].Body) != string(rs[1].Body) {
			l.Errorf("read %v, %v", rs, err)
			return
		}
	}
}

func lawStoreReopen(l *storeLaw) {
	v := l.commit(create("a", "1"), create("b", "2"))
	l.commit(remove("b"))
	l.Reopen(l.T)
	l.holds("a", []byte("1"))
	l.holds("b", nil)
	l.commit(change(lineage.Replace, "a", "2", v[0]))
}

func lawCommitLimits(l *storeLaw) {
	var changes []lineage.Change
	for i := range lineage.MaxChanges {
		changes = append(changes, create(fmt.Sprintf("%0900d", i), strings.Repeat("x", lineage.MaxCommitBytes/100-900)))
	}
	l.commit(changes...)
	partition := strings.Repeat("p", lineage.MaxPartition)
	_, err := l.Store().Commit(l.ctx, partition, []lineage.Change{
		{Op: lineage.Create, Record: lineage.Record{ID: "a", Sort: strings.Repeat("s", lineage.MaxSort), Body: make([]byte, lineage.MaxBody)}},
	})
	l.must(err)
	rs, err := l.Store().Get(l.ctx, partition, "a")
	l.must(err)
	if len(rs[0].Body) != lineage.MaxBody {
		l.Errorf("a body of %d bytes came back", len(rs[0].Body))
	}
}

// noise is bytes that no compression makes smaller.
func noise(size int, seed byte) []byte {
	body := make([]byte, size)
	// ChaCha8 never fails.
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(body)
	return body
}

// awkward are runes that some encoding makes long.
var awkward = []string{"\x00", "<", "\u2028", "\uffff", "\U0001f986"}

// lawCommitWorst fills a commit to its limits with what is hardest to store:
// bodies that do not compress, names of runes that have to be escaped.
func lawCommitWorst(l *storeLaw) {
	l.commit(lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: "large", Body: noise(lineage.MaxBody, 0)}})
	l.holds("large", noise(lineage.MaxBody, 0))
	for seed, r := range awkward {
		fill := func(size int) string { return strings.Repeat(r, size/len(r)) }
		changes := make([]lineage.Change, lineage.MaxChanges)
		for i := range changes {
			rec := lineage.Record{ID: fmt.Sprintf("%02d", i) + fill(lineage.MaxRecordID-2), Sort: fill(lineage.MaxSort)}
			rec.Body = noise(lineage.MaxCommitBytes/lineage.MaxChanges-len(rec.ID)-len(rec.Sort), byte(seed))
			changes[i] = lineage.Change{Op: lineage.Create, Record: rec}
		}
		partition := fill(lineage.MaxPartition)
		versions, err := l.Store().Commit(l.ctx, partition, changes)
		l.must(err)
		for i := range changes {
			changes[i].Op, changes[i].Record.Version = lineage.Replace, versions[i]
		}
		_, err = l.Store().Commit(l.ctx, partition, changes)
		l.must(err)
		for _, i := range []int{0, lineage.MaxChanges - 1} {
			want := changes[i].Record
			got, err := l.Store().Get(l.ctx, partition, want.ID)
			l.must(err)
			if got[0].ID != want.ID || got[0].Sort != want.Sort || got[0].Partition != partition || !bytes.Equal(got[0].Body, want.Body) {
				l.Errorf("a record named by %q came back as %.20q, %.20q, %d bytes", r, got[0].ID, got[0].Sort, len(got[0].Body))
			}
		}
	}
}

func lawCommitTooLarge(l *storeLaw) {
	var many, heavy []lineage.Change
	for i := range 101 {
		many = append(many, create(fmt.Sprint(i), "x"))
	}
	for i := range 4 {
		heavy = append(heavy, create(fmt.Sprint(i), strings.Repeat("x", 600<<10)))
	}
	l.refused(lineage.ErrTooLarge, many...)
	l.refused(lineage.ErrTooLarge, heavy...)
	l.refused(lineage.ErrTooLarge, create(strings.Repeat("i", 901), "x"))
	l.refused(lineage.ErrTooLarge, lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: "a", Sort: strings.Repeat("s", 201)}})
	for what, changes := range map[string][]lineage.Change{
		"an empty id":          {create("", "x")},
		"an id not UTF-8":      {create("\xff", "x")},
		"one record twice":     {create("a", "x"), upsert("a", "y")},
		"an unknown operation": {{Op: 99, Record: lineage.Record{ID: "a"}}},
	} {
		if _, err := l.Store().Commit(l.ctx, "p", changes); err == nil {
			l.Errorf("%s was accepted", what)
		}
	}
	if _, err := l.Store().Commit(l.ctx, "", []lineage.Change{create("a", "x")}); err == nil {
		l.Error("an empty partition was accepted")
	}
	page, err := l.Store().List(l.ctx, lineage.Query{Partition: "p"})
	if err != nil || len(page.Records) > 0 {
		l.Errorf("written was %v, %v", page.Records, err)
	}
}

func lawEmptyCommit(l *storeLaw) {
	if v, err := l.Store().Commit(l.ctx, "p", nil); err != nil || len(v) != 0 {
		l.Errorf("got %v, %v", v, err)
	}
}

func expiring(id string, in time.Duration) lineage.Change {
	return lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: id, Body: []byte("x"), Expires: time.Now().Add(in)}}
}

func lawExpired(l *storeLaw) {
	l.commit(expiring("a", time.Minute), create("b", "stays"))
	l.Advance(time.Hour)
	// A store may forget late, but not so late that the name is lost.
	l.commit(upsert("a", "again"))
	l.holds("a", []byte("again"))
	l.holds("b", []byte("stays"))
	l.Advance(time.Hour)
	l.holds("a", []byte("again"))
}

func lawNotExpired(l *storeLaw) {
	l.commit(expiring("a", time.Hour))
	l.Advance(59 * time.Minute)
	l.holds("a", []byte("x"))
}

func lawStoreCancelled(l *storeLaw) {
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	_, commit := l.Store().Commit(ctx, "p", []lineage.Change{create("a", "1")})
	_, get := l.Store().Get(ctx, "p", "a")
	_, list := l.Store().List(ctx, lineage.Query{Partition: "p"})
	for call, err := range map[string]error{"Commit": commit, "Get": get, "List": list} {
		if !errors.Is(err, context.Canceled) {
			l.Errorf("%s answers %v", call, err)
		}
	}
}

func lawStoreClosed(l *storeLaw) {
	s := l.Store()
	l.Close(l.T)
	_, commit := s.Commit(l.ctx, "p", []lineage.Change{create("a", "1")})
	_, get := s.Get(l.ctx, "p", "a")
	_, list := s.List(l.ctx, lineage.Query{Partition: "p"})
	for call, err := range map[string]error{"Commit": commit, "Get": get, "List": list} {
		if !errors.Is(err, lineage.ErrClosed) {
			l.Errorf("%s answers %v", call, err)
		}
	}
}

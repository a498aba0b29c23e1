package cosmos_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

func noisy(size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b)
	return string(b)
}

// TestGetOfSeveralPages reads more than a page of the service holds: twice,
// to know that nothing changed in between, and no more.
func TestGetOfSeveralPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		var ids []string
		for i := range 6 {
			ids = append(ids, fmt.Sprint(i))
			h.commit(t, record(lineage.Create, ids[i], noisy(lineage.MaxBody), ""))
		}
		before := h.server.Stats()[server.Query].Requests
		got, err := h.store.Get(t.Context(), "p", ids...)
		if err != nil || len(got) != 6 || string(got[5].Body) != noisy(lineage.MaxBody) {
			t.Fatalf("%d records, %v", len(got), err)
		}
		if n := h.server.Stats()[server.Query].Requests - before; n != 4 {
			t.Errorf("%d queries, want two pages twice", n)
		}
	})
}

// TestGetOfRecordsThatKeepChanging gives up rather than showing half of a
// commit.
func TestGetOfRecordsThatKeepChanging(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var h *harness
		n := 0
		faults := &server.Faults{Rates: []server.Rate{{Fault: server.Fault{ShortPage: true}, Probability: 1}}}
		faults.Only = func(op server.Operation, _ *http.Request) bool {
			if op == server.Query {
				n++
				h.commit(t, record(lineage.Upsert, "a", fmt.Sprint(n), ""), record(lineage.Upsert, "b", fmt.Sprint(n), ""))
			}
			return op == server.Query
		}
		h = openHarness(t, server.Options{Faults: faults})
		defer faults.Stop()
		if got, err := h.store.Get(t.Context(), "p", "a", "b"); err == nil {
			t.Errorf("got %q and %q", got[0].Body, got[1].Body)
		}
	})
}

// TestListOfShortPages: pages of the service that are empty or short are not
// the end, and every page of ours makes progress.
func TestListOfShortPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, fault := range []server.Fault{{EmptyPage: true}, {ShortPage: true}} {
			faults := &server.Faults{Seed: 1, Rates: []server.Rate{{Fault: fault, Probability: 0.5}}}
			h := openHarness(t, server.Options{Faults: faults})
			for i := range 20 {
				h.commit(t, lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: fmt.Sprintf("%02d", i), Sort: "s"}})
			}
			for _, order := range []lineage.Order{lineage.ByID, lineage.BySort} {
				q := lineage.Query{Partition: "p", Order: order, Limit: 3}
				seen := 0
				for pages := 1; ; pages++ {
					page, err := h.store.List(t.Context(), q)
					if err != nil || len(page.Records) > 3 || pages > 8 {
						t.Fatalf("page %d has %d records, %v", pages, len(page.Records), err)
					}
					for _, r := range page.Records {
						if want := fmt.Sprintf("%02d", seen); r.ID != want {
							t.Fatalf("%s comes in the place of %s", r.ID, want)
						}
						seen++
					}
					if q.Cursor = page.Next; q.Cursor == "" {
						break
					}
				}
				if seen != 20 {
					t.Errorf("%d records in all", seen)
				}
			}
		}
	})
}

// TestCursorsAreForOneListing refuses a cursor in any other.
func TestCursorsAreForOneListing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		h.commit(t, record(lineage.Create, "a", "", ""), record(lineage.Create, "b", "", ""))
		q := lineage.Query{Partition: "p", Limit: 1}
		page, err := h.store.List(t.Context(), q)
		if err != nil || page.Next == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		q.Cursor = page.Next
		for name, change := range map[string]func(*lineage.Query){
			"partition": func(q *lineage.Query) { q.Partition = "q" }, "order": func(q *lineage.Query) { q.Order = lineage.BySort },
			"direction": func(q *lineage.Query) { q.Descending = true }, "prefix": func(q *lineage.Query) { q.Prefix = "a" },
			"from": func(q *lineage.Query) { q.From = "a" }, "until": func(q *lineage.Query) { q.Until = "z" },
			"cursor": func(q *lineage.Query) { q.Cursor += "A" + q.Cursor[:1] + "!" },
		} {
			other := q
			change(&other)
			if _, err := h.store.List(t.Context(), other); !errors.Is(err, lineage.ErrBadCursor) {
				t.Errorf("another %s: %v", name, err)
			}
		}
		q.Limit = 10
		if page, err := h.store.List(t.Context(), q); err != nil || len(page.Records) != 1 {
			t.Errorf("another limit: %+v, %v", page, err)
		}
	})
}

// TestForeignItem does not ask again for what it will never understand.
func TestForeignItem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		_, err := sdk(t, h).CreateItem(t.Context(), azcosmos.NewPartitionKeyString("p"), []byte(`{"id":"a","pk":"p"}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.store.Get(t.Context(), "p", "a"); err == nil {
			t.Error("it was read")
		}
		if _, err := h.store.List(t.Context(), lineage.Query{Partition: "p"}); err == nil {
			t.Error("it was listed")
		}
		if n := h.server.Stats()[server.Query].Requests + h.server.Stats()[server.ReadItem].Requests; n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

// sdk is the official client for the records' container.
func sdk(t *testing.T, h *harness) *azcosmos.ContainerClient {
	t.Helper()
	cred, err := azcosmos.NewKeyCredential(h.server.Key())
	if err != nil {
		t.Fatal(err)
	}
	o := &azcosmos.ClientOptions{}
	o.Transport = h.server.Transport()
	client, err := azcosmos.NewClientWithKey("https://account.test/", cred, o)
	if err != nil {
		t.Fatal(err)
	}
	ct, err := client.NewContainer("modelwarden", "records")
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// TestRecordsExpire leaves it to the service to forget.
func TestRecordsExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		time.Sleep(700 * time.Millisecond) // off the whole second
		c := record(lineage.Create, "a", "1", "")
		c.Record.Expires = time.Now().Add(10 * time.Second)
		h.commit(t, c)
		time.Sleep(10 * time.Second)
		if a := h.get(t, "a"); a.Version == "" || !a.Expires.Equal(c.Record.Expires) {
			t.Errorf("forgotten early: %+v", a)
		}
		time.Sleep(2 * time.Second)
		if a := h.get(t, "a"); a.Version != "" {
			t.Errorf("not forgotten: %+v", a)
		}
		h.commit(t, record(lineage.Create, "a", "2", ""))
	})
}

// TestWhatExpiresInAgesIsKept: further off than a Duration, or the service's
// seconds, can say.
func TestWhatExpiresInAgesIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		c := record(lineage.Create, "a", "1", "")
		c.Record.Expires = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		h.commit(t, c)
		h.Advance(time.Hour)
		if a := h.get(t, "a"); a.Version == "" {
			t.Error("forgotten")
		}
	})
}

// TestListLeavesTheRest: a short page and a full one are more than the limit,
// and the service has no more; what was left must not be lost.
func TestListLeavesTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := &server.Faults{Only: func(op server.Operation, _ *http.Request) bool { return op == server.Query }}
		h := openHarness(t, server.Options{Faults: faults})
		for i := range 4 {
			h.commit(t, record(lineage.Create, fmt.Sprint(i), "", ""))
		}
		faults.Add(server.Fault{ShortPage: true})
		first, err := h.store.List(t.Context(), lineage.Query{Partition: "p", Limit: 3})
		if err != nil || len(first.Records) != 3 || first.Next == "" {
			t.Fatalf("%+v, %v", first, err)
		}
		rest, err := h.store.List(t.Context(), lineage.Query{Partition: "p", Limit: 3, Cursor: first.Next})
		if err != nil || len(rest.Records) != 1 || rest.Records[0].ID != "3" || rest.Next != "" {
			t.Errorf("%+v, %v", rest, err)
		}
	})
}

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

func messages(count, size int) []lineage.Message {
	ms := make([]lineage.Message, count)
	for i := range ms {
		ms[i] = lineage.Message{ID: fmt.Sprint(i), Body: make([]byte, size)}
	}
	return ms
}

func TestBacklogDoesNotGrowMemory(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	const batches = 40
	for range batches {
		if err := h.Queue().Send(t.Context(), messages(100, 10<<10)); err != nil {
			t.Fatal(err)
		}
		bytes, _, err := h.db.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if bytes > embedded.WindowBytes+1<<20 {
			t.Fatalf("%d bytes of messages in memory", bytes)
		}
	}
	for got := 0; got < batches*100; {
		ds, err := h.Queue().Receive(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		got += len(ds)
		done := make([]lineage.Settlement, len(ds))
		for i, d := range ds {
			done[i].Lease = d.Lease
		}
		if err := h.Queue().Settle(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := h.db.Number("SELECT count(*) FROM segments"); err != nil || n != 0 {
		t.Errorf("%d segments are left, %v", n, err)
	}
	if bytes, _, err := h.db.Memory(); err != nil || bytes != 0 {
		t.Errorf("%d bytes of messages are in memory, %v", bytes, err)
	}
}

// TestStuckMessagePinsNoSegment keeps one message of many leased: when it is
// extended its neighbours' bytes are given back.
func TestStuckMessagePinsNoSegment(t *testing.T) {
	for name, keep := range map[string]func(lineage.Queue, lineage.Delivery) error{
		"extended": func(q lineage.Queue, d lineage.Delivery) error {
			return q.Extend(t.Context(), []lineage.Lease{d.Lease})
		},
		"retried": func(q lineage.Queue, d lineage.Delivery) error {
			return q.Settle(t.Context(), []lineage.Settlement{{Lease: d.Lease, Verdict: lineage.Retry}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHarness(t, embedded.Options{})
			q := h.Queue()
			sent := messages(40, 1000)
			sent[17].Body = []byte(strings.Repeat("y", 1000))
			if err := q.Send(t.Context(), sent); err != nil {
				t.Fatal(err)
			}
			ds, err := q.Receive(t.Context(), 40)
			if err != nil || len(ds) != 40 {
				t.Fatalf("%d messages, %v", len(ds), err)
			}
			var done []lineage.Settlement
			var stuck lineage.Delivery
			for _, d := range ds {
				if d.ID == "17" {
					stuck = d
				} else {
					done = append(done, lineage.Settlement{Lease: d.Lease})
				}
			}
			if err := errors.Join(q.Settle(t.Context(), done), keep(q, stuck)); err != nil {
				t.Fatal(err)
			}
			if n, err := h.db.Number("SELECT sum(length(data)) FROM segments"); err != nil || n > 2000 {
				t.Errorf("one message keeps %d bytes, %v", n, err)
			}
			h.Reopen(t)
			ds, err = h.Queue().Receive(t.Context(), 40)
			if err != nil || len(ds) != 1 || string(ds[0].Body) != string(sent[17].Body) || ds[0].Attempt != 2 {
				t.Errorf("received %v, %v", ds, err)
			}
		})
	}
}

func TestLeasesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{MaxLeased: 3})
		q := h.Queue()
		if err := q.Send(t.Context(), messages(10, 10)); err != nil {
			t.Fatal(err)
		}
		ds, err := q.Receive(t.Context(), 10)
		if err != nil || len(ds) != 3 {
			t.Fatalf("received %d, %v; at most 3 may be leased", len(ds), err)
		}
		next := make(chan int, 1)
		go func() {
			more, err := q.Receive(t.Context(), 10)
			if err != nil {
				t.Error(err)
			}
			next <- len(more)
		}()
		synctest.Wait()
		if err := q.Settle(t.Context(), []lineage.Settlement{{Lease: ds[0].Lease}}); err != nil {
			t.Fatal(err)
		}
		if n := <-next; n != 1 {
			t.Errorf("received %d after one was done", n)
		}
	})
}

// TestImpatientReceiversLeaveNoTrace lets thousands of receivers come and go.
func TestImpatientReceiversLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		for range 2000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := h.Queue().Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		if _, waiting, err := h.db.Memory(); err != nil || waiting > 128 {
			t.Errorf("%d receivers still wait, %v", waiting, err)
		}
	})
}

func TestExpiredRecordsAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		for i := range 12 {
			var changes []lineage.Change
			for k := range 100 {
				r := lineage.Record{ID: fmt.Sprint(i, "/", k), Sort: "s", Body: []byte("x"), Expires: time.Now().Add(time.Minute)}
				if k == 0 {
					r.Expires = time.Time{}
				}
				changes = append(changes, lineage.Change{Record: r})
			}
			if _, err := h.Store().Commit(t.Context(), "p", changes); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		if n, err := h.db.Number("SELECT count(*) FROM records"); err != nil || n != 12 {
			t.Errorf("%d records are left, want the 12 that do not expire; %v", n, err)
		}
	})
}

func TestExpiredRecordIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		write := func(op lineage.Op, version string) ([]string, error) {
			r := lineage.Record{ID: "a", Body: []byte("x"), Version: version, Expires: time.Now().Add(time.Second)}
			return h.Store().Commit(t.Context(), "p", []lineage.Change{{Op: op, Record: r}})
		}
		v, err := write(lineage.Create, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := recorded(t, h.db, "a"); got != "" {
			t.Errorf("an expired record has the body %q", got)
		}
		page, err := h.Store().List(t.Context(), lineage.Query{Partition: "p"})
		if err != nil || len(page.Records) != 0 || page.Next != "" {
			t.Errorf("an expired record is listed: %+v, %v", page, err)
		}
		if _, err := write(lineage.Replace, v[0]); !errors.Is(err, lineage.ErrConflict) {
			t.Errorf("replace answers %v", err)
		}
		if _, err := write(lineage.Create, ""); err != nil {
			t.Errorf("create answers %v", err)
		}
	})
}

func TestSendRefusesWhatNeverFits(t *testing.T) {
	h := openHarness(t, embedded.Options{MaxMessage: 1000})
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, m := range map[string]lineage.Message{
		"a large body":        {Body: make([]byte, 1001)},
		"a long id":           {ID: strings.Repeat("i", 2000)},
		"many properties":     {Properties: many},
		"large properties":    {Properties: map[string]string{"k": strings.Repeat("x", 17<<10)}},
		"body and properties": {Body: make([]byte, 900), Properties: map[string]string{"k": strings.Repeat("x", 100)}},
	} {
		err := h.Queue().Send(t.Context(), []lineage.Message{{ID: "fits"}, m})
		if !errors.Is(err, lineage.ErrTooLarge) || !strings.Contains(err.Error(), "message 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, err := h.Queue().Depth(t.Context()); err != nil || d.Ready != 0 {
		t.Errorf("depth %+v, %v", d, err)
	}
}

// TestLargeMessages sends what does not fit into one group.
func TestLargeMessages(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	const count, size = 4, 10 << 20
	if err := h.Queue().Send(t.Context(), messages(count, size)); err != nil {
		t.Fatal(err)
	}
	h.Reopen(t)
	for got := 0; got < count; {
		ds, err := h.Queue().Receive(t.Context(), count)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			if len(d.Body) != size {
				t.Fatalf("a body of %d bytes", len(d.Body))
			}
		}
		got += len(ds)
	}
}

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// lose sends messages and lets them be handed out together and lost in a
// crash a number of times.
func lose(t *testing.T, h *harness, count, crashes int) {
	t.Helper()
	if err := h.Queue().Send(t.Context(), messages(count, 100)); err != nil {
		t.Fatal(err)
	}
	for range crashes {
		if got := len(deliver(t, h, count)); got != count {
			t.Fatalf("a batch of %d, want %d", got, count)
		}
		h.Reopen(t)
	}
}

// deliver is one Receive; none when nothing is ready.
func deliver(t *testing.T, h *harness, most int) []lineage.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	ds, err := h.Queue().Receive(ctx, most)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return ds
}

func settle(t *testing.T, h *harness, ds ...lineage.Delivery) {
	t.Helper()
	var done []lineage.Settlement
	for _, d := range ds {
		done = append(done, lineage.Settlement{Lease: d.Lease})
	}
	if err := h.Queue().Settle(t.Context(), done); err != nil {
		t.Fatal(err)
	}
}

// TestSuspectsComeAlone loses a batch with its process as often as batches
// are made of it; one delivery more counts only for the messages handed out.
func TestSuspectsComeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		lose(t, h, 50, 3)
		single := deliver(t, h, 100)
		if len(single) != 1 || single[0].Attempt != 4 {
			t.Fatalf("received %+v; want one as attempt 4", single)
		}
		h.Reopen(t)
		counts := map[int]int{}
		for range 50 {
			ds := deliver(t, h, 100)
			if len(ds) != 1 {
				t.Fatalf("received %d", len(ds))
			}
			counts[ds[0].Attempt]++
			settle(t, h, ds...)
		}
		if counts[4] != 49 || counts[5] != 1 {
			t.Errorf("messages by attempt: %v", counts)
		}
		if left := deliver(t, h, 100); len(left) != 0 {
			t.Errorf("%d are left", len(left))
		}
	})
}

// TestPoisonDiesAlone has a receiver that settles each batch before the next
// and dies whenever one message is among what it received.
func TestPoisonDiesAlone(t *testing.T) {
	for _, poison := range []string{"0", "25", "49"} {
		t.Run(poison, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { poisoned(t, poison) })
		})
	}
}

func poisoned(t *testing.T, poison string) {
	h := openHarness(t, embedded.Options{})
	if err := h.Queue().Send(t.Context(), messages(50, 100)); err != nil {
		t.Fatal(err)
	}
	settled := map[string]bool{}
	for ds := deliver(t, h, 100); len(ds) > 0; ds = deliver(t, h, 100) {
		if holds(ds, poison) {
			h.Reopen(t)
			continue
		}
		settle(t, h, ds...)
		for _, d := range ds {
			settled[d.ID] = true
		}
	}
	dead, _, err := h.DeadLetters().ListDead(t.Context(), "", 100)
	if err != nil || len(dead) != 1 || dead[0].Message.ID != poison || dead[0].Reason != "max_deliveries" || dead[0].Attempt != 10 {
		t.Fatalf("the dead are %+v, %v", dead, err)
	}
	if len(settled) != 49 {
		t.Errorf("%d were settled, want 49", len(settled))
	}
}

func holds(ds []lineage.Delivery, id string) bool {
	for _, d := range ds {
		if d.ID == id {
			return true
		}
	}
	return false
}

// TestBatchEndsBeforeASuspect sends fresh messages around one that was
// delivered three times.
func TestBatchEndsBeforeASuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		send := func(ids ...string) {
			for _, id := range ids {
				if err := h.Queue().Send(t.Context(), []lineage.Message{{ID: id}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		send("suspect")
		for range 3 {
			d := deliver(t, h, 1)
			if err := h.Queue().Settle(t.Context(), []lineage.Settlement{{Lease: d[0].Lease, Verdict: lineage.Retry}}); err != nil {
				t.Fatal(err)
			}
		}
		held := deliver(t, h, 1)
		send("a", "b")
		err := h.Queue().Settle(t.Context(), []lineage.Settlement{{Lease: held[0].Lease, Verdict: lineage.Retry}})
		if err != nil {
			t.Fatal(err)
		}
		send("c", "d")
		var got []string
		for range 3 {
			got = append(got, ids(deliver(t, h, 100)))
		}
		if want := "[[a b] [suspect] [c d]]"; fmt.Sprint(got) != want {
			t.Errorf("batches %v, want %s", got, want)
		}
	})
}

func ids(ds []lineage.Delivery) string {
	all := make([]string, len(ds))
	for i, d := range ds {
		all[i] = d.ID
	}
	return fmt.Sprint(all)
}

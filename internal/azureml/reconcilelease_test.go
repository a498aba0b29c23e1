package azureml

import (
	"context"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// late is a store that answers one commit with the end of the context, and
// carries it out before the next.
type late struct {
	lineage.Store
	armed   bool
	cancel  func()
	pending func()
}

func (s *late) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	if s.armed {
		s.armed = false
		s.cancel()
		s.pending = func() { _, _ = s.Store.Commit(context.WithoutCancel(ctx), partition, changes) }
		return nil, context.Canceled
	}
	if s.pending != nil {
		s.pending()
		s.pending = nil
	}
	return s.Store.Commit(ctx, partition, changes)
}

// TestALeaseIsFreeAsSoonAsItsHolderStops, also when the last renewal had no
// answer and comes through only while it is given up.
func TestALeaseIsFreeAsSoonAsItsHolderStops(t *testing.T) {
	for _, stoppedWhile := range []string{"taking", "renewing", "waiting"} {
		t.Run(stoppedWhile, func(t *testing.T) {
			db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ctx, cancel := context.WithCancel(t.Context())
			store := &late{Store: db.Store(), cancel: cancel, armed: stoppedWhile == "taking"}
			first := &lease{store: store, partition: "p", id: "l", holder: "a", now: time.Now}
			mine, err := first.take(ctx)
			if mine != (stoppedWhile != "taking") {
				t.Fatalf("taken: %v, %v", mine, err)
			}
			if store.armed = stoppedWhile == "renewing"; store.armed {
				if _, err := first.commit(ctx); err == nil {
					t.Fatal("the fault was not noticed")
				}
			}
			cancel()
			if mine {
				if err := first.release(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if store.pending != nil {
				t.Fatal("the late write can still come through")
			}
			second := &lease{store: store, partition: "p", id: "l", holder: "b", now: time.Now}
			if mine, err := second.take(t.Context()); !mine || err != nil {
				t.Errorf("the next holder: %v, %v", mine, err)
			}
		})
	}
}

package embedded_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

// bubble runs a law in virtual time.
func bubble(t *testing.T, law func(t *testing.T)) { synctest.Test(t, law) }

// harness is an open data folder under test.
type harness struct {
	options embedded.Options
	db      *embedded.DB
}

func openHarness(t *testing.T, o embedded.Options) *harness {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	h := &harness{options: o}
	h.open(t)
	t.Cleanup(func() { h.Close(t) })
	return h
}

func (h *harness) open(t *testing.T) {
	t.Helper()
	db, err := embedded.Open(t.Context(), h.options)
	if err != nil {
		t.Fatal(err)
	}
	h.db = db
}

func (h *harness) Queue() lineage.Queue             { return h.db.Queue() }
func (h *harness) DeadLetters() lineage.DeadLetters { return h.db.DeadLetters() }
func (h *harness) Store() lineage.Store             { return h.db.Store() }
func (h *harness) Advance(d time.Duration)          { time.Sleep(d) } // of virtual time

func (h *harness) Close(t *testing.T) {
	t.Helper()
	if err := h.db.Close(); err != nil {
		t.Error(err)
	}
}

func (h *harness) Reopen(t *testing.T) {
	t.Helper()
	h.Close(t)
	h.open(t)
}

var queueBackend = porttest.QueueBackend{
	Around: bubble,
	Open: func(t *testing.T, o porttest.QueueOptions) porttest.QueueHarness {
		return openHarness(t, embedded.Options{Lease: o.Lease, MaxDeliveries: o.MaxDeliveries})
	},
}

func TestQueue(t *testing.T)       { porttest.Queue(t, queueBackend) }
func TestDeadLetters(t *testing.T) { porttest.DeadLetters(t, queueBackend) }

var storeBackend = porttest.StoreBackend{
	Around: bubble,
	Open:   func(t *testing.T) porttest.StoreHarness { return openHarness(t, embedded.Options{}) },
}

func TestStore(t *testing.T)                    { porttest.Store(t, storeBackend) }
func TestStoreBehavesLikeItsModel(t *testing.T) { porttest.StoreModel(t, storeBackend) }

package cosmos_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/porttest"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// bubble runs a law in virtual time.
func bubble(t *testing.T, law func(t *testing.T)) { synctest.Test(t, law) }

// harness is a store over a server in the same process.
type harness struct {
	server *server.Server
	store  *cosmos.Store
}

// containerOptions are what Provision makes.
var containerOptions = server.ContainerOptions{DefaultTTL: -1, IncludedPaths: []string{"/pk/?", "/o/?"}}

func openHarness(t testing.TB, o server.Options) *harness {
	t.Helper()
	h := &harness{server: server.New(o)}
	h.server.CreateContainer("modelwarden", "records", containerOptions)
	h.open(t)
	t.Cleanup(func() {
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) options() cosmos.Options {
	return cosmos.Options{Endpoint: "https://account.test/", Key: h.server.Key(), Transport: h.server.Transport()}
}

func (h *harness) open(t testing.TB) {
	t.Helper()
	var err error
	if h.store, err = cosmos.Open(h.options()); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) Store() lineage.Store    { return h.store }
func (h *harness) Advance(d time.Duration) { time.Sleep(d) } // of virtual time

func (h *harness) Close(t *testing.T) {
	t.Helper()
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

func (h *harness) Reopen(t *testing.T) {
	t.Helper()
	h.Close(t)
	h.open(t)
}

func TestStore(t *testing.T) {
	porttest.Store(t, porttest.StoreBackend{
		Around: bubble,
		Open:   func(t *testing.T) porttest.StoreHarness { return openHarness(t, server.Options{}) },
	})
}

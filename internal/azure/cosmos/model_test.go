package cosmos_test

import (
	"math/rand/v2"
	"testing"

	"github.com/modelwarden/modelwarden/internal/porttest"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

func TestStoreBehavesLikeItsModel(t *testing.T) {
	porttest.StoreModel(t, porttest.StoreBackend{
		Around: bubble,
		Open:   func(t *testing.T) porttest.StoreHarness { return openHarness(t, server.Options{}) },
	})
}

func TestStoreBehavesLikeItsModelUnderFaults(t *testing.T) {
	porttest.StoreModel(t, porttest.StoreBackend{
		Around: bubble,
		Lossy:  true,
		Open: func(t *testing.T) porttest.StoreHarness {
			return countingHarness{openHarness(t, server.Options{Faults: transient(rand.Uint64())})}
		},
	})
}

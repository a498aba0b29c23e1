package worker

import (
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// TestBreachesExactlyWithinCount: the rule's bound belongs to it.
func TestBreachesExactlyWithinCount(t *testing.T) {
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	all := []struck{
		{Model: "model/ws/early", At: noon.Add(-time.Hour)},
		{Model: "model/ws/too-early", At: noon.Add(-time.Hour - 1)},
		{Model: "model/ws/late", At: noon.Add(time.Hour)},
		{Model: "model/ws/too-late", At: noon.Add(time.Hour + 1)},
	}
	got := struckWith(all, &policy.Action{Occurred: noon}, time.Hour).models
	if want := []lineage.ID{"model/ws/early", "model/ws/late"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

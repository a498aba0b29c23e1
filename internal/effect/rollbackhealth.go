package effect

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// servedSince is when a deployment came to serve a model version that it still
// serves, by its events; zero when they do not say that it does.
func servedSince(deployment *lineage.Asset, model lineage.ID) time.Time {
	var since time.Time
	for _, m := range slices.Backward(deployment.Sets["served"]) {
		var models []lineage.ID
		if json.Unmarshal(m.V, &models) != nil || !slices.Contains(models, model) {
			break
		}
		since = m.S.At
	}
	return since
}

// health says what the model's monitors found last while a deployment was the
// newest one, from its start until its successor's.
func (r *Rollback) health(ctx context.Context, model lineage.ID, from, until time.Time) (reason, note string, err error) {
	doc, err := loadAsset(ctx, r.o.Store, model)
	if err != nil {
		return "", "", err
	}
	measured := false
	for _, monitor := range causes(doc, lineage.Watches) {
		found, err := loadAsset(ctx, r.o.Store, monitor)
		if err != nil {
			return "", "", err
		}
		window, breached := lastWindow(found, from, until)
		if breached {
			return fmt.Sprintf("was not healthy when it was replaced: monitor %s found a breach in its window %s", monitor.Name(), window), "", nil
		}
		measured = measured || window != ""
	}
	if !measured {
		note = "no monitor measured that model while it was in service"
	}
	return "", note, nil
}

// lastWindow is the newest window that a monitor measured in a span of time,
// and whether any signal breached in it; "" when it measured none.
func lastWindow(monitor *lineage.Asset, from, until time.Time) (window string, breached bool) {
	for _, member := range slices.Backward(monitor.Sets["measured"]) {
		var m lineage.Measured
		if member.S.At.Before(from) || !member.S.At.Before(until) || json.Unmarshal(member.V, &m) != nil {
			continue
		}
		if window == "" {
			window = m.Window
		}
		breached = breached || m.Window == window && m.Breached
	}
	return window, breached
}

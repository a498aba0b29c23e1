package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// commonCause files a monitor's review under the data that its model shares
// with others, where so many of them breach at the same time that the data is
// what is wrong: one review, not one for every model. Before that is known, a
// review of a model whose data feeds enough others waits a while with its
// calls; a critical one does not. It returns the causes that belong together,
// none where the review stays its own.
func (w *Worker) commonCause(ctx context.Context, b *batch, a *policy.Action) ([]Cause, error) {
	models, within, settle := b.policies.Storm()
	model, _ := lineage.ParseID(a.Model)
	_, partition, _ := policy.SplitID(a.ID)
	if models == 0 || w.o.Gather == nil || model == "" || isNotice(*a) || lineage.ID(partition).Kind() != lineage.Monitor {
		return nil, nil
	}
	if a.Part != "" { // a try before this one
		a.Cause, a.Part = a.Part, ""
	}
	shared, err := w.sharedData(ctx, model, models)
	if err != nil || len(shared) == 0 {
		return nil, err
	}
	for _, data := range shared {
		hit, _, err := w.strike(ctx, data, a, within, true)
		if err != nil {
			return nil, err
		}
		if len(hit.models) >= models {
			a.Grace = 0 // that of a try before this one
			a.Part, a.Cause = a.Cause, policy.DataCause(string(data))
			a.Title = fmt.Sprintf("%d models breached that were trained on %s", len(hit.models), data)
			a.Reason = stormDetail(data, hit.models) + ". Look at the data first."
			return hit.causes, nil
		}
	}
	if a.Severity != "critical" {
		a.Grace = policy.Duration(max(0, settle-w.o.Now().Sub(a.Created)).Round(time.Second))
	}
	return nil, nil
}

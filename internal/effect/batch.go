package effect

import (
	"context"
	"fmt"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// BatchOptions configure a Batch.
type BatchOptions struct {
	// Target is the policy file's.
	Target policy.BatchTarget
	// Invoke is azureml.Operator's InvokeBatch.
	Invoke func(context.Context, event.Workspace, azureml.BatchSpec) (azureml.Job, bool, error)
	// Workspace finds one by its alias.
	Workspace func(alias string) (event.Workspace, bool)
	// Records are the lineage that inputs may ask; a lineage.Store.
	Records records
}

// Batch retrains by a run of a batch endpoint, whose deployment is a training
// pipeline. It adopts what was started before, as Pipeline does.
type Batch struct {
	o      BatchOptions
	inputs inputs
}

// NewBatch checks the options. Its error names the input that is wrong.
func NewBatch(o BatchOptions) (*Batch, error) {
	in, err := newInputs(o.Target.Inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs.%w", err)
	}
	return &Batch{o: o, inputs: in}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (b *Batch) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	want, err := newOrder(ctx, policy.BatchKind, b.inputs, b.o.Records, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	ws, err := workspaces(b.o.Workspace).of(b.o.Target.Workspace, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	job, created, err := b.o.Invoke(ctx, ws, azureml.BatchSpec{
		Name: want.name, Endpoint: b.o.Target.Endpoint, Deployment: b.o.Target.Deployment,
		Inputs: want.inputs, Tags: want.tags,
	})
	if err != nil {
		// The service may name the run itself: it is found in a listing.
		return policy.Outcome{}, uncertain(fmt.Errorf("batch endpoint %s of workspace %s: %w", b.o.Target.Endpoint, ws.Alias, err))
	}
	return started("workspace "+ws.Alias, job, created, a)
}

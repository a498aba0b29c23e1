package effect

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// AzureML is what targets in Azure Machine Learning are reached by: its own
// adapter, not a cache in front of it. A rollback that acts on what the
// traffic was a minute ago acts wrongly.
type AzureML interface {
	azureml.Source
	azureml.Operator
}

// workspaces finds a workspace by its alias.
type workspaces func(alias string) (event.Workspace, bool)

// of is the workspace that an action is for: the target's, else its event's.
func (w workspaces) of(alias string, a policy.Action) (event.Workspace, error) {
	if alias == "" {
		alias = lineage.ID(a.Asset).Workspace()
	}
	ws, ok := w(alias)
	if !ok {
		return event.Workspace{}, &policy.PermanentError{Err: fmt.Errorf("workspace %q is not listed under azureML.workspaces", alias)}
	}
	return ws, nil
}

// errNoAzureML is what targets in Azure Machine Learning say without it.
var errNoAzureML = errors.New("this target acts in a workspace, and azureML.workspaces lists none")

// PipelineOptions configure a Pipeline.
type PipelineOptions struct {
	// Target is the policy file's.
	Target policy.AzureMLTarget
	// Submit is azureml.Operator's.
	Submit func(context.Context, event.Workspace, azureml.JobSpec) (azureml.Job, bool, error)
	// Workspace finds one by its alias.
	Workspace func(alias string) (event.Workspace, bool)
	// Records are the lineage that inputs may ask; a lineage.Store.
	Records records
}

// Pipeline retrains by a pipeline job of a registered component. The job's
// name is made of the action's key, so that one which was submitted before is
// adopted.
type Pipeline struct {
	o      PipelineOptions
	inputs inputs
}

// NewPipeline checks the options. Its error names the input that is wrong.
func NewPipeline(o PipelineOptions) (*Pipeline, error) {
	in, err := newInputs(o.Target.Inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs.%w", err)
	}
	return &Pipeline{o: o, inputs: in}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (p *Pipeline) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	want, err := newOrder(ctx, policy.AzureMLKind, p.inputs, p.o.Records, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	ws, err := workspaces(p.o.Workspace).of(p.o.Target.Workspace, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	job, created, err := p.o.Submit(ctx, ws, azureml.JobSpec{
		Name: want.name, DisplayName: displayName(a), Experiment: p.o.Target.Experiment,
		Component: p.o.Target.Component, Compute: p.o.Target.Compute, Inputs: want.inputs, Tags: want.tags,
	})
	if err != nil {
		return policy.Outcome{}, fmt.Errorf("workspace %s: %w", ws.Alias, err)
	}
	return started("workspace "+ws.Alias, job, created, a)
}

func displayName(a policy.Action) string { return "Retrain by policy " + a.Policy }

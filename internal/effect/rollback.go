package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// defaultApprovalTag marks a model version that may be rolled back to.
const defaultApprovalTag = "modelwarden.approved"

// endpointBusy is how long a rollback waits for an endpoint that is being
// changed; a traffic update takes Azure a minute or so.
const endpointBusy = 30 * time.Second

// RollbackOptions configure a Rollback.
type RollbackOptions struct {
	// Target is the policy file's.
	Target  policy.RollbackTarget
	AzureML traffic
	// Workspace finds one by its alias.
	Workspace func(alias string) (event.Workspace, bool)
	// Store holds the lineage that is asked, and the plans; a lineage.Store.
	Store planStore
	// Now is the clock.
	Now func() time.Time
}

// traffic is what a rollback asks of a workspace and does there.
type traffic interface {
	Endpoint(ctx context.Context, ws event.Workspace, name string) (azureml.Endpoint, error)
	ModelVersion(ctx context.Context, ws event.Workspace, name, version string) (azureml.ModelVersion, error)
	SetTraffic(ctx context.Context, ws event.Workspace, endpoint string, saw, want map[string]int) error
}

// Rollback shifts the traffic of an online endpoint from the deployment that an
// action is about back to the last one before it whose model was healthy and
// is approved.
//
// What it is going to do it first writes down under the action's key: an
// attempt that finds a plan carries it out and makes no other. Without that, the
// repeat after a crash would take the deployment that it had just rolled back
// to for the bad one.
type Rollback struct{ o RollbackOptions }

// NewRollback makes a target of a workspace's endpoints.
func NewRollback(o RollbackOptions) *Rollback {
	o.Target.ApprovalTag = cmp.Or(o.Target.ApprovalTag, defaultApprovalTag)
	return &Rollback{o}
}

func (r *Rollback) dryRun() bool { return r.o.Target.DryRun == nil || *r.o.Target.DryRun }
func (r *Rollback) needsApproval() bool {
	return r.o.Target.RequireApproval == nil || *r.o.Target.RequireApproval
}

// Do implements policy.Effector for rollback actions: one attempt.
func (r *Rollback) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	if a.Type != policy.Rollback {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("a rollback target can't perform %q: it takes rollback actions", a.Type)}
	}
	ws, err := workspaces(r.o.Workspace).of(r.o.Target.Workspace, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	name := cmp.Or(r.o.Target.Endpoint, endpointOf(lineage.ID(a.Asset)))
	if name == "" {
		return policy.Outcome{}, &policy.PermanentError{Err: errors.New("the event speaks of no endpoint: name one in the rollback target")}
	}
	stored, err := loadPlans(ctx, r.o.Store, lineage.NewID(lineage.Endpoint, ws.Alias, strings.ToLower(name)), a.Key)
	if err != nil {
		return policy.Outcome{}, err
	}
	if r.dryRun() {
		return r.rehearse(ctx, ws, name, a, stored)
	}
	if stored.mine == nil {
		p, err := r.plan(ctx, ws, name, a, stored)
		if err != nil {
			return policy.Outcome{}, err
		}
		if err := stored.put(ctx, p); err != nil {
			return policy.Outcome{}, err
		}
	}
	return r.carryOut(ctx, ws, stored)
}

// rehearse says what Do would do.
func (r *Rollback) rehearse(ctx context.Context, ws event.Workspace, name string, a policy.Action, stored *plans) (policy.Outcome, error) {
	p, err := r.plan(ctx, ws, name, a, stored)
	if err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: "dry run, nothing was done: would shift " + p.describe(ws) + "; write dryRun: false in the target to do it"}, nil
}

// endpointOf is the endpoint that an asset is, or is part of.
func endpointOf(asset lineage.ID) string {
	if k := asset.Kind(); k == lineage.Endpoint || k == lineage.Deployment {
		return asset.Name()
	}
	return ""
}

// carryOut shifts the traffic as planned, unless that was done already, and
// notes that it is in force.
func (r *Rollback) carryOut(ctx context.Context, ws event.Workspace, stored *plans) (policy.Outcome, error) {
	p := stored.mine
	if !stored.done() {
		if err := r.enforce(ctx, ws, p); err != nil {
			return policy.Outcome{}, err
		}
		if err := stored.finish(ctx); err != nil {
			return policy.Outcome{}, err
		}
	}
	to := lineage.NewID(lineage.Deployment, ws.Alias, strings.ToLower(p.Endpoint), strings.ToLower(p.To))
	return policy.Outcome{Summary: "shifted " + p.describe(ws), Ref: string(to)}, nil
}

// enforce makes the traffic what the plan wants, if it is still what the plan
// saw.
func (r *Rollback) enforce(ctx context.Context, ws event.Workspace, p *plan) error {
	ep, err := r.o.AzureML.Endpoint(ctx, ws, p.Endpoint)
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", p.Endpoint, err)
	}
	if err := settled("endpoint "+ep.Name, ep.State); err != nil {
		return err
	}
	switch {
	case sameTraffic(ep.Traffic, p.Want):
		return nil
	case sameTraffic(ep.Traffic, p.Saw):
		return r.shift(ctx, ws, &ep, p)
	}
	return &policy.PermanentError{Err: fmt.Errorf("endpoint %s: somebody changed its traffic meanwhile: it is %s, it was %s", p.Endpoint, shares(ep.Traffic), shares(p.Saw))}
}

// shift changes the traffic and verifies it.
func (r *Rollback) shift(ctx context.Context, ws event.Workspace, ep *azureml.Endpoint, p *plan) error {
	// Between two attempts the target may have broken or gone.
	to := find(ep.Deployments, p.To)
	if to == nil {
		return &policy.PermanentError{Err: fmt.Errorf("deployment %s of %s does not exist any more", p.To, p.Endpoint)}
	}
	if err := settled("deployment "+to.Name, to.State); err != nil {
		return err
	}
	err := r.o.AzureML.SetTraffic(ctx, ws, p.Endpoint, ep.Traffic, p.Want)
	if err != nil {
		return fmt.Errorf("endpoint %s: set traffic: %w", p.Endpoint, err)
	}
	after, err := r.o.AzureML.Endpoint(ctx, ws, p.Endpoint)
	if err != nil {
		return fmt.Errorf("endpoint %s: verify its traffic: %w", p.Endpoint, err)
	}
	if !sameTraffic(after.Traffic, p.Want) {
		return &policy.RetryAfterError{Err: fmt.Errorf("endpoint %s: its traffic is %s after it was set to %s", p.Endpoint, shares(after.Traffic), shares(p.Want)), After: endpointBusy}
	}
	return nil
}

// settled refuses what is not in the state Succeeded: for now while it is being
// changed, for good when it failed.
func settled(what, state string) error {
	switch state {
	case "Succeeded":
		return nil
	case "Creating", "Updating", "Scaling":
		return &policy.RetryAfterError{Err: fmt.Errorf("%s is %s", what, state), After: endpointBusy}
	}
	return &policy.PermanentError{Err: fmt.Errorf("%s is in state %q, not Succeeded", what, state)}
}

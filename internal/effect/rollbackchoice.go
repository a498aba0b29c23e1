package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// placed is a deployment and when it was the newest of its endpoint: since it
// came to serve what it serves (by the lineage, else when Azure created it),
// until the next one did. What has been deleted since is not known.
type placed struct {
	azureml.Deployment
	since, until time.Time
}

func (p *placed) model() string {
	if p.Model.Name == "" {
		return "no model"
	}
	return p.Model.Name + ":" + p.Model.Version
}

func find(all []azureml.Deployment, name string) *azureml.Deployment {
	i := slices.IndexFunc(all, func(d azureml.Deployment) bool { return strings.EqualFold(d.Name, name) })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// refuse is a precheck that failed.
func refuse(format string, args ...any) error {
	return &policy.PermanentError{Err: fmt.Errorf("rollback refused: "+format, args...)}
}

// plan chooses what to shift, and refuses what is not safe.
func (r *Rollback) plan(ctx context.Context, ws event.Workspace, name string, a policy.Action, before *plans) (plan, error) {
	ep, err := r.o.AzureML.Endpoint(ctx, ws, name)
	if errors.Is(err, lineage.ErrNotFound) {
		return plan{}, refuse("workspace %s has no online endpoint %s", ws.Alias, name)
	}
	if err != nil {
		return plan{}, fmt.Errorf("endpoint %s: %w", name, err)
	}
	if err := settled("endpoint "+name, ep.State); err != nil {
		return plan{}, err
	}
	if before.inForce(ep.Traffic) && !happened(a).After(before.latest.At) {
		return plan{}, refuse("endpoint %s was rolled back at %s (to %s), after what this action answers to", name, before.latest.At.UTC().Format(time.RFC3339), before.latest.To)
	}
	all, err := r.place(ctx, ws, name, ep.Deployments)
	if err != nil {
		return plan{}, err
	}
	from, err := culprit(all, ep.Traffic, a)
	if err != nil {
		return plan{}, err
	}
	bad := before.rolledBack(ep.Traffic)
	to, note, err := r.choose(ctx, ws, all, from, bad)
	if err != nil {
		return plan{}, err
	}
	p := plan{
		Key: a.Key, Endpoint: name, From: from.Name, FromModel: from.model(), To: to.Name, ToModel: to.model(),
		Saw: maps.Clone(ep.Traffic), Want: maps.Clone(ep.Traffic), Note: note, At: r.o.Now().UTC(), RolledBack: bad,
	}
	// Both name both deployments: what undoes it has to take To's share away.
	p.Saw[p.To] += 0
	p.Want[p.To] += p.Want[p.From]
	p.Want[p.From] = 0
	return p, nil
}

// place dates the deployments and puts the newest first.
func (r *Rollback) place(ctx context.Context, ws event.Workspace, endpoint string, all []azureml.Deployment) ([]placed, error) {
	out := make([]placed, 0, len(all))
	for _, d := range all {
		// Events write both names in lower case.
		id := lineage.NewID(lineage.Deployment, ws.Alias, strings.ToLower(endpoint), strings.ToLower(d.Name))
		doc, err := loadAsset(ctx, r.o.Store, id)
		if err != nil {
			return nil, err
		}
		model := lineage.NewID(lineage.Model, ws.Alias, d.Model.Name, d.Model.Version)
		since := servedSince(doc, model)
		if since.IsZero() {
			since = d.Created
		}
		out = append(out, placed{Deployment: d, since: since})
	}
	slices.SortStableFunc(out, func(a, b placed) int {
		return cmp.Or(b.since.Compare(a.since), strings.Compare(a.Name, b.Name))
	})
	for i := 1; i < len(out); i++ {
		out[i].until = out[i-1].since
	}
	return out, nil
}

// culprit is the deployment that an action is about, newest first in all: the
// one it names, else the newest with traffic that serves its model.
func culprit(all []placed, traffic map[string]int, a policy.Action) (*placed, error) {
	asset, model := lineage.ID(a.Asset), lineage.ID(a.Model)
	for i := range all {
		d := &all[i]
		switch {
		case traffic[d.Name] <= 0,
			asset.Kind() == lineage.Deployment && !strings.EqualFold(asset.Version(), d.Name),
			model != "" && model.Name() != d.Model.Name,
			model.Version() != "" && model.Version() != d.Model.Version:
			continue
		case d.since.After(happened(a)):
			return nil, refuse("deployment %s (%s) is in service since %s, after what this action answers to", d.Name, d.model(), d.since.UTC().Format(time.RFC3339))
		}
		return d, nil
	}
	return nil, refuse("no deployment with traffic is what this action is about (%s)", cmp.Or(a.Model, a.Asset))
}

// choose takes the newest deployment before the culprit that passes every
// precheck. The error says of each why it did not.
func (r *Rollback) choose(ctx context.Context, ws event.Workspace, all []placed, from *placed, bad []string) (to *placed, note string, err error) {
	var reasons []string
	for i := range all {
		d := &all[i]
		if d.Name == from.Name {
			continue
		}
		reason, note, err := r.precheck(ctx, ws, d, from, bad)
		if err != nil {
			return nil, "", err
		}
		if reason == "" {
			return d, note, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s (%s) %s", d.Name, d.model(), reason))
	}
	if len(reasons) == 0 {
		return nil, "", refuse("%s is the only deployment", from.Name)
	}
	return nil, "", refuse("no deployment to go back to: %s", strings.Join(reasons, "; "))
}

// precheck says why not to go back to a deployment; "" when nothing is against
// it, with what to note. bad are models that were rolled back before.
func (r *Rollback) precheck(ctx context.Context, ws event.Workspace, d, from *placed, bad []string) (reason, note string, err error) {
	switch {
	case d.Model.Name == "" || d.Model.Version == "":
		return "serves no model version that is known", "", nil
	case d.Model == from.Model:
		return "serves the same model version", "", nil
	case slices.Contains(bad, d.model()):
		return "was itself rolled back before", "", nil
	case d.since.After(from.since):
		return "is newer", "", nil
	case d.State != "Succeeded":
		return fmt.Sprintf("is in state %q, not Succeeded", d.State), "", nil
	}
	if reason, err := r.modelReason(ctx, ws, d.Model); reason != "" || err != nil {
		return reason, "", err
	}
	return r.health(ctx, lineage.NewID(lineage.Model, ws.Alias, d.Model.Name), d.since, d.until)
}

// modelReason looks at what Azure knows of the model version.
func (r *Rollback) modelReason(ctx context.Context, ws event.Workspace, ref event.ModelRef) (reason string, err error) {
	m, err := r.o.AzureML.ModelVersion(ctx, ws, ref.Name, ref.Version)
	tag := r.o.Target.ApprovalTag
	switch {
	case errors.Is(err, lineage.ErrNotFound):
		return "serves a model version that does not exist any more", nil
	case err != nil:
		return "", fmt.Errorf("model %s:%s: %w", ref.Name, ref.Version, err)
	case m.Archived:
		return "serves an archived model version", nil
	case r.needsApproval() && !strings.EqualFold(m.Tags[tag], "true") && !strings.EqualFold(m.Properties[tag], "true"):
		return fmt.Sprintf("serves a model version that is not approved: its tag %s is not true", tag), nil
	}
	return "", nil
}

package effect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// plan is one rollback, as it is stored in its endpoint's partition: once under
// its action's key, and once as the endpoint's latest.
type plan struct {
	Key      string `json:"key"`
	Endpoint string `json:"endpoint"`
	// From and To are deployments, FromModel and ToModel what they serve
	// ("churn:8").
	From      string `json:"from"`
	FromModel string `json:"fromModel"`
	To        string `json:"to"`
	ToModel   string `json:"toModel"`
	// Saw is the traffic before, which undoes the rollback; Want that after.
	Saw  map[string]int `json:"saw"`
	Want map[string]int `json:"want"`
	// RolledBack are the model versions that earlier rollbacks of this endpoint
	// took out of service, the newest last.
	RolledBack []string `json:"rolledBack,omitempty"`
	// Done says that it is in force: set on the endpoint's latest.
	Done bool `json:"done,omitempty"`
	// Note is what a person should know besides.
	Note string    `json:"note,omitempty"`
	At   time.Time `json:"at"`
}

// planStore keeps plans and knows the lineage; a lineage.Store is one.
type planStore interface {
	records
	Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error)
}

// maxRolledBack bounds plan.RolledBack: more than an endpoint has deployments.
const maxRolledBack = 64

// latestPlan is the record of an endpoint's latest rollback, and the prefix of
// those by key.
const latestPlan = "rollback"

func planRecord(key string) string { return latestPlan + "/" + key }

// plans are what is stored about an endpoint's rollbacks.
type plans struct {
	store    planStore
	endpoint lineage.ID
	// mine is the action's own, latest the endpoint's; nil when there is none.
	mine, latest *plan
	version      string // of latest
}

func loadPlans(ctx context.Context, s planStore, endpoint lineage.ID, key string) (*plans, error) {
	got, err := s.Get(ctx, string(endpoint), planRecord(key), latestPlan)
	if err != nil {
		return nil, err
	}
	out := &plans{store: s, endpoint: endpoint, version: got[1].Version}
	for i, into := range []**plan{&out.mine, &out.latest} {
		if got[i].Version == "" {
			continue
		}
		*into = &plan{}
		if err := json.Unmarshal(got[i].Body, *into); err != nil {
			return nil, fmt.Errorf("stored rollback of %s: %w", endpoint, err)
		}
	}
	return out, nil
}

// put stores a plan as the action's own and the endpoint's latest. Of two
// actions that plan a rollback of one endpoint at the same time one fails
// here, and sees the other's when it is tried again.
func (p *plans) put(ctx context.Context, next plan) error {
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	latest := lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: latestPlan, Body: body}}
	if p.version != "" {
		latest.Op, latest.Record.Version = lineage.Replace, p.version
	}
	own := lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: planRecord(next.Key), Body: body}}
	versions, err := p.store.Commit(ctx, string(p.endpoint), []lineage.Change{own, latest})
	if err != nil {
		return fmt.Errorf("plan a rollback of %s: %w", p.endpoint, err)
	}
	p.mine, p.latest, p.version = &next, &next, versions[1]
	return nil
}

// done reports whether the action's own plan is known to be in force.
func (p *plans) done() bool {
	return p.mine != nil && p.latest != nil && p.latest.Key == p.mine.Key && p.latest.Done
}

// finish notes that the action's own plan is in force, unless another action
// has planned since.
func (p *plans) finish(ctx context.Context) error {
	if p.latest == nil || p.latest.Key != p.mine.Key {
		return nil
	}
	finished := *p.latest
	finished.Done = true
	body, err := json.Marshal(finished)
	if err != nil {
		return err
	}
	change := lineage.Change{Op: lineage.Replace, Record: lineage.Record{ID: latestPlan, Version: p.version, Body: body}}
	_, err = p.store.Commit(ctx, string(p.endpoint), []lineage.Change{change})
	if err != nil && !errors.Is(err, lineage.ErrConflict) {
		return fmt.Errorf("note that %s was rolled back: %w", p.endpoint, err)
	}
	return nil
}

// inForce reports whether the endpoint's latest rollback came about: it was
// noted, or the traffic is what it wanted.
func (p *plans) inForce(traffic map[string]int) bool {
	return p.latest != nil && (p.latest.Done || sameTraffic(traffic, p.latest.Want))
}

// rolledBack are the model versions that rollbacks took out of service.
func (p *plans) rolledBack(traffic map[string]int) []string {
	if p.latest == nil {
		return nil
	}
	all := slices.Clone(p.latest.RolledBack)
	if p.inForce(traffic) {
		all = append(all, p.latest.FromModel)
	}
	return all[max(0, len(all)-maxRolledBack):]
}

// describe says what a plan does, from where it comes and how to undo it.
func (p plan) describe(ws event.Workspace) string {
	text := fmt.Sprintf("the traffic of endpoint %s from deployment %s (%s) to %s (%s): %s, before %s; to undo: %s",
		p.Endpoint, p.From, p.FromModel, p.To, p.ToModel, shares(p.Want), shares(p.Saw), p.undo(ws))
	if p.Note != "" {
		text += "; " + p.Note
	}
	return text
}

// undo is the command of Azure's CLI that puts the traffic back
// ("az ml online-endpoint update").
func (p plan) undo(ws event.Workspace) string {
	command := fmt.Sprintf(`az ml online-endpoint update --name %s --traffic "%s"`, p.Endpoint, shares(p.Saw))
	parts := strings.Split(ws.ID, "/")
	for i := 0; i+1 < len(parts); i++ {
		switch strings.ToLower(parts[i]) {
		case "resourcegroups":
			command += " --resource-group " + parts[i+1]
		case "workspaces":
			command += " --workspace-name " + parts[i+1]
		}
	}
	return command
}

// shares writes traffic as Azure's CLI takes it: "blue=90 green=10".
func shares(t map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		out = append(out, fmt.Sprintf("%s=%d", name, t[name]))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " ")
}

// sameTraffic compares; a deployment that gets nothing may be left out.
func sameTraffic(a, b map[string]int) bool {
	for name := range a {
		if a[name] != b[name] {
			return false
		}
	}
	for name := range b {
		if a[name] != b[name] {
			return false
		}
	}
	return true
}

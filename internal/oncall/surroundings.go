package oncall

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds of the surroundings.
const (
	maxModels = 4
	maxPlaces = 8
)

// surroundings are what lies around the review's assets in the lineage: the
// models as such, the version of each that is meant, where they are deployed,
// and the endpoints there.
type surroundings struct {
	models, versions, deployments, endpoints []lineage.ID
}

func add(list *[]lineage.ID, most int, ids ...lineage.ID) {
	for _, id := range ids {
		if id != "" && len(*list) < most && !slices.Contains(*list, id) {
			*list = append(*list, id)
		}
	}
}

// look finds the surroundings: from the review's model and assets to the
// models, from those to the versions, and on to where they are deployed.
func (b *builder) look(ctx context.Context) {
	s := &b.around
	b.findModels(ctx)
	for _, m := range s.models {
		name := b.asset(ctx, m)
		if name == nil {
			continue
		}
		at := lineage.ID(name.Text("servingAt"))
		add(&s.deployments, maxPlaces, at)
		if v := b.versionOf(name); v != "" {
			add(&s.versions, maxModels, v)
			add(&s.deployments, maxPlaces, others(b.asset(ctx, v), lineage.Deployed, true)...)
		}
	}
	for _, d := range s.deployments {
		add(&s.endpoints, maxPlaces, others(b.asset(ctx, d), lineage.Serves, true)...)
	}
	for _, e := range s.endpoints {
		add(&s.deployments, maxPlaces, others(b.asset(ctx, e), lineage.Serves, false)...)
	}
}

// findModels finds the models that the review is about.
func (b *builder) findModels(ctx context.Context) {
	s := &b.around
	add(&s.models, maxModels, modelName(lineage.ID(b.r.Model)))
	for _, p := range b.r.Parts {
		add(&s.models, maxModels, modelName(lineage.ID(p.Model)))
	}
	for _, a := range b.r.Assets[:min(len(b.r.Assets), maxPlaces)] {
		id := lineage.ID(a)
		switch id.Kind() {
		case lineage.Model:
			add(&s.models, maxModels, modelName(id))
		case lineage.Monitor:
			add(&s.models, maxModels, others(b.asset(ctx, id), lineage.Watches, true)...)
		case lineage.Deployment:
			add(&s.deployments, maxPlaces, id)
			b.modelsAt(ctx, id)
		case lineage.Endpoint:
			add(&s.endpoints, maxPlaces, id)
			b.modelsAt(ctx, others(b.asset(ctx, id), lineage.Serves, false)...)
		case lineage.Job:
			for _, v := range others(b.asset(ctx, id), lineage.Produced, true) {
				add(&s.models, maxModels, modelName(v))
			}
		}
	}
}

// modelsAt adds what deployments serve now.
func (b *builder) modelsAt(ctx context.Context, deployments ...lineage.ID) {
	for _, id := range deployments[:min(len(deployments), maxPlaces)] {
		doc := b.asset(ctx, id)
		if doc == nil {
			continue
		}
		if history := doc.ServedHistory(); len(history) > 0 {
			for _, m := range history[len(history)-1].Models {
				add(&b.around.models, maxModels, modelName(m))
			}
		}
	}
}

// versionOf is the version of a model that serves, else the one that the
// review names, else the latest.
func (b *builder) versionOf(name *lineage.Asset) lineage.ID {
	if v := name.Text("serving"); v != "" {
		return lineage.NewID(lineage.Model, name.ID.Workspace(), name.ID.Name(), v)
	}
	if named := lineage.ID(b.r.Model); named.Version() != "" && modelName(named) == name.ID {
		return named
	}
	if v := name.Text("latest"); v != "" {
		return lineage.NewID(lineage.Model, name.ID.Workspace(), name.ID.Name(), v)
	}
	return ""
}

// others are the assets at the other end of an asset's edges of a type.
func others(a *lineage.Asset, t lineage.EdgeType, out bool) []lineage.ID {
	if a == nil {
		return nil
	}
	var ids []lineage.ID
	for _, e := range a.Edges {
		if e.Type == t && e.Out == out {
			ids = append(ids, e.Other)
		}
	}
	return ids
}

// before is the version of the model that was in service until a time; where no
// deployment tells, the one that was registered before it.
func (b *builder) before(ctx context.Context, version lineage.ID, at time.Time) lineage.ID {
	var found lineage.ID
	var newest time.Time
	for _, d := range b.around.deployments {
		doc := b.asset(ctx, d)
		if doc == nil {
			continue
		}
		for _, s := range doc.ServedHistory() {
			for _, m := range s.Models {
				if m != version && modelName(m) == modelName(version) && s.Since.Before(at) && !s.Since.Before(newest) {
					found, newest = m, s.Since
				}
			}
		}
	}
	if n, err := strconv.Atoi(version.Version()); found == "" && err == nil && n > 1 {
		found = lineage.NewID(lineage.Model, version.Workspace(), version.Name(), strconv.Itoa(n-1))
		if b.asset(ctx, found) == nil {
			return ""
		}
	}
	return found
}

package lineage

import (
	"context"
	"slices"
)

// Aspects of a model version's story, in the order in which they are told.
const (
	AspectData        = "data"
	AspectCode        = "code"
	AspectEnvironment = "environment"
	AspectJob         = "job"
	AspectEvaluation  = "evaluation"
	AspectOwner       = "owner"
	AspectMonitor     = "monitor"
	AspectRollback    = "rollback"
)

// Completeness says how much is known of where a model version comes from,
// who answers for it and what happens when it fails.
type Completeness struct {
	// Score is the share of the aspects that are known, from 0 to 1; all count
	// alike.
	Score float64 `json:"score"`
	// Known are the aspects that are, Missing those that are not.
	Known   []string `json:"known"`
	Missing []Gap    `json:"missing"`
}

// Gap is an aspect that is not known, with a sentence for people.
type Gap struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// maxPlaces bounds the deployments of a version that are looked at.
const maxPlaces = 16

// CompletenessOf looks at a model version, its model, its job and where it is
// deployed: at most 19 assets.
func CompletenessOf(ctx context.Context, store Store, version *Asset) (Completeness, error) {
	p := provenance{version: version}
	var err error
	if p.model, err = Load(ctx, store, NewID(Model, version.ID.Workspace(), version.ID.Name())); err != nil {
		return Completeness{}, err
	}
	if job, ok := version.edge(false, Produced); ok {
		if p.job, err = Load(ctx, store, job); err != nil {
			return Completeness{}, err
		}
		if p.job == nil {
			p.job = &Asset{ID: job}
		}
	}
	for _, e := range version.Edges {
		if e.Type != Deployed || !e.Out || len(p.places) >= maxPlaces {
			continue
		}
		place, err := Load(ctx, store, e.Other)
		if err != nil {
			return Completeness{}, err
		}
		if place != nil {
			p.places = append(p.places, place)
		}
	}
	return p.completeness(), nil
}

// edge is the first asset at the other end of an edge of a type.
func (a *Asset) edge(out bool, t EdgeType) (other ID, ok bool) {
	if a == nil {
		return "", false
	}
	i := slices.IndexFunc(a.Edges, func(e Edge) bool { return e.Out == out && e.Type == t })
	if i < 0 {
		return "", false
	}
	return a.Edges[i].Other, true
}

// provenance is what a version's completeness depends on. Everything but the
// version may be nil: nothing is known of it.
type provenance struct {
	version, model, job *Asset
	places              []*Asset
}

// aspects are how each aspect is known, and what to say where it is not.
var aspects = []struct {
	name  string
	known func(*provenance) bool
	why   string
}{
	{AspectData, (*provenance).hasData, "no data asset version is linked to its job: give a job its data as a named asset rather than as a path"},
	{AspectCode, (*provenance).hasCode, "neither a component, a code snapshot nor a git commit of its job is known"},
	{AspectEnvironment, func(p *provenance) bool { return p.job.has("environment") }, "the environment that its job ran in is not known"},
	{AspectJob, func(p *provenance) bool { return p.job != nil }, "the job that made it is not known: register a model from its run, or name the run in the property azureml.runId"},
	{AspectEvaluation, func(p *provenance) bool { return p.job.has("metrics") || p.version.has("metrics") }, "no metric of it is known: log metrics to the run that makes it"},
	{AspectOwner, func(p *provenance) bool { return p.version.has("owner") }, "nobody answers for it: set a tag “owner”"},
	{AspectMonitor, func(p *provenance) bool { _, ok := p.model.edge(false, Watches); return ok }, "no monitor watches the model: drift would go unnoticed"},
	{AspectRollback, (*provenance).hasRollback, "no other version of the model was served where this one is or would be: there is nothing to roll back to"},
}

func (p *provenance) completeness() Completeness {
	c := Completeness{Known: []string{}, Missing: []Gap{}}
	for _, a := range aspects {
		switch {
		case a.known(p):
			c.Known = append(c.Known, a.name)
		case p.job == nil && slices.Contains([]string{AspectData, AspectCode, AspectEnvironment, AspectEvaluation}, a.name):
			c.Missing = append(c.Missing, Gap{a.name, "it is found through the job that made the model, which is not known"})
		default:
			c.Missing = append(c.Missing, Gap{a.name, a.why})
		}
	}
	c.Score = float64(len(c.Known)) / float64(len(aspects))
	return c
}

// has says whether a register of the asset holds more than an empty value.
func (a *Asset) has(field string) bool {
	if a == nil {
		return false
	}
	switch string(a.Fields[field].V) {
	case "", `""`, "null", "{}", "[]":
		return false
	}
	return true
}

func (p *provenance) hasData() bool {
	_, ok := p.job.edge(false, Input)
	return ok
}

// codeKeys are the properties and tags in which Azure Machine Learning and
// MLflow name the code of a run.
var codeKeys = []string{"azureml.git.commit", "mlflow.source.git.commit", "ContentSnapshotId"}

func (p *provenance) hasCode() bool {
	if p.job.has("component") || p.job.has("code") {
		return true
	}
	for _, a := range []*Asset{p.job, p.version} {
		if a == nil {
			continue
		}
		for _, m := range []map[string]string{a.Map("properties"), a.Map("tags")} {
			for _, key := range codeKeys {
				if m[key] != "" {
					return true
				}
			}
		}
	}
	return false
}

// hasRollback says whether there is a version to go back to: one that was
// served before this one where this one is; or, while it is nowhere, the one
// that serves.
func (p *provenance) hasRollback() bool {
	if len(p.places) == 0 {
		serving := ""
		if p.model != nil {
			serving = p.model.Text("serving")
		}
		return serving != "" && serving != p.version.ID.Version()
	}
	return slices.ContainsFunc(p.places, func(place *Asset) bool { return servedBefore(place, p.version.ID) })
}

// servedBefore says whether a deployment served another version of the model
// before it served this one last.
func servedBefore(place *Asset, version ID) bool {
	other, before := false, false
	for _, served := range place.ServedHistory() {
		if slices.Contains(served.Models, version) {
			before = other
			continue
		}
		other = other || slices.ContainsFunc(served.Models, func(m ID) bool { return m.Name() == version.Name() })
	}
	return before
}

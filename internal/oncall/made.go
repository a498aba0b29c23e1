package oncall

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// version tells what a version that came into service was made of, compared
// with the one before it, and of a newer one that waits. inService is when it
// came into service; zero is before what is told.
func (b *builder) version(ctx context.Context, v lineage.ID, inService time.Time) {
	b.waiting(ctx, v)
	if inService.IsZero() {
		return
	}
	old := b.before(ctx, v, inService)
	job := b.jobOf(ctx, v)
	if job == nil {
		b.gap("the job that made version %s of %s is not known: its data and code can't be compared", v.Version(), v.Name())
		return
	}
	c := comparison{b: b, job: job, by: "by the job of version " + v.Version(), at: inService}
	if f, ok := job.Fields["status"]; ok && b.isNew(f.S.At) {
		b.shift(f.S.At, review.ShiftJob, job.ID, "made version %s of %s", v.Version(), v.Name())
	}
	if old == "" {
		c.data(nil)
		return
	}
	if was := b.jobOf(ctx, old); was != nil {
		c.was = was
		c.data(was)
		c.facts()
		return
	}
	b.gap("the job that made version %s of %s, which was in service before, is not known: data and code can't be compared", old.Version(), old.Name())
	c.data(nil)
}

// waiting tells of a newer version that is not in service.
func (b *builder) waiting(ctx context.Context, v lineage.ID) {
	name := b.asset(ctx, modelName(v))
	if name == nil || name.Text("serving") == "" {
		return
	}
	f := name.Fields["latest"]
	if latest := name.Text("latest"); latest != "" && latest != v.Version() && b.isNew(f.S.At) {
		id := lineage.NewID(lineage.Model, v.Workspace(), v.Name(), latest)
		b.shift(f.S.At, review.ShiftModel, id, "version %s registered, not the one in service", latest)
	}
}

// jobOf is the job that made a version; nil when nothing is known of it.
func (b *builder) jobOf(ctx context.Context, v lineage.ID) *lineage.Asset {
	for _, id := range others(b.asset(ctx, v), lineage.Produced, false) {
		if job := b.asset(ctx, id); job != nil {
			return job
		}
	}
	return nil
}

// failedJobs compares the jobs that the review is about with the one that made
// the version in service.
func (b *builder) failedJobs(ctx context.Context) {
	for _, a := range b.r.Assets[:min(len(b.r.Assets), maxModels)] {
		id := lineage.ID(a)
		if id.Kind() != lineage.Job {
			continue
		}
		job := b.asset(ctx, id)
		for _, v := range b.around.versions {
			was := b.jobOf(ctx, v)
			if job == nil || was == nil || was.ID == job.ID {
				continue
			}
			c := comparison{b: b, job: job, was: was, by: "by this job", at: job.LastSeen()}
			c.data(was)
			c.facts()
		}
	}
}

// comparison sets a job beside the one before it.
type comparison struct {
	b        *builder
	job, was *lineage.Asset
	// by names the job; at is when it came to matter.
	by string
	at time.Time
}

// when is the time of a fact of the job, where that is within what is told.
func (c *comparison) when(s lineage.Stamp) time.Time {
	if c.b.isNew(s.At) {
		return s.At
	}
	return c.at
}

// data tells which data the job read that the one before did not. Without a job
// before, it tells of data that no job read earlier.
func (c *comparison) data(was *lineage.Asset) {
	before := others(was, lineage.Input, false)
	for _, e := range c.job.Edges {
		if e.Type != lineage.Input || e.Out || slices.Contains(before, e.Other) || was == nil && !c.b.isNew(e.Since.At) {
			continue
		}
		same := func(o lineage.ID) bool { return o.Name() == e.Other.Name() && o.Workspace() == e.Other.Workspace() }
		what := "read " + c.by
		if i := slices.IndexFunc(before, same); i >= 0 {
			what += fmt.Sprintf(" (the one before read version %s)", cmp.Or(before[i].Version(), "unknown"))
		} else if was != nil {
			what += " (the one before did not read it)"
		}
		if v := e.Other.Version(); v != "" {
			what = "version " + v + " " + what
		}
		c.b.shift(c.when(e.Since), review.ShiftData, e.Other, "%s", what)
	}
}

// compared are the facts of a job that are compared: where they are kept, and
// what they are of.
var compared = []struct{ field, key, kind, name string }{
	{"code", "", review.ShiftCode, "code"},
	{"component", "", review.ShiftCode, "component"},
	{"properties", "azureml.git.commit", review.ShiftCode, "commit"},
	{"properties", "mlflow.source.git.commit", review.ShiftCode, "commit"},
	{"tags", "mlflow.source.git.commit", review.ShiftCode, "commit"},
	{"properties", "ContentSnapshotId", review.ShiftCode, "code snapshot"},
	{"environment", "", review.ShiftEnvironment, "environment"},
	{"compute", "", review.ShiftEnvironment, "compute"},
}

// maxParameters bounds the parameters that are told.
const maxParameters = 5

// facts tells of code, environment and parameters that are not those of the job
// before.
func (c *comparison) facts() {
	for _, f := range compared {
		c.differs(f.field, f.kind, f.name, fact(c.job, f.field, f.key), fact(c.was, f.field, f.key))
	}
	now, was := parameters(c.job), parameters(c.was)
	told := 0
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if old, known := was[name]; known && old != now[name] && told < maxParameters {
			c.differs("parameters", review.ShiftOther, "parameter "+name, now[name], old)
			told++
		}
	}
}

func (c *comparison) differs(field, kind, name, now, was string) {
	if now == "" || was == "" || now == was {
		return
	}
	c.b.shift(c.when(c.job.Fields[field].S), kind, c.job.ID, "%s %s used %s (was %s)", name, short(now, maxValue), c.by, short(was, maxValue))
}

// fact is a register of a job, or one entry of it.
func fact(job *lineage.Asset, field, key string) string {
	if key == "" {
		return job.Text(field)
	}
	return job.Map(field)[key]
}

// parameters are what a job was told, whatever their types.
func parameters(job *lineage.Asset) map[string]string {
	var all map[string]any
	if f, ok := job.Fields["parameters"]; !ok || json.Unmarshal(f.V, &all) != nil {
		return nil
	}
	out := make(map[string]string, len(all))
	for name, v := range all {
		out[name] = value(v)
	}
	return out
}

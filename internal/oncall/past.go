package oncall

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of the search for similar reviews. maxLooked is just below the number
// of reviews that the desk reads at once.
const (
	maxChain   = 5
	maxPast    = 10
	maxLooked  = 99
	pastWithin = 90 * 24 * time.Hour
)

// similar finds earlier reviews of the cause, and of the asset or model.
func (b *builder) similar(ctx context.Context) {
	found := b.chain(ctx)
	all, next, err := b.Desk.List(ctx, review.Filter{Since: b.r.Opened.Add(-pastWithin), Until: b.r.Opened}, "", maxLooked)
	if b.ok(err, "the list of reviews") && next != "" {
		b.gap("similar reviews were looked for among the %d before this one", len(all))
	}
	for _, o := range all {
		if o.ID != b.r.ID && b.alike(&o) && !slices.ContainsFunc(found, func(f review.Review) bool { return f.ID == o.ID }) {
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(x, y review.Review) int { return y.Opened.Compare(x.Opened) })
	for _, o := range found[:min(len(found), maxPast)] {
		b.card.Similar = append(b.card.Similar, b.past(&o))
	}
}

// chain follows the reviews of the cause back.
func (b *builder) chain(ctx context.Context) []review.Review {
	var out []review.Review
	for id := b.r.Previous; id != "" && len(out) < maxChain; {
		r, err := b.Desk.Get(ctx, id)
		if errors.Is(err, review.ErrNotFound) || !b.ok(err, "review "+id) {
			break
		}
		out = append(out, r)
		id = r.Previous
	}
	return out
}

// alike says whether another review is of the same cause, asset or model.
func (b *builder) alike(o *review.Review) bool {
	if o.Cause == b.r.Cause || o.Model != "" && modelName(lineage.ID(o.Model)) == modelName(lineage.ID(b.r.Model)) {
		return true
	}
	return slices.ContainsFunc(o.Assets, func(a string) bool { return slices.Contains(b.r.Assets, a) })
}

func (b *builder) past(o *review.Review) review.Past {
	p := review.Past{ID: o.ID, Title: o.Title, Severity: o.Severity, Opened: o.Opened, ResolvedAt: o.ResolvedAt, SameCause: o.Cause == b.r.Cause}
	if o.Resolution != nil {
		p.ResolvedBy, p.Resolution = o.Resolution.By, o.Resolution.Cause
	}
	return p
}

// modelName is the model as such of a version.
func modelName(id lineage.ID) lineage.ID {
	if id.Kind() != lineage.Model {
		return ""
	}
	return lineage.NewID(lineage.Model, id.Workspace(), id.Name())
}

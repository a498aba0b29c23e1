package oncall

import (
	"cmp"
	"context"
	"net/url"

	"github.com/modelwarden/modelwarden/internal/review"
)

// people names who answers for the model, and where it is written what to do.
func (b *builder) people(context.Context) {
	for _, v := range b.around.versions {
		doc := b.assets[v]
		if doc == nil {
			continue
		}
		b.card.Owner = cmp.Or(b.card.Owner, doc.Text("owner"))
		if b.card.Runbook == "" && isAddress(doc.Map("tags")["runbook"]) {
			b.card.Runbook = doc.Map("tags")["runbook"]
		}
	}
	for _, m := range b.around.models {
		if doc := b.assets[m]; doc != nil {
			b.card.Owner = cmp.Or(b.card.Owner, doc.Text("owner"))
		}
	}
}

// isAddress tells an address that people can follow from any other text.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// tickets asks what other tools hold of the review.
func (b *builder) tickets(ctx context.Context) {
	if b.Tickets == nil {
		return
	}
	all, err := b.Tickets(ctx, *b.r)
	if b.ok(err, "what other tools hold of this review") {
		b.card.Tickets = all[:min(len(all), review.MaxCard)]
	}
}

// verbs are what can be done now.
func (b *builder) verbs(context.Context) {
	b.card.Verbs = b.r.Allowed()
	if b.Orders == nil || b.r.State == review.Resolved {
		return
	}
	retrain, rollback := b.Orders(*b.r)
	b.card.RetrainTargets = retrain[:min(len(retrain), review.MaxCard)]
	b.card.RollbackTargets = rollback[:min(len(rollback), review.MaxCard)]
	if len(retrain) > 0 {
		b.card.Verbs = append(b.card.Verbs, review.RetrainNow)
	}
	if len(rollback) > 0 {
		b.card.Verbs = append(b.card.Verbs, review.RollBackNow)
	}
}

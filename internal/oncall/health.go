package oncall

import (
	"context"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// unknownHealth is how far back changes are told when nothing says when the
// cause was last absent.
const unknownHealth = 7 * 24 * time.Hour

// health finds from when on changes matter: since the cause was last absent.
func (b *builder) health(ctx context.Context) {
	if last := b.lastPassed(); !last.IsZero() {
		b.since, b.card.LastHealthy = last, last
		return
	}
	b.since = b.began.Add(-unknownHealth)
	why := "the 7 days before the review opened"
	if b.r.Previous != "" {
		before, err := b.Desk.Get(ctx, b.r.Previous)
		if b.ok(err, "review "+b.r.Previous) && !before.ResolvedAt.IsZero() {
			b.since, why = before.ResolvedAt, "the time since review "+before.ID+" was resolved"
		}
	}
	b.gap("no window before this one is known to have passed: what changed was looked for in %s (from %s)", why, b.since.UTC().Format("2006-01-02 15:04Z"))
}

// lastPassed is when all monitors of the review had passed for the last time
// before it began, or began anew; zero when that is not known.
func (b *builder) lastPassed() (oldest time.Time) {
	before := b.began
	if b.r.Reopened > 0 {
		before = b.r.LastSignal
	}
	for _, m := range b.monitors {
		last := lineage.LastPassed(lineage.WindowsOf(m), b.signal(), before)
		if !last.IsZero() && (oldest.IsZero() || last.Before(oldest)) {
			oldest = last
		}
	}
	return oldest
}

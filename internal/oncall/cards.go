// Package oncall puts together what on-call needs to know of a review: its
// card. It reads what the workers, the lineage and the desk wrote, and changes
// nothing.
package oncall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of what one card reads. Together with the reviews that it looks
// through for similar ones (see maxLooked) they are all that a card costs.
const (
	maxEvents   = 5
	maxActions  = 20
	maxAssets   = 40
	maxMonitors = 4
)

// desk is what a card needs of a review.Desk.
type desk interface {
	Get(ctx context.Context, id string) (review.Review, error)
	List(ctx context.Context, f review.Filter, cursor string, limit int) ([]review.Review, string, error)
}

// Cards builds the cards of reviews. Its fields are set before first use and
// then left alone; it is safe for concurrent use.
type Cards struct {
	// Store and Desk are required.
	Store lineage.Store
	Desk  desk
	// Set is the policy set in force. Defaults to none, and then nothing is
	// said of policies that changed.
	Set func() *policy.Set
	// URL is where people reach the service, "" where that is not known.
	URL string
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Orders names the targets of a retrain and of a rollback that a person may
	// ask for, the likeliest first. Defaults to none.
	Orders func(review.Review) (retrain, rollback []string)
	// Tickets are what other tools hold of a review. Defaults to none.
	Tickets func(context.Context, review.Review) ([]review.Ticket, error)
}

// Of builds the card of a review. It reads at most 5 events with their
// decisions, 20 actions, 40 assets, the 5 reviews of the cause before this one,
// and looks through the reviews opened in the 90 days before it, some 100, never
// more than 200. What can't be read becomes a sentence in the card's Gaps; it
// is an error only when ctx ends or nothing at all can be read.
func (c *Cards) Of(ctx context.Context, r review.Review) (review.Card, error) {
	b := c.begin(r)
	for _, part := range []func(context.Context){
		b.grounds, b.measured, b.health, b.changes, b.similar, b.people, b.tickets, b.verbs,
	} {
		part(ctx)
		if err := ctx.Err(); err != nil {
			return review.Card{}, fmt.Errorf("card of review %s: %w", r.ID, err)
		}
	}
	if b.read == 0 && b.fault != nil {
		return review.Card{}, fmt.Errorf("card of review %s: %w", r.ID, b.fault)
	}
	return b.card, nil
}

// builder is one card while it is being put together.
type builder struct {
	*Cards
	card review.Card
	r    *review.Review
	now  time.Time
	// began is when the trouble was first heard of, by the events' clock.
	began time.Time
	// since is from when on changes are told.
	since time.Time

	decisions []policy.Decision
	monitors  []*lineage.Asset
	around    surroundings

	// assets are those read so far; nil for those of which nothing is known.
	assets map[lineage.ID]*lineage.Asset
	// read counts the reads that went well, fault is the last that did not.
	read  int
	fault error
	cut   bool
}

func (c *Cards) begin(r review.Review) *builder {
	b := &builder{Cards: c, card: review.Card{Review: r, Runbook: r.Runbook}, assets: map[lineage.ID]*lineage.Asset{}, began: r.Opened, now: time.Now()}
	b.r = &b.card.Review
	if c.Now != nil {
		b.now = c.Now()
	}
	if c.URL != "" {
		b.card.URL = strings.TrimRight(c.URL, "/") + "/reviews/" + r.ID
	}
	for _, n := range r.Signals {
		if n.At.Before(b.began) {
			b.began = n.At
		}
	}
	return b
}

// gap notes what could not be found out.
func (b *builder) gap(format string, args ...any) {
	if len(b.card.Gaps) < review.MaxCard {
		b.card.Gaps = append(b.card.Gaps, fmt.Sprintf(format, args...))
	}
}

// ok notes how a read went; what says what it was about.
func (b *builder) ok(err error, what string) bool {
	if err == nil || errors.Is(err, lineage.ErrNotFound) {
		b.read++
		return err == nil
	}
	b.fault = err
	b.gap("%s could not be read", what)
	return false
}

// asset reads a document, each once; nil when nothing is known of it.
func (b *builder) asset(ctx context.Context, id lineage.ID) *lineage.Asset {
	a, known := b.assets[id]
	if known || id == "" {
		return a
	}
	if len(b.assets) >= maxAssets {
		if !b.cut {
			b.gap("only %d assets around the review were looked at", maxAssets)
		}
		b.cut = true
		return nil
	}
	a, err := lineage.Load(ctx, b.Store, id)
	b.ok(err, "asset "+string(id))
	b.assets[id] = a
	return a
}

package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// wireDesk makes reviews reach the tools of on-call, and time reach reviews.
// The rules come later than the desk: whatever asks for them does so when
// something happens.
func (a *App) wireDesk() {
	a.orders = &oncall.Orders{Store: a.engines.store, Queue: a.engines.queue, Set: func() *policy.Set { return a.rules.set() }, Inform: a.desk.Inform, Now: time.Now}
	a.cards = &oncall.Cards{
		Store: a.engines.store, Desk: a.desk, Set: func() *policy.Set { return a.rules.set() }, URL: a.cfg.URL,
		Orders: a.orders.Targets, Tickets: a.desk.Tickets,
	}
	a.desk.Later = a.remindLater
	a.desk.Rules = func() review.Rules {
		s := a.rules.set().File().ReviewSettings()
		return review.Rules{ReopenWithin: time.Duration(s.ReopenWithin), HoldDown: time.Duration(s.HoldDown), UpdateEvery: time.Duration(s.UpdateEvery)}
	}
	a.desk.Standing = func(now time.Time) []review.Silence { return standing(a.rules.set().File(), now) }
	a.desk.Alongside = a.alongside
}

// courierBase is what the couriers of all targets have in common.
func (a *App) courierBase() effect.Courier {
	return effect.Courier{
		Desk: a.desk, Card: a.cards.Of, Name: randomName(), Now: time.Now,
		Later: func(ctx context.Context, id, target string, at time.Time) error {
			return a.remindLater(ctx, ticketPrefix+id+"/"+target, at)
		},
	}
}

// remindLater makes a worker call remind. A broker that drops repeats must not
// take one reminder for another that came too early.
func (a *App) remindLater(ctx context.Context, id string, at time.Time) error {
	return a.engines.queue.Send(ctx, []lineage.Message{{
		ID: fmt.Sprintf("remind-%s-%d-%d", id, at.UnixMilli(), time.Now().UnixNano()), Body: []byte(id), NotBefore: at,
		Properties: map[string]string{lineage.PropKind: lineage.KindRemind},
	}})
}

// ticketPrefix begins the ids of reminders about a ticket:
// "ticket:<review>/<target>".
const ticketPrefix = "ticket:"

// remind does what a reminder is about.
func (a *App) remind(ctx context.Context, id string) error {
	rest, ticket := strings.CutPrefix(id, ticketPrefix)
	if !ticket {
		return a.desk.Remind(ctx, id)
	}
	id, target, _ := strings.Cut(rest, "/")
	c, ok := a.rules.courier(target)
	if !ok {
		return nil // the target is gone, and with it what had to be refreshed
	}
	return c.Refresh(ctx, id)
}

// alongside is what is committed with a change of a review: that those who
// listen are told, and the targets of the review.
func (a *App) alongside(ctx context.Context, partition string, c review.Change) ([]lineage.Change, func(context.Context), error) {
	extra, published, err := a.publications.Plan(ctx, partition, reviewChange(c))
	if err != nil {
		return nil, nil, err
	}
	var all []policy.Action
	now := time.Now().UTC()
	for _, target := range c.Addressees() {
		if _, ok := a.rules.courier(target); ok {
			all = append(all, effect.NewDelivery(partition, target, &c, now))
		}
	}
	deliveries, delivered, err := policy.Plan(ctx, a.engines.queue, now, all...)
	return append(extra, deliveries...), func(ctx context.Context) { published(ctx); delivered(ctx) }, err
}

// gather puts causes together in the review of what they have in common.
func (a *App) gather(ctx context.Context, cause string, causes []worker.Cause) error {
	parts := make([]review.Part, len(causes))
	for i, c := range causes {
		parts[i] = review.Part{Cause: c.Cause, Model: string(c.Model), LastSignal: c.At}
	}
	return a.desk.Gather(ctx, cause, parts)
}

// standing are the maintenance windows that hold at a time, as silences.
func standing(f *policy.File, now time.Time) []review.Silence {
	var out []review.Silence
	for _, m := range f.Maintenance {
		from, until, ok := m.Holds(now)
		if !ok {
			continue
		}
		why := m.Reason
		if why == "" {
			why = "maintenance"
		}
		out = append(out, review.Silence{
			ID: "maintenance-" + m.Name, By: "maintenance " + m.Name, Why: why, From: from, Until: until, Created: from,
			Match: review.Match{Workspace: m.Match.Workspace, Model: m.Match.Model, Asset: m.Match.Asset,
				Policy: m.Match.Policy, Severity: m.Match.Severity, Cause: m.Match.Cause},
		})
	}
	return out
}

// newCouriers makes what brings reviews to the targets that show them.
func newCouriers(file *policy.File, tickets map[string]effect.Ticketer, base effect.Courier) map[string]*effect.Courier {
	out := make(map[string]*effect.Courier, len(tickets))
	for name, t := range tickets {
		c := base
		c.Target, c.Ticketer, c.Timeout = name, t, effect.TicketTimeout(file.Targets[name])
		out[name] = &c
	}
	return out
}

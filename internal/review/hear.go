package review

import (
	"context"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Records that find a review by its ticket, for tools that do not repeat the
// review's id.
const refPrefix = "tickets/"

func refPartition(target, ref string) string { return refPrefix + digest(target+" "+ref) }

// Hear takes over what a tool says that somebody did to a review's ticket.
// What is older than the review's present state is an echo of what came before
// and changes nothing; so does what is so already. Errors are as for Do.
func (d *Desk) Hear(ctx context.Context, target string, h Heard) (Review, error) {
	id, err := d.reviewOf(ctx, target, h)
	if err != nil {
		return Review{}, err
	}
	r, err := d.Get(ctx, id)
	if err != nil {
		return Review{}, err
	}
	if err := d.knows(ctx, &r, target, h.Ref); err != nil {
		return Review{}, err
	}
	if h.Verb != Remark && !h.At.IsZero() && h.At.Before(r.since().Truncate(time.Second)) {
		return r, nil
	}
	by := clip(h.By, maxName-len(target)-10)
	if by == "" {
		by = "somebody"
	}
	c := Command{Verb: h.Verb, By: by + " in " + target, Why: clip(h.Why, maxText)}
	if h.Verb == Remark && h.ID != "" {
		c.Key = digest(target + " " + h.ID)
	}
	if h.Verb == Resolve && c.Why == "" {
		c.Why = "closed in " + target
	}
	return d.Do(ctx, r.ID, c)
}

// reviewOf is the review that a tool speaks of, by its id, else by the ticket's.
func (d *Desk) reviewOf(ctx context.Context, target string, h Heard) (string, error) {
	if h.Key != "" {
		return h.Key, nil
	}
	if h.Ref == "" {
		return "", fmt.Errorf("%w: a ticket at %s without an id", ErrNotFound, target)
	}
	got, err := d.store.Get(ctx, refPartition(target, h.Ref), headRecord)
	if err != nil {
		return "", err
	}
	var was filed
	if err := decode(got[0], &was); err != nil {
		return "", err
	}
	if was.Review == "" {
		return "", fmt.Errorf("%w: no review has ticket %s at %s", ErrNotFound, clip(h.Ref, 80), target)
	}
	return was.Review, nil
}

// knows refuses what is said of a ticket that is not the review's: anybody may
// write a review's id into a ticket of their own. While the ticket is being
// brought up to date its id may not be known yet: that is ErrTicketBusy.
func (d *Desk) knows(ctx context.Context, r *Review, target, ref string) error {
	digest, n, err := splitID(r.ID)
	if err != nil {
		return err
	}
	got, err := d.storedTickets(ctx, partitionPrefix+digest, []string{ticketID(n, target)})
	if err != nil {
		return err
	}
	switch t := got[0]; {
	case t.Ref != "" && (ref == "" || t.Ref == ref):
		return nil
	case t.HeldBy != "" && d.now().Before(t.HeldUntil):
		return fmt.Errorf("ticket of review %s at %s: %w", r.ID, target, ErrTicketBusy)
	}
	return fmt.Errorf("%w: review %s has no ticket %s at %s", ErrNotFound, r.ID, clip(ref, 80), target)
}

// NoteRef makes a review be found by its ticket's id. Noting it again changes
// nothing; of two reviews with one id it is the later noted.
func (d *Desk) NoteRef(ctx context.Context, target, ref, review string) error {
	c := write(headRecord, "", filed{Review: review})
	c.Op = lineage.Upsert
	_, err := d.store.Commit(ctx, refPartition(target, ref), []lineage.Change{c})
	return err
}

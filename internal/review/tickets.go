package review

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// ErrTicketBusy means that another process is at a review's ticket just now.
var ErrTicketBusy = errors.New("the ticket is being brought up to date by somebody else")

const ticketPrefix = "ticket/"

// storedTicket is a ticket's record, in its review's partition.
type storedTicket struct {
	Ticket
	// Called is the newest revision that people were called with: they know all
	// that came before.
	Called int `json:"called,omitempty"`
	// HeldBy works on the ticket until HeldUntil.
	HeldBy    string    `json:"heldBy,omitempty"`
	HeldUntil time.Time `json:"heldUntil,omitzero"`
}

// TicketClaim is the right to bring one review's ticket at one target up to date.
type TicketClaim struct {
	// Review is as it is now, Ticket as it was left; zero but for the target
	// when there is none.
	Review Review
	Ticket Ticket
	// Orphaned is true when somebody else had it and never gave it back: a
	// ticket may exist that nobody noted.
	Orphaned bool

	stored    storedTicket
	version   string
	partition string
	id        string
}

// Told says whether this news of a revision needs no telling any more.
func (c *TicketClaim) Told(rev int, n News) bool {
	if n.Has(Loud) {
		return c.stored.Called >= rev
	}
	return c.Ticket.Rev >= rev
}

// ClaimTicket takes a review's ticket at a target, for as long as a call to that
// target may last at most. ErrTicketBusy means that somebody else has it.
// ReleaseTicket gives it back.
func (d *Desk) ClaimTicket(ctx context.Context, review, target, holder string, until time.Time) (*TicketClaim, error) {
	digest, n, err := splitID(review)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	c := &TicketClaim{partition: partitionPrefix + digest, id: ticketID(n, target)}
	// The ticket first: the review is then at least as new as what it shows.
	got, err := d.store.Get(ctx, c.partition, c.id)
	if err != nil {
		return nil, err
	}
	if c.Review, err = d.Get(ctx, review); err != nil {
		return nil, err
	}
	c.version = got[0].Version
	if err := decode(got[0], &c.stored); err != nil {
		return nil, err
	}
	// Not for its holder either: one process does several things at a time.
	if c.stored.HeldBy != "" && d.now().Before(c.stored.HeldUntil) {
		return nil, ErrTicketBusy
	}
	c.Orphaned = c.stored.HeldBy != ""
	c.stored.Target, c.stored.HeldBy, c.stored.HeldUntil = target, holder, until
	c.Ticket = c.stored.Ticket
	if err := c.write(ctx, d.store); errors.Is(err, lineage.ErrConflict) || errors.Is(err, lineage.ErrExists) {
		return nil, ErrTicketBusy
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

// ReleaseTicket keeps what became of the ticket, and lets others at it. told are
// the news that were told of a revision, none where that failed.
func (d *Desk) ReleaseTicket(ctx context.Context, c *TicketClaim, t Ticket, rev int, told News) error {
	t.Target = c.stored.Target
	c.stored.Ticket, c.stored.HeldBy, c.stored.HeldUntil = t, "", time.Time{}
	if told.Has(Loud) {
		c.stored.Called = max(c.stored.Called, rev)
	}
	return c.write(ctx, d.store)
}

func (c *TicketClaim) write(ctx context.Context, store lineage.Store) error {
	versions, err := store.Commit(ctx, c.partition, []lineage.Change{write(c.id, c.version, c.stored)})
	if err != nil {
		return fmt.Errorf("write ticket at %s: %w", c.stored.Target, err)
	}
	c.version = versions[0]
	return nil
}

func ticketID(n int, target string) string { return ticketPrefix + strconv.Itoa(n) + "/" + target }

// Tickets are what other tools hold of the review, in the order in which they
// were told, those that could not be told among them. They are read at once; it
// takes one request.
func (d *Desk) Tickets(ctx context.Context, r Review) ([]Ticket, error) {
	targets := r.Audience()
	digest, n, err := splitID(r.ID)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	ids := make([]string, len(targets))
	for i, t := range targets {
		ids[i] = ticketID(n, t)
	}
	all, err := d.storedTickets(ctx, partitionPrefix+digest, ids)
	var out []Ticket
	for _, t := range all {
		if t.Failed != "" || t.Ref != "" && t.State != "" {
			out = append(out, t.Ticket)
		}
	}
	return out, err
}

func (d *Desk) storedTickets(ctx context.Context, partition string, ids []string) ([]storedTicket, error) {
	got, err := d.store.Get(ctx, partition, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]storedTicket, len(got))
	for i, record := range got {
		if err := decode(record, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// ErrTicketBusy means that another process is at a review's ticket just now.
var ErrTicketBusy = errors.New("the ticket is being brought up to date by somebody else")

const (
	ticketPrefix = "ticket/"
	// maxTold bounds the revisions that a ticket remembers to have called for.
	maxTold = 40
)

// storedTicket is a ticket's record, in its review's partition.
type storedTicket struct {
	Ticket
	// Told are the revisions whose loud news was told.
	Told []int `json:"told,omitempty"`
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

	stored    storedTicket
	version   string
	partition string
	id        string
	// hand is what this process knows the ticket by.
	hand string
}

// Told says whether this news of a revision needs no telling any more.
func (c *TicketClaim) Told(rev int, n News) bool {
	if n.Has(Loud) {
		return slices.Contains(c.stored.Told, rev)
	}
	return c.Ticket.Rev >= rev
}

// ClaimTicket takes a review's ticket at a target, for as long as a call to that
// target may last at most. ErrTicketBusy means that somebody else has it, another
// call in this process included. ReleaseTicket gives it back.
func (d *Desk) ClaimTicket(ctx context.Context, review, target, holder string, until time.Time) (*TicketClaim, error) {
	hand := review + "/" + target
	if !d.hands.take(hand, d.now(), until) {
		return nil, ErrTicketBusy
	}
	c, err := d.claimTicket(ctx, review, target, holder, until)
	if err != nil {
		d.hands.drop(hand)
		return nil, err
	}
	c.hand = hand
	return c, nil
}

func (d *Desk) claimTicket(ctx context.Context, review, target, holder string, until time.Time) (*TicketClaim, error) {
	digest, n, err := splitID(review)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	c := &TicketClaim{partition: partitionPrefix + digest, id: ticketID(n, target)}
	if c.Review, err = d.Get(ctx, review); err != nil {
		return nil, err
	}
	got, err := d.store.Get(ctx, c.partition, c.id)
	if err != nil {
		return nil, err
	}
	c.version = got[0].Version
	if err := decode(got[0], &c.stored); err != nil {
		return nil, err
	}
	if c.stored.HeldBy != "" && c.stored.HeldBy != holder && d.now().Before(c.stored.HeldUntil) {
		return nil, ErrTicketBusy
	}
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
// the news of a revision that were told, none where that failed.
func (d *Desk) ReleaseTicket(ctx context.Context, c *TicketClaim, t Ticket, rev int, told News) error {
	defer d.hands.drop(c.hand)
	t.Target = c.stored.Target
	c.stored.Ticket, c.stored.HeldBy, c.stored.HeldUntil = t, "", time.Time{}
	if told.Has(Loud) {
		c.stored.Told = append(c.stored.Told, rev)
		c.stored.Told = c.stored.Told[max(0, len(c.stored.Told)-maxTold):]
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
// were told. They are read at once; it takes one request.
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
	got, err := d.store.Get(ctx, partitionPrefix+digest, ids...)
	if err != nil {
		return nil, err
	}
	var out []Ticket
	for _, record := range got {
		var t storedTicket
		if err := decode(record, &t); err != nil {
			return nil, err
		}
		if t.Ref != "" || t.Failed != "" {
			out = append(out, t.Ticket)
		}
	}
	return out, nil
}

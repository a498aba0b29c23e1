package effect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// tickets is what a courier needs of a review.Desk.
type tickets interface {
	ClaimTicket(ctx context.Context, review, target, holder string, until time.Time) (*review.TicketClaim, error)
	ReleaseTicket(ctx context.Context, c *review.TicketClaim, t review.Ticket, rev int, told review.News) error
	NoteRef(ctx context.Context, target, ref, review string) error
}

// Courier brings the tickets of reviews at one target up to date: it performs
// Deliver actions, and the notices of policies where the target's kind takes
// them. What it tells is the review as it is when it is told, so an action that
// comes late, or after a later one, tells nothing old.
type Courier struct {
	// Target is the target's name, Ticketer what reaches it.
	Target   string
	Ticketer Ticketer
	Desk     tickets
	// Card builds a review's card.
	Card func(ctx context.Context, r review.Review) (review.Card, error)
	// Later makes Refresh be called with the review's id, not before a time.
	Later func(ctx context.Context, review, target string, at time.Time) error
	// Name tells this process from others; Timeout is how long a call to the
	// target lasts at most.
	Name    string
	Timeout time.Duration
	Now     func() time.Time
}

// busyAfter is when a ticket that somebody else is at is tried again.
const busyAfter = 3 * time.Second

// Do implements policy.Effector.
func (c *Courier) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	switch a.Type {
	case policy.Notify:
		return c.notify(ctx, a)
	case policy.Deliver:
	default:
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("target %s shows reviews, it can't perform a %s", c.Target, a.Type)}
	}
	e, err := errandOf(&a)
	if err != nil {
		return policy.Outcome{}, err
	}
	out, err := c.deliver(ctx, e)
	switch {
	case errors.Is(err, review.ErrTicketBusy):
		err = &policy.RetryAfterError{Err: err, After: busyAfter}
	case errors.Is(err, lineage.ErrNotFound):
		return policy.Outcome{Summary: "the review is no more"}, nil
	}
	return out, err
}

// Refresh delivers a review's ticket again because its time has come. What fails
// is tried again soon, so that no failure ends the series; the ticket says why.
func (c *Courier) Refresh(ctx context.Context, id string) error {
	_, err := c.deliver(ctx, errand{Review: id, Rev: refresh})
	if err == nil || errors.Is(err, lineage.ErrNotFound) {
		return nil
	}
	if later := c.Later(ctx, id, c.Target, c.Now().Add(refreshAgain)); later != nil {
		return errors.Join(err, later)
	}
	return nil
}

const (
	// refresh stands for the revision of an errand that only says it is time to.
	refresh = -1
	// refreshAgain is when a refresh that failed is tried again.
	refreshAgain = time.Minute
	// early is by how much a reminder may come before its time: clocks differ.
	early = time.Minute
)

func (c *Courier) deliver(ctx context.Context, e errand) (policy.Outcome, error) {
	claim, err := c.Desk.ClaimTicket(ctx, e.Review, c.Target, c.Name, c.Now().Add(c.atWork()+releaseTimeout))
	if err != nil {
		return policy.Outcome{}, err
	}
	if why := c.needless(claim, e); why != "" {
		return policy.Outcome{Summary: why}, errors.Join(c.release(ctx, claim, unsure(claim), 0), c.putOff(ctx, claim, e))
	}
	t, err := c.hand(ctx, claim, e)
	if err != nil {
		// The ticket may be there all the same, and then has to be known.
		if t.Ref == "" {
			t = claim.Ticket
		}
		t.Failed = err.Error()
		return policy.Outcome{}, errors.Join(err, c.release(ctx, claim, t, 0))
	}
	t.Rev, t.Updated = claim.Review.Rev, c.Now().UTC()
	if err := c.note(ctx, claim, t); err != nil {
		// People know; what is left is done by the next call.
		t.Updated, t.Refresh, t.Failed = time.Time{}, claim.Ticket.Refresh, err.Error()
		return policy.Outcome{}, errors.Join(err, c.release(ctx, claim, t, e.News))
	}
	if err := c.release(ctx, claim, t, e.News); err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: fmt.Sprintf("%s knows review %s as %s", c.Target, e.Review, claim.Review.State), Ref: t.Ref, URL: t.URL}, nil
}

// needless says why nothing is to be told; "" when something is.
func (c *Courier) needless(claim *review.TicketClaim, e errand) string {
	r := &claim.Review
	switch {
	case e.Rev == refresh && (claim.Ticket.Refresh.IsZero() || r.State == review.Resolved || c.Now().Before(claim.Ticket.Refresh)):
		return "it is not time to"
	case e.Rev != refresh && claim.Told(e.Rev, e.News) && !half(&claim.Ticket):
		return "this was told already"
	case claim.Ticket.Ref == "" && r.State == review.Resolved && unsure(claim).Failed != "":
		return "" // what a call may have left behind before it failed has to be closed
	case claim.Ticket.Ref == "" && !calling(r):
		return fmt.Sprintf("the review is %s and was never told: nobody is called for it", situation(r))
	}
	return ""
}

// half says whether a ticket was made and not noted.
func half(t *review.Ticket) bool { return t.Ref != "" && t.Updated.IsZero() }

// calling says whether anybody is to be called for the review as it is.
func calling(r *review.Review) bool { return r.State == review.Open && r.Silence == nil }

// unsure is the ticket as it was left. Where a call may have made one that nobody
// noted, it says so.
func unsure(claim *review.TicketClaim) review.Ticket {
	t := claim.Ticket
	if claim.Orphaned && t.Ref == "" && t.Failed == "" {
		t.Failed = "a call was cut off, nobody knows what became of it"
	}
	return t
}

// putOff arranges that a refresh that came before its time comes again. See
// review.Desk.Remind for when.
func (c *Courier) putOff(ctx context.Context, claim *review.TicketClaim, e errand) error {
	due := claim.Ticket.Refresh
	wait := due.Sub(c.Now())
	if e.Rev != refresh || due.IsZero() || claim.Review.State == review.Resolved || wait <= 0 || wait > early {
		return nil
	}
	return c.Later(ctx, claim.Review.ID, c.Target, due.Add(wait))
}

func situation(r *review.Review) string {
	if r.Silence != nil {
		return "silenced"
	}
	return string(r.State)
}

func (c *Courier) hand(ctx context.Context, claim *review.TicketClaim, e errand) (review.Ticket, error) {
	// Not a moment longer than the ticket is ours.
	ctx, cancel := context.WithTimeout(ctx, c.atWork())
	defer cancel()
	card, err := c.Card(ctx, claim.Review)
	if err != nil {
		return review.Ticket{}, err
	}
	news := e.News
	if !calling(&claim.Review) || claim.Told(e.Rev, news) {
		// The call came too late: somebody has it in hand, or wants quiet.
		news &^= review.Loud
	}
	return c.Ticketer.Deliver(ctx, Delivery{Key: e.Review, Card: card, Ticket: claim.Ticket, News: news, Now: c.Now().UTC()})
}

// atWork is how long bringing one ticket up to date may take: a card and a few
// calls.
func (c *Courier) atWork() time.Duration { return 2 * c.Timeout }

// note makes the ticket be found by its own id, and be refreshed in time.
func (c *Courier) note(ctx context.Context, claim *review.TicketClaim, t review.Ticket) error {
	if t.Ref != "" && (t.Ref != claim.Ticket.Ref || half(&claim.Ticket)) {
		if err := c.Desk.NoteRef(ctx, c.Target, t.Ref, claim.Review.ID); err != nil {
			return err
		}
	}
	if t.Refresh.IsZero() || claim.Review.State == review.Resolved || t.Refresh.Equal(claim.Ticket.Refresh) {
		return nil
	}
	return c.Later(ctx, claim.Review.ID, c.Target, t.Refresh)
}

// releaseTimeout bounds keeping what became of a ticket, which has to be kept
// even when the caller has given up.
const releaseTimeout = 10 * time.Second

func (c *Courier) release(ctx context.Context, claim *review.TicketClaim, t review.Ticket, told review.News) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return c.Desk.ReleaseTicket(ctx, claim, t, claim.Review.Rev, told)
}

// notify tells a policy's notice once.
func (c *Courier) notify(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	at := happened(a).UTC()
	r := review.Review{
		ID: a.Key, Cause: cause(a), Title: a.Title, Reason: a.Reason, Severity: review.Info, State: review.Open,
		Opened: at, Updated: at, Unresolved: at, OpenSince: at, LastSignal: at, Count: 1,
		Assets: []string{a.Asset}, Model: a.Model, Workspace: lineage.ID(a.Asset).Workspace(), Policies: []string{a.Policy},
	}
	_, err := c.Ticketer.Deliver(ctx, Delivery{Key: a.Key, Card: review.Card{Review: r}, News: review.NewsOpened, Once: true, Now: c.Now().UTC()})
	if err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: "told " + c.Target}, nil
}

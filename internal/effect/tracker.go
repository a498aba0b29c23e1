package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// errGone means that a ticket is not there any more, or is over and can't be
// opened again.
var errGone = errors.New("the ticket is gone")

// goneError is the answer that a ticket is not there: it is errGone. Where not a
// ticket but the tracker itself was asked for, what it wraps says what to do.
type goneError struct{ error }

// Is reports whether target is errGone.
func (goneError) Is(target error) bool { return target == errGone }

// Unwrap returns the refusal.
func (e goneError) Unwrap() error { return e.error }

// tooManyTickets is the refusal to make a ticket that may have been made before.
func tooManyTickets(where string) error {
	return &policy.PermanentError{Err: fmt.Errorf("%s has so many tickets since this review opened that it can't be told whether one of them is its own: take the label modelwarden off those that are not reviews", where)}
}

// tracker is the API of a product that keeps a ticket per review; see tracked
// for how it is used. Errors are as for Ticketer; a ticket that is not there is
// errGone.
type tracker interface {
	// compose writes a card in the product's markup and within its limits, key
	// included where the text is what carries it. The same card is always the
	// same text.
	compose(c *review.Card, key string) (title, body string)
	// find looks for the ticket that carries a key and was made after a moment,
	// the newest if there are several; nil when there is none. It may pass over
	// tickets that are over.
	find(ctx context.Context, key string, after time.Time) (*standing, error)
	// create makes a ticket, in the state that the product gives to new ones.
	create(ctx context.Context, p *page) (*standing, error)
	// read says how a ticket stands.
	read(ctx context.Context, ref string) (*standing, error)
	// update makes the changes that e names to the ticket which stands as at
	// says.
	update(ctx context.Context, at *standing, p *page, e edit) error
	// hear is Caller's Hear, with the secret that the product knows.
	hear(secret string, header http.Header, body []byte) ([]Heard, error)
}

// standing is how a ticket is now.
type standing struct {
	ref, url string
	// state is what the ticket's own state stands for: review.Open,
	// review.Acknowledged, review.Resolved, or "" for none of them: people took
	// it somewhere else.
	state review.State
	// status is the product's own name for the state.
	status string
	// over marks a ticket that nothing can change any more.
	over bool
	// rev is the ticket's revision, for products that have one.
	rev int
}

// edit is what is to be changed of a ticket: its text with the severity, its
// state.
type edit struct{ text, move bool }

// tracked shows reviews in a tracker, one ticket per review.
//
// A ticket is touched when the card's text or the review's state changed since
// the last time, and only then. Title and description are the review's, what
// people write there is overwritten; all else is theirs. A snoozed review shows
// as open. A review that was over before it had a ticket gets none.
type tracked struct {
	target string
	t      tracker
	// secret authenticates callbacks; "" takes none.
	secret string
}

// trackerCaller reads a tracker's token and the secret of its callbacks, and
// makes the client to call it.
func (d *Deps) trackerCaller(name string, kind policy.TargetKind, t *policy.Token, c *policy.Callback) (token, secret string, client *http.Client, err error) {
	if token, client, err = d.caller(name, kind, t); err != nil {
		return "", "", nil, err
	}
	secret, err = readCallback(c, d.LookupEnv)
	return token, secret, client, err
}

// Hear implements Caller.
func (k *tracked) Hear(header http.Header, body []byte) ([]Heard, error) {
	if k.secret == "" {
		return nil, ErrNoCallback
	}
	return k.t.hear(k.secret, header, body)
}

// Deliver implements Ticketer. What it returns with an error is what is known
// of the ticket all the same.
func (k *tracked) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		return d.Ticket, &policy.PermanentError{Err: errors.New("a tracker keeps tickets of reviews, it takes no notices")}
	}
	t, err := k.bring(ctx, d.Ticket, k.page(&d), d.Card.Review.Opened.Add(-listingSkew))
	if err == nil {
		t.Target, t.Rev, t.Updated, t.Failed = k.target, d.Card.Review.Rev, d.Now, ""
	}
	return t, err
}

// bring makes the ticket that is known, or else the one that is found, or else
// a new one, what the page says. A lost answer, a crash and a ticket deleted by
// hand all end in one ticket.
func (k *tracked) bring(ctx context.Context, known review.Ticket, p *page, after time.Time) (review.Ticket, error) {
	if known.Ref != "" {
		if t, err := k.follow(ctx, known, p); !errors.Is(err, errGone) {
			return t, err
		}
	}
	found, err := k.t.find(ctx, p.key, after)
	if err != nil {
		return known, err
	}
	if found != nil {
		if t, err := k.follow(ctx, ticketOf(found), p); !errors.Is(err, errGone) {
			return t, err
		}
	}
	if p.state == review.Resolved {
		return review.Ticket{State: p.state, Severity: p.severity}, nil
	}
	made, err := k.t.create(ctx, p)
	if err != nil {
		return known, uncertain(err)
	}
	t := ticketOf(made)
	t.Shown, t.Severity = p.digest, p.severity
	return k.follow(ctx, t, p)
}

// ticketOf is what is known of a ticket that was just found or made. What
// people took somewhere else was made open once.
func ticketOf(at *standing) review.Ticket {
	return review.Ticket{Ref: at.ref, URL: at.url, State: cmp.Or(at.state, review.Open)}
}

// follow makes a ticket what the page says.
func (k *tracked) follow(ctx context.Context, t review.Ticket, p *page) (review.Ticket, error) {
	e := edit{text: t.Shown != p.digest, move: t.State != p.state}
	if !e.text && !e.move {
		return t, nil
	}
	at, err := k.t.read(ctx, t.Ref)
	if err != nil {
		return t, err
	}
	if at.over && p.state != review.Resolved {
		return t, errGone
	}
	e.move = e.move && at.goesAlong(t.State, p.state)
	if !at.over && (e.text || e.move) {
		if err := k.t.update(ctx, at, p, e); err != nil {
			return t, err
		}
		t.Shown, t.Severity = p.digest, p.severity
	}
	t.State, t.URL = p.state, cmp.Or(at.url, t.URL)
	return t, nil
}

// goesAlong reports whether a ticket is to be moved because its review went
// from one state to another. Where people moved it in the meantime it stays,
// unless the review is over and the ticket is not.
func (s *standing) goesAlong(from, to review.State) bool {
	switch s.state {
	case to:
		return false
	case from:
		return true
	}
	return to == review.Resolved
}

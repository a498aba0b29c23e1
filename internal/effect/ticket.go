package effect

import (
	"context"
	"net/http"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Ticketer shows reviews in a tool of on-call's. What one review is there is
// its ticket.
//
// Deliver makes the ticket say what the card says: it creates the ticket where
// there is none, else changes it, and returns what is to be known of it next
// time. It is called for one review by one process at a time, again and again,
// and any call may have died half-way before its result was kept: where
// d.Ticket.Ref is empty a ticket may exist all the same, and one that carries
// d.Key is adopted, not made a second time. Delivering the same card twice
// changes nothing that a person would notice. Errors are as for
// policy.Effector: retryable unless they wrap a *policy.PermanentError, and
// without secrets.
type Ticketer interface {
	Deliver(ctx context.Context, d Delivery) (review.Ticket, error)
}

// Delivery is what a Ticketer is given.
type Delivery struct {
	// Key is the same for one review on every call, and no other review's: 1 to
	// 40 letters, digits and dashes.
	Key string
	// Card is the review as it is now.
	Card review.Card
	// Ticket is what the last successful call returned; zero when there was none.
	Ticket review.Ticket
	// News is why this call is made; tools that can only post use it to say
	// what is new, others to decide whether to make a noise.
	News review.News
	// Once marks a notice that is no review: it is told once and never again,
	// nothing can be acknowledged, and no ticket is kept.
	Once bool
	// Now is the time of the call.
	Now time.Time
}

// Caller is a Ticketer that calls back: what people do to its tickets there
// reaches their reviews.
type Caller interface {
	// Hear authenticates a request of the tool's and says what it tells of
	// tickets: nothing, for what does not concern us. ErrForged means that the
	// request is not the tool's (401), ErrNoCallback that this target has no
	// secret to tell (403), any other error that the request can't be read
	// (400). body is all of it, bounded by the caller.
	Hear(header http.Header, body []byte) ([]Heard, error)
}

// Heard is one thing that somebody did to a ticket in its tool.
type Heard struct {
	// Key is the Delivery's; Ref the Ticket's.
	Key, Ref string
	// Verb is review.Ack, review.Resolve, review.Remark, or review.Reopen.
	Verb review.Verb
	// By names the person, and Why what they wrote; they may be empty.
	By, Why string
	// At is when they did it, by the tool's clock.
	At time.Time
	// ID names the request, so that a repeat of it adds no second comment.
	ID string
}

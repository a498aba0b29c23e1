package effect

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	netmail "net/mail"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const (
	mailPort = 587
	// mailed is the news that is worth a mail.
	mailed = review.Loud | review.NewsAcknowledged | review.NewsResolved
)

// email sends mails of reviews, those of one review in one thread.
//
// Ticket.Shown remembers what the last mail was about, so that the same is
// mailed once. A mail has no key that a server would drop repeats by: a crash
// after it was taken and before that was kept sends it a second time, with the
// same Message-ID, by which many mailboxes show it once.
type email struct {
	target string
	host   string
	from   *netmail.Address
	to     []*netmail.Address
	tls    string
	// user and password log in; no login without a password.
	user, password string
	port           int
	dial           mail.DialContextFunc
	tlsConfig      *tls.Config
	userAgent      string
	hide           redactor
}

func buildEmail(name string, t *policy.EmailTarget, d *Deps) (Ticketer, error) {
	password, err := readSecret("token", t.TokenEnv, t.TokenFile, d.LookupEnv)
	if err != nil {
		return nil, err
	}
	e := &email{
		target: name, host: t.Host, port: cmp.Or(t.Port, mailPort), tls: t.TLS, user: t.User, password: password, userAgent: d.userAgent(),
		hide:      newRedactor(loginSecrets(t.User, password)...),
		tlsConfig: &tls.Config{ServerName: t.Host, MinVersion: tls.VersionTLS12},
	}
	if e.from, err = netmail.ParseAddress(t.From); err != nil {
		return nil, errors.New("from: is not an address such as modelwarden@contoso.example")
	}
	for i, to := range t.To {
		a, err := netmail.ParseAddress(to)
		if err != nil {
			return nil, fmt.Errorf("to[%d]: is not an address such as oncall@contoso.example", i)
		}
		e.to = append(e.to, a)
	}
	allowed, err := newAllowance(Dialing{
		AllowLoopback: d.AllowLoopback, AllowPrivate: t.AllowPrivate,
		Setting: "targets." + name + "." + string(policy.EmailKind) + ".allowPrivate",
	})
	if err != nil {
		return nil, err
	}
	e.dial = allowed.dial(d.Resolver)
	return e, nil
}

// Deliver implements Ticketer.
func (e *email) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		_, err := e.send(ctx, &d)
		return review.Ticket{}, err
	}
	r, out := &d.Card.Review, d.Ticket
	out.Target, out.State, out.Severity, out.Rev, out.Updated = e.target, r.State, r.Severity, r.Rev, d.Now
	why := mailOccasion(r)
	switch {
	case r.State == review.Snoozed || r.Silence != nil:
		out.Shown = "" // once it is over, the same is worth a mail again
		return out, nil
	case !worthMail(&d, why):
		return out, nil
	}
	refused, err := e.send(ctx, &d)
	if err != nil {
		return d.Ticket, err
	}
	out.Ref, out.Shown, out.Failed = e.thread(d.Key), why, refused
	return out, nil
}

// worthMail reports whether a delivery is to be mailed: the first time that a
// review is open, and after that on news that has not been mailed yet.
func worthMail(d *Delivery, why string) bool {
	if d.Ticket.Ref == "" {
		return d.Card.Review.State == review.Open
	}
	return d.Ticket.Shown != why && d.News.Has(mailed)
}

// mailOccasion stands for what a mail is about.
func mailOccasion(r *review.Review) string {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	switch r.State {
	case review.Acknowledged:
		return event.Digest("mail", string(r.State), at(r.AckedAt))
	case review.Resolved:
		return event.Digest("mail", string(r.State), at(r.ResolvedAt))
	}
	return event.Digest("mail", string(r.State), string(r.Severity), at(r.OpenSince), at(r.Escalated), strconv.Itoa(r.Level), strconv.Itoa(r.Round))
}

// send hands one mail to the server. refused names the recipients that the
// server would not take although it took others: they are not tried again,
// since that would mail the others twice.
func (e *email) send(ctx context.Context, d *Delivery) (refused string, err error) {
	m, err := e.compose(d)
	if err != nil {
		return "", &policy.PermanentError{Err: fmt.Errorf("the mail can't be written: %w", err)}
	}
	s := mailSession{email: e, ctx: ctx}
	defer s.close()
	bad, err := s.deliver(m)
	if err != nil {
		return "", s.failure(err)
	}
	if len(bad) == 0 {
		return "", nil
	}
	return clip("refused, and not tried again, for "+plainLine(e.hide.text(errors.Join(bad...).Error())), excerptLength*2), nil
}

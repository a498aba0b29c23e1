package effect

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// teams posts a card to a Microsoft Teams workflow for each change of a review
// that is worth a message: it calls for somebody, somebody has it, it is over.
// What a workflow posted can't be changed, and its answer names no message, so
// the rest is left out.
//
// A workflow drops no repeats and can't be asked what it posted: a crash between
// posting and recording posts a card twice. It answers 202 before it posts, so
// a card that Teams itself refuses shows in the workflow's runs alone.
type teams struct {
	name      string
	address   *url.URL
	client    *http.Client
	userAgent string
	now       func() time.Time
	hide      redactor
}

func buildTeams(name string, t *policy.TeamsTarget, d *Deps) (Ticketer, error) {
	token, client, err := d.caller(name, policy.TeamsKind, &t.Token)
	if err != nil {
		return nil, err
	}
	u, err := workflowAddress(token)
	if err != nil {
		return nil, err
	}
	return &teams{
		name: name, address: u, client: client, userAgent: d.userAgent(), now: d.Now,
		hide: newRedactor(append(urlSecrets(u), token)...),
	}, nil
}

// workflowAddress reads a workflow's address, which is a secret: its error does
// not repeat it.
func workflowAddress(token string) (*url.URL, error) {
	u, err := parseURL(token)
	if err != nil || u.Scheme != "https" && !loopbackHost(u.Hostname()) {
		return nil, errors.New("token: is not a workflow's address: want all of the https address that the workflow shows (it is not repeated here, it is a secret)")
	}
	return u, nil
}

// loopbackHost reports whether a host is this one, without looking it up.
func loopbackHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return classify(ip) == loopback
	}
	return strings.EqualFold(host, "localhost")
}

// Deliver implements Ticketer. A ticket's Ref is the key: a workflow names
// nothing that could be found again.
func (t *teams) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		return review.Ticket{}, t.post(ctx, newNotice(d))
	}
	ticket := messageTicket(t.name, d)
	ticket.Ref = d.Ticket.Ref
	if !worthMessage(d) {
		return ticket, nil
	}
	n := newNotice(d)
	n.News = d.News.Word()
	if err := t.post(ctx, n); err != nil {
		return review.Ticket{}, err
	}
	ticket.Ref = d.Key
	return ticket, nil
}

// worthMessage reports whether a tool that can't change what it posted is to
// post anew: not of a review that was quiet before anybody was told of it, and
// once for each revision.
func worthMessage(d Delivery) bool {
	quiet := pageQuiet(&d.Card.Review)
	switch {
	case d.Ticket.Ref == "":
		return !quiet
	case d.Ticket.Rev >= d.Card.Review.Rev:
		return false
	}
	return d.News.Has(review.NewsAcknowledged|review.NewsResolved) || d.News.Has(review.Loud) && !quiet
}

// post sends one card. Only the host is named in errors: the rest of the
// address lets anybody post.
func (t *teams) post(ctx context.Context, n notice) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.address.String(), bytes.NewReader(newTeamsMessage(n)))
	if err != nil {
		return &policy.PermanentError{Err: errors.New(t.hide.text(err.Error()))}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", t.userAgent)
	ans, err := exchange(t.client, req, maxAnswer, t.hide)
	if err != nil {
		return err
	}
	if !ans.ok() {
		return hint(statusError(ans, t.address, t.now(), t.hide), teamsAdvice[ans.status])
	}
	return nil
}

// teamsAdvice says what to do about a refusal.
var teamsAdvice = map[int]string{
	http.StatusBadRequest:            `check that the workflow begins with "When a Teams webhook request is received" and that it is turned on`,
	http.StatusUnauthorized:          "the workflow's address is not valid (any more): copy it again, and let anyone trigger the workflow",
	http.StatusForbidden:             "the workflow's address is not valid (any more): copy it again, and let anyone trigger the workflow",
	http.StatusNotFound:              "the workflow is gone: make another and put its address where the target's token is",
	http.StatusGone:                  "the workflow is gone: make another and put its address where the target's token is",
	http.StatusRequestEntityTooLarge: "that is a fault of this service: please report it",
}

package effect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Facts of PagerDuty's Events API v2 (PagerDuty/api-schema,
// reference/events-v2/openapiv3.json).
const (
	pagerAPI         = "https://events.pagerduty.com"
	pagerTrigger     = "trigger"
	pagerAcknowledge = "acknowledge"
	pagerResolve     = "resolve"
	// maxPagerAssets bounds what a page lists.
	maxPagerAssets = 10
)

// pagerDuty shows reviews in PagerDuty as incidents.
//
// PagerDuty itself drops repeats by dedup_key, which is the delivery's key, so
// that nothing has to be looked up. But a key whose incident is acknowledged
// calls nobody again: when a review that was set aside opens, its next incident
// has the key with a number (key.2, key.3), and the one before is resolved.
//
// An acknowledgement also stands for a snooze and a silence, for which the
// Events API has no word. An incident is not made for a review that is quiet.
type pagerDuty struct {
	api    rest
	key    string // the integration's
	secret string // of the webhook subscription
	known  incidentKeys
}

func buildPagerDuty(name string, t *policy.PagerDutyTarget, d *Deps) (Ticketer, error) {
	token, client, err := d.caller(name, policy.PagerDutyKind, &t.Token)
	if err != nil {
		return nil, err
	}
	secret, err := readCallback(&t.Callback, d.LookupEnv)
	if err != nil {
		return nil, err
	}
	base, err := parseURL(cmp.Or(t.URL, pagerAPI))
	if err != nil {
		return nil, err
	}
	return &pagerDuty{key: token, secret: secret, api: rest{
		base: base, client: client, userAgent: d.userAgent(), hide: newRedactor(token, secret),
	}}, nil
}

// pagerEvent is what the Events API takes.
type pagerEvent struct {
	RoutingKey string        `json:"routing_key"`
	Action     string        `json:"event_action"`
	DedupKey   string        `json:"dedup_key"`
	Payload    *pagerPayload `json:"payload"`
	Client     string        `json:"client,omitempty"`
	ClientURL  string        `json:"client_url,omitempty"`
	Links      []pagerLink   `json:"links,omitempty"`
}

type pagerPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp,omitempty"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

type pagerLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// Deliver implements Ticketer.
func (p *pagerDuty) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		return review.Ticket{}, &policy.PermanentError{Err: errors.New("pagerDuty: a notice can't be an incident: a page wants somebody to act")}
	}
	r, was := &d.Card.Review, d.Ticket
	out := review.Ticket{Ref: cmp.Or(was.Ref, d.Key), State: r.State, Severity: r.Severity, Shown: was.Shown}
	var err error
	switch {
	case r.State == review.Resolved:
		if was.State != review.Resolved {
			err = p.send(ctx, &d, pagerResolve, out.Ref)
		}
	case pageQuiet(r):
		out.State = review.Acknowledged
		if was.State != review.Acknowledged {
			err = p.send(ctx, &d, pagerAcknowledge, out.Ref)
		}
	default:
		out.Shown = pagerOccasion(r)
		if was.State == review.Acknowledged {
			out.Ref = followingKey(d.Key, out.Ref)
		}
		if was.State != review.Open || out.Shown != was.Shown {
			err = p.call(ctx, &d, out.Ref)
		}
	}
	if err != nil {
		return d.Ticket, err
	}
	return out, nil
}

// call triggers an incident, and resolves the one that it follows, in this
// order: should the second fail, people have been called.
func (p *pagerDuty) call(ctx context.Context, d *Delivery, key string) error {
	if err := p.send(ctx, d, pagerTrigger, key); err != nil {
		return err
	}
	if before := d.Ticket.Ref; before != "" && before != key {
		return p.send(ctx, d, pagerResolve, before)
	}
	return nil
}

// followingKey is the key of the incident after this one.
func followingKey(key, ref string) string {
	n, err := strconv.Atoi(strings.TrimPrefix(ref, key+"."))
	if err != nil || n < 1 {
		n = 1
	}
	return key + "." + strconv.Itoa(n+1)
}

// pagerOccasion stands for why people are called. While it is the same,
// PagerDuty is told nothing: each event is a line in the incident's log, and
// after somebody resolved the incident there it would be a new one.
func pagerOccasion(r *review.Review) string {
	return event.Digest("page", string(r.Severity), r.OpenSince.UTC().Format(time.RFC3339Nano),
		r.Escalated.UTC().Format(time.RFC3339Nano), strconv.Itoa(r.Level), strconv.Itoa(r.Round))
}

// event writes the review down. Events that acknowledge or resolve carry the
// payload as well: an account's rules may route by it.
func (p *pagerDuty) event(d *Delivery, action, key string) *pagerEvent {
	r := &d.Card.Review
	e := &pagerEvent{
		RoutingKey: p.key, Action: action, DedupKey: key,
		Client: "Modelwarden", ClientURL: pageLink(d.Card.URL),
		Payload: &pagerPayload{
			Summary: pageSummary(r), Severity: string(r.Severity), Timestamp: r.OpenSince.UTC().Format(time.RFC3339),
			Source: cmp.Or(r.Model, firstOf(r.Assets), r.Workspace, "modelwarden"), Component: pageModel(r),
			Group: r.Workspace, Class: firstOf(r.Policies), Details: pagerDetails(&d.Card, d.Now),
		},
	}
	if e.ClientURL != "" {
		e.Links = append(e.Links, pagerLink{e.ClientURL, "Review in Modelwarden"})
	}
	if book := pageRunbook(&d.Card); book != "" {
		e.Links = append(e.Links, pagerLink{book, "Runbook"})
	}
	return e
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// pagerDetails are the rows of an incident's details.
func pagerDetails(c *review.Card, now time.Time) map[string]string {
	r := &c.Review
	out := map[string]string{
		"review": r.ID, "signals": strconv.Itoa(r.Count), "card": pageText(c, now),
	}
	set(out, "reason", clip(inertPage(r.Reason), maxPageText))
	set(out, "policies", strings.Join(r.Policies, ", "))
	set(out, "assets", strings.Join(r.Assets[:min(len(r.Assets), maxPagerAssets)], ", "))
	set(out, "owner", clip(inertPage(c.Owner), maxPageSummary))
	return out
}

// send makes one request. That it is accepted means that PagerDuty will see to
// it, soon.
func (p *pagerDuty) send(ctx context.Context, d *Delivery, action, key string) error {
	ans, err := p.api.send(ctx, http.MethodPost, "v2/enqueue", nil, p.event(d, action, key))
	if err != nil || ans.ok() {
		return err
	}
	return p.refused(ans, d.Now)
}

// refused says what PagerDuty has against an event, in its words.
func (p *pagerDuty) refused(ans *answer, now time.Time) error {
	var said struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	if json.Unmarshal(ans.body, &said) == nil && said.Message != "" {
		ans.body = []byte(strings.TrimSuffix(said.Message+": "+strings.Join(said.Errors, ", "), ": "))
	}
	err := statusError(ans, p.api.base, now, p.api.hide)
	switch ans.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return hint(err, fmt.Sprintf("check that the token is an Events API v2 integration key of 32 characters, and that url is of the account's region (%s, or https://events.eu.pagerduty.com)", pagerAPI))
	}
	return err
}

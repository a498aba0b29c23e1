package effect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Facts of Alertmanager (its api/v2/openapi.yaml) and how they are used.
const (
	// alertLasts is how long an alert goes on firing after it was last sent. An
	// Alertmanager ends what says no end after its own resolve_timeout, minutes,
	// and tells people that it is over. A review that is open is not over because
	// Modelwarden is down for a while, so the end is said, and is far away; it is
	// not for ever, so that what a service left that was taken away goes too.
	alertLasts = 24 * time.Hour
	// alertRefresh is how often an alert is sent again. Alertmanager keeps alerts
	// in memory alone: this is how long one that was started anew may not know.
	alertRefresh = 5 * time.Minute
	// alertServerTimeout bounds one request, so that a server that hangs does not
	// use up the time of those that don't.
	alertServerTimeout = 8 * time.Second
)

// alertmanager shows reviews in Alertmanagers as alerts.
//
// Labels identify an alert, so that what may change without a call is in
// annotations. Two things that change are labels all the same: the severity, by
// which routes choose receivers, and since when the review is open, because
// Alertmanager would wait for its repeat_interval with an alert that it told
// before a silence. Each delivery asks each server for the alerts that it has
// of the review, ends those with other labels and sends the present one: that
// also reaches what was sent when an answer was lost.
//
// Alertmanager can't acknowledge: a silence of exactly this alert stands for
// it, and for a snooze. A silence that somebody makes there by hand, or ends,
// stays as they left it; nothing of it comes back.
type alertmanager struct {
	servers []alertServer
	labels  map[string]string
}

func buildAlertmanager(name string, t *policy.AlertmanagerTarget, d *Deps) (Ticketer, error) {
	token, err := readSecret("token", t.TokenEnv, t.TokenFile, d.LookupEnv)
	if err != nil {
		return nil, err
	}
	header, hide, err := alertAuthorization(t.User, token)
	if err != nil {
		return nil, err
	}
	client, err := NewClient(Dialing{
		AllowLoopback: d.AllowLoopback, AllowPrivate: t.AllowPrivate, Resolver: d.Resolver,
		Setting: "targets." + name + "." + string(policy.AlertmanagerKind) + ".allowPrivate",
	})
	if err != nil {
		return nil, err
	}
	m := &alertmanager{labels: t.Labels}
	for _, address := range append([]string{t.URL}, t.Peers...) {
		base, err := parseURL(address)
		if err != nil {
			return nil, err
		}
		m.servers = append(m.servers, alertServer{rest{base: base, header: header, client: client, userAgent: d.userAgent(), hide: hide}})
	}
	return m, nil
}

// alertAuthorization is basic authentication where there is a user, else a
// bearer token, else none.
func alertAuthorization(user, token string) (http.Header, redactor, error) {
	header := http.Header{}
	switch {
	case token == "" && user != "":
		return nil, redactor{}, errors.New("token: is missing: user needs a password, name where it is with tokenEnv or tokenFile")
	case token == "":
		return header, redactor{}, nil
	case checkHeader("Authorization", user+token) != nil:
		return nil, redactor{}, errors.New("token: it has control characters")
	}
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + token))
	if user != "" {
		header.Set("Authorization", "Basic "+basic)
	} else {
		header.Set("Authorization", "Bearer "+token)
	}
	return header, newRedactor(token, basic), nil
}

// alertRef is what a ticket's Ref holds, as JSON.
type alertRef struct {
	Review string `json:"review"`
	// Silence is the id of ours, "" while there is none. Until is the end that
	// was asked for last: with it and without Silence, somebody ended it by hand.
	Silence string    `json:"silence,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

func readAlertRef(ref string) alertRef {
	var out alertRef
	if json.Unmarshal([]byte(ref), &out) != nil {
		return alertRef{} // not ours: as if there were none
	}
	return out
}

// String writes the reference as a ticket holds it.
func (r alertRef) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// Deliver implements Ticketer. The silence comes first: it must be there before
// an alert that shall call nobody, and gone before the end of one that shall be
// told: Alertmanager forgets an end that it withheld.
func (m *alertmanager) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		return review.Ticket{}, m.tell(ctx, &sending{alert: m.notice(&d), now: d.Now})
	}
	r := &d.Card.Review
	ref, err := m.hush(ctx, r, readAlertRef(d.Ticket.Ref), d.Now)
	if err != nil && pageQuiet(r) && d.Ticket.Ref == "" {
		return d.Ticket, err // else an alert that is silenced nowhere would call
	}
	s := &sending{alert: m.alert(&d), others: m.matchers(r.ID), over: r.State == review.Resolved, now: d.Now}
	if err := together(m.tell(ctx, s), err); err != nil {
		return d.Ticket, err
	}
	ref.Review = r.ID
	out := review.Ticket{Ref: ref.String(), URL: m.page(r.ID), State: r.State, Severity: r.Severity}
	if !s.over {
		out.Refresh = d.Now.Add(alertRefresh)
	}
	return out, nil
}

// page is where people see the alert.
func (m *alertmanager) page(id string) string {
	filter := url.QueryEscape(fmt.Sprintf("{%s=%q}", labelReview, id))
	return strings.TrimSuffix(m.servers[0].api.base.String(), "/") + "/#/alerts?silenced=true&filter=" + filter
}

// tell sends an alert to every server. Alertmanagers of a cluster share what
// they have notified and silenced, but not alerts: one that was left out would
// take over and know nothing.
func (m *alertmanager) tell(ctx context.Context, s *sending) error {
	failed := make([]error, len(m.servers))
	var wg sync.WaitGroup
	for i := range m.servers {
		wg.Go(func() { failed[i] = m.servers[i].tell(ctx, s) })
	}
	wg.Wait()
	err := together(failed...)
	if took := len(slices.DeleteFunc(failed, func(err error) bool { return err != nil })); err != nil && took > 0 {
		err = fmt.Errorf("%d of %d servers took it: %w", took, len(m.servers), err)
	}
	return err
}

// together makes one error of several outcomes, nil when all are. It is
// permanent only when they all are: the others may come right later, and then
// nothing else would bring the rest along.
func together(outcomes ...error) error {
	var passing, lasting several
	for _, err := range outcomes {
		var permanent *policy.PermanentError
		switch {
		case errors.As(err, &permanent):
			lasting = append(lasting, errors.New(err.Error()))
		case err != nil:
			passing = append(passing, err)
		}
	}
	switch all := append(passing, lasting...); {
	case len(all) == 0:
		return nil
	case len(lasting) == len(outcomes):
		return &policy.PermanentError{Err: all}
	default:
		return all
	}
}

// several are errors on one line.
type several []error

// Error implements error.
func (s several) Error() string {
	text := make([]string, len(s))
	for i, err := range s {
		text[i] = err.Error()
	}
	return strings.Join(text, "; ")
}

// Unwrap lets errors.Is and errors.As see each.
func (s several) Unwrap() []error { return s }

// alertServer is one Alertmanager.
type alertServer struct{ api rest }

// call makes one request. Its answer is a success, read into into unless that
// is nil.
func (s *alertServer) call(ctx context.Context, method, path string, query url.Values, body, into any, now time.Time) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, alertServerTimeout)
	defer cancel()
	ans, err := s.api.send(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	if !ans.ok() {
		return nil, hint(statusError(ans, s.api.base, now, s.api.hide), alertHint(ans.status))
	}
	if into != nil {
		err = s.api.read(ans, into)
	}
	return ans, err
}

func alertHint(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "check the target's user and token"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "check that url is an Alertmanager's (0.16 or later), with its path prefix if it has one"
	}
	return ""
}

// clock is the server's time, as far as it is behind ours: an end that lies in
// the server's future would leave an alert firing, and a silence waiting.
func (a *answer) clock(now time.Time) time.Time {
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil && at.Before(now) {
		return at
	}
	return now
}

package effect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Lengths of an incident's fields in ServiceNow's base system.
const (
	serviceNowTitleLimit = 160
	serviceNowTextLimit  = 4000
)

// States of an incident in ServiceNow's base system. On Hold (3) stands for
// none of a review's. What is closed or canceled can't be changed any more.
const (
	serviceNowNew        = "1"
	serviceNowInProgress = "2"
	serviceNowResolved   = "6"
	serviceNowClosed     = "7"
	serviceNowCanceled   = "8"
)

// serviceNowLevels are urgency and impact of a severity. The base system makes
// priority 1 (critical), 2 (high), 3 (moderate) and 5 (planning) of them.
var serviceNowLevels = map[review.Severity][2]string{
	review.Critical: {"1", "1"}, review.Error: {"1", "2"}, review.Warning: {"2", "2"}, review.Info: {"3", "3"},
}

// serviceNow keeps a ServiceNow incident per review, by the Table API.
//
// The key is the incident's correlation_id, beside a correlation_display of
// Modelwarden. A review that comes back opens its resolved incident in state In
// Progress, as ServiceNow's own button does; an incident that was closed or
// canceled by then stays so, and there is another one. The account needs the
// role itil.
type serviceNow struct {
	api rest
	o   policy.ServiceNowTarget
	now func() time.Time
}

func buildServiceNow(name string, t *policy.ServiceNowTarget, d *Deps) (Ticketer, error) {
	token, secret, client, err := d.trackerCaller(name, policy.ServiceNowKind, &t.Token, &t.Callback)
	if err != nil {
		return nil, err
	}
	api, err := accountREST(t.URL, t.User, token, client, d.userAgent())
	if err != nil {
		return nil, err
	}
	s := &serviceNow{api: api, o: *t, now: d.Now}
	s.o.CloseCode = cmp.Or(t.CloseCode, "Solution provided")
	return &tracked{target: name, secret: secret, t: s}, nil
}

// compose implements tracker. Descriptions are plain text.
func (s *serviceNow) compose(c *review.Card, _ string) (title, body string) {
	foot := "\n\n" + asOfLine(c)
	if link := shownLink(c.URL); link != "" {
		foot = "\n\nReview in Modelwarden: " + link + foot
	}
	text := strings.TrimRight(trackerText(c), "\n")
	return trackerTitle(&c.Review, serviceNowTitleLimit), atMostLines(text, serviceNowTextLimit-len(foot)) + foot
}

// incident is the part of an incident that is read here, as stored values.
type incident struct {
	SysID         string `json:"sys_id"`
	Number        string `json:"number"`
	State         string `json:"state"`
	CorrelationID string `json:"correlation_id"`
}

const incidentFields = "sys_id,number,state,correlation_id"

func (s *serviceNow) standing(i *incident) *standing {
	link := s.api.base.JoinPath("incident.do")
	link.RawQuery = url.Values{"sys_id": {i.SysID}}.Encode()
	return &standing{
		ref: i.SysID, url: link.String(), status: i.State, state: incidentState(i.State),
		over: i.State == serviceNowClosed || i.State == serviceNowCanceled,
	}
}

// incidentState is the review's state that an incident's stands for.
func incidentState(state string) review.State {
	switch state {
	case serviceNowNew:
		return review.Open
	case serviceNowInProgress:
		return review.Acknowledged
	case serviceNowResolved, serviceNowClosed, serviceNowCanceled:
		return review.Resolved
	}
	return ""
}

// find implements tracker. An instance ignores conditions on fields that the
// account may not read, and then answers with any incident: the key is compared
// here.
func (s *serviceNow) find(ctx context.Context, key string, _ time.Time) (*standing, error) {
	query := s.query()
	query.Set("sysparm_query", fmt.Sprintf("correlation_id=%s^stateNOT IN%s,%s^ORDERBYDESCsys_created_on", key, serviceNowClosed, serviceNowCanceled))
	query.Set("sysparm_limit", "1")
	var found struct {
		Result []incident `json:"result"`
	}
	if err := s.call(ctx, http.MethodGet, "", query, nil, &found); err != nil {
		return nil, err
	}
	switch {
	case len(found.Result) == 0:
		return nil, nil
	case found.Result[0].CorrelationID != key:
		return nil, &policy.PermanentError{Err: fmt.Errorf("%s answered with incidents that were not asked for: the account needs the right to read correlation_id of incidents", place(s.api.base))}
	}
	return s.standing(&found.Result[0]), nil
}

// create implements tracker.
func (s *serviceNow) create(ctx context.Context, p *page) (*standing, error) {
	fields := incidentText(p)
	fields["correlation_id"], fields["correlation_display"] = p.key, "Modelwarden"
	for name, value := range map[string]string{"assignment_group": s.o.AssignmentGroup, "category": s.o.Category, "caller_id": s.o.CallerID} {
		if value != "" {
			fields[name] = value
		}
	}
	return s.one(ctx, http.MethodPost, "", fields)
}

func incidentText(p *page) map[string]string {
	levels := serviceNowLevels[p.severity]
	return map[string]string{"short_description": p.title, "description": p.body, "urgency": levels[0], "impact": levels[1]}
}

// read implements tracker.
func (s *serviceNow) read(ctx context.Context, ref string) (*standing, error) {
	return s.one(ctx, http.MethodGet, ref, nil)
}

// update implements tracker.
func (s *serviceNow) update(ctx context.Context, at *standing, p *page, e edit) error {
	fields := map[string]string{}
	if e.text {
		fields = incidentText(p)
	}
	if e.move {
		maps.Copy(fields, s.state(at, p))
	}
	_, err := s.one(ctx, http.MethodPatch, at.ref, fields)
	return err
}

// state is what moves an incident.
func (s *serviceNow) state(at *standing, p *page) map[string]string {
	switch {
	case p.state == review.Resolved:
		return map[string]string{"state": serviceNowResolved, "close_code": s.o.CloseCode, "close_notes": atMostChars(p.ending, serviceNowTextLimit)}
	case p.state == review.Acknowledged, at.state == review.Resolved:
		return map[string]string{"state": serviceNowInProgress}
	}
	return map[string]string{"state": serviceNowNew}
}

// query asks for stored values of the fields that are read, not for the names
// that people see.
func (s *serviceNow) query() url.Values {
	return url.Values{"sysparm_fields": {incidentFields}, "sysparm_display_value": {"false"}, "sysparm_exclude_reference_link": {"true"}}
}

// one makes a request that is answered with one incident.
func (s *serviceNow) one(ctx context.Context, method, ref string, fields map[string]string) (*standing, error) {
	var body any
	if fields != nil {
		body = fields
	}
	var got struct {
		Result incident `json:"result"`
	}
	if err := s.call(ctx, method, ref, s.query(), body, &got); err != nil {
		return nil, err
	}
	if got.Result.SysID == "" {
		return nil, fmt.Errorf("%s answered without an incident", place(s.api.base))
	}
	return s.standing(&got.Result), nil
}

func (s *serviceNow) call(ctx context.Context, method, ref string, query url.Values, body, into any) error {
	ans, err := s.api.send(ctx, method, strings.TrimSuffix("api/now/table/incident/"+url.PathEscape(ref), "/"), query, body)
	switch {
	case err != nil:
		return err
	case ans.status == http.StatusNotFound:
		return goneError{s.failure(ans)}
	case !ans.ok():
		return s.failure(ans)
	}
	return s.api.read(ans, into)
}

// failure sorts an answer that is not a success and says what to check.
func (s *serviceNow) failure(ans *answer) error {
	return hint(statusError(ans, s.api.base, s.now(), s.api.hide), s.advice(ans.status))
}

func (s *serviceNow) advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "the credentials are not accepted: check user and token"
	case http.StatusForbidden:
		return fmt.Sprintf("the account needs the role itil; where a data policy refused, check that callerId, assignmentGroup and category are what it demands and that incidents have the close code %q", s.o.CloseCode)
	case http.StatusNotFound:
		return "check that url is the instance's"
	case http.StatusBadRequest:
		return "check that callerId and assignmentGroup are sys_ids, and category a value"
	}
	return ""
}

package effect

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Limits of Jira's fields, in characters.
const (
	jiraSummaryLimit     = 255
	jiraDescriptionLimit = 32767
)

// jira keeps a Jira issue per review, by version 2 of the REST API, which Jira
// Cloud and Jira Data Center have in common.
//
// The key is in a label; another is on all issues. A review's states are
// statuses, by name, and reached by the workflow's transitions; an issue that
// people moved to a status of the category Done counts as resolved. The account
// needs the project permissions Browse Projects, Create Issues, Edit Issues and
// Transition Issues.
type jira struct {
	api    rest
	o      policy.JiraTarget
	states ticketStates
	now    func() time.Time
}

func buildJira(name string, t *policy.JiraTarget, d *Deps) (Ticketer, error) {
	token, secret, client, err := d.trackerCaller(name, policy.JiraKind, &t.Token, &t.Callback)
	if err != nil {
		return nil, err
	}
	api, err := accountREST(t.URL, t.User, token, client, d.userAgent())
	if err != nil {
		return nil, err
	}
	j := &jira{api: api, o: *t, now: d.Now, states: newTicketStates(t.States, "To Do", "In Progress", "Done")}
	j.o.Type = cmp.Or(t.Type, "Task")
	return &tracked{target: name, secret: secret, t: j}, nil
}

// accountREST is how an API is called with a user's name and the token as the
// password, or with the token alone.
func accountREST(address, user, token string, client *http.Client, userAgent string) (rest, error) {
	base, err := parseURL(address)
	if err != nil {
		return rest{}, err
	}
	authorization, credential := "Bearer "+token, token
	if user != "" {
		credential = base64.StdEncoding.EncodeToString([]byte(user + ":" + token))
		authorization = "Basic " + credential
	}
	if err := checkHeader("Authorization", authorization); err != nil {
		return rest{}, errors.New("token: it has control characters")
	}
	return rest{
		base: base, client: client, userAgent: userAgent, hide: newRedactor(token, credential),
		header: http.Header{"Accept": {"application/json"}, "Authorization": {authorization}},
	}, nil
}

// compose implements tracker. The card is preformatted: nothing in it is
// markup, not even what would end the block.
func (j *jira) compose(c *review.Card, _ string) (title, body string) {
	const open, end = "{noformat}\n", "\n{noformat}"
	head := ""
	if link := shownLink(c.URL); link != "" {
		head = "[Review in Modelwarden|" + jiraLink.Replace(link) + "]\n\n"
	}
	text := strings.TrimRight(trackerText(c), "\n") + "\n\n"
	foot := asOfLine(c) + end
	text = atMostLines(jiraInert.Replace(text), jiraDescriptionLimit-len(head+open+foot))
	return trackerTitle(&c.Review, jiraSummaryLimit), head + open + text + foot
}

var (
	jiraLink  = strings.NewReplacer("|", "%7C", "[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D")
	jiraInert = strings.NewReplacer("{", "{\u200b")
)

// jiraIssue is the part of an issue that is read here.
type jiraIssue struct {
	ID     string `json:"id"`
	Key    string `json:"key"`
	Fields struct {
		Status jiraStatus `json:"status"`
	} `json:"fields"`
}

type jiraStatus struct {
	Name     string `json:"name"`
	Category struct {
		Key string `json:"key"`
	} `json:"statusCategory"`
}

// standing refers to an issue by its id: the key changes when people move it to
// another project.
func (j *jira) standing(i *jiraIssue) *standing {
	s := &standing{ref: i.ID, url: j.api.base.JoinPath("browse", i.Key).String(), status: i.Fields.Status.Name}
	s.state = j.states.of(s.status)
	if s.state == "" && i.Fields.Status.Category.Key == "done" {
		s.state = review.Resolved
	}
	return s
}

// find implements tracker. Jira Cloud has a search of its own since it removed
// the one that Data Center has.
func (j *jira) find(ctx context.Context, key string, _ time.Time) (*standing, error) {
	query := url.Values{
		"jql":        {fmt.Sprintf(`project = "%s" AND labels = "%s" ORDER BY created DESC`, j.o.Project, oneTicket+key)},
		"fields":     {"status"},
		"maxResults": {"1"},
	}
	var found struct {
		Issues []jiraIssue `json:"issues"`
	}
	err := j.call(ctx, http.MethodGet, "search/jql", query, nil, &found)
	if errors.Is(err, errGone) {
		err = j.call(ctx, http.MethodGet, "search", query, nil, &found)
	}
	if err != nil || len(found.Issues) == 0 {
		return nil, err
	}
	return j.standing(&found.Issues[0]), nil
}

// create implements tracker.
func (j *jira) create(ctx context.Context, p *page) (*standing, error) {
	fields := j.fields(p)
	fields["project"] = map[string]string{"key": j.o.Project}
	fields["issuetype"] = map[string]string{"name": j.o.Type}
	fields["labels"] = slices.Concat([]string{allTickets, oneTicket + p.key}, j.o.Labels)
	var made jiraIssue
	if err := j.call(ctx, http.MethodPost, "issue", nil, map[string]any{"fields": fields}, &made); err != nil {
		return nil, err
	}
	return j.standing(&made), nil
}

func (j *jira) fields(p *page) map[string]any {
	fields := map[string]any{"summary": p.title, "description": p.body}
	if priority := j.o.Priorities[string(p.severity)]; priority != "" {
		fields["priority"] = map[string]string{"name": priority}
	}
	return fields
}

// read implements tracker.
func (j *jira) read(ctx context.Context, ref string) (*standing, error) {
	var i jiraIssue
	if err := j.call(ctx, http.MethodGet, jiraPath(ref), url.Values{"fields": {"status"}}, nil, &i); err != nil {
		return nil, err
	}
	return j.standing(&i), nil
}

// update implements tracker. Workflows may forbid to edit what is done: the text
// is written while the issue is not, and where people were faster it stays as
// it is.
func (j *jira) update(ctx context.Context, at *standing, p *page, e edit) error {
	done := at.state == review.Resolved
	if done && e.move {
		if err := j.move(ctx, at, p.state); err != nil {
			return err
		}
		done, e.move = false, false
	}
	if e.text {
		err := j.call(ctx, http.MethodPut, jiraPath(at.ref), nil, map[string]any{"fields": j.fields(p)}, nil)
		if err != nil && (!done || !refused(err)) {
			return err
		}
	}
	if e.move {
		return j.move(ctx, at, p.state)
	}
	return nil
}

// refused reports whether an error is the product's No to a ticket that is
// there.
func refused(err error) bool {
	var permanent *policy.PermanentError
	return errors.As(err, &permanent) && !errors.Is(err, errGone)
}

type jiraTransition struct {
	ID string     `json:"id"`
	To jiraStatus `json:"to"`
}

// move makes the transition that leads to a state. From where people moved an
// issue none may: it stays there.
func (j *jira) move(ctx context.Context, at *standing, to review.State) error {
	var have struct {
		Transitions []jiraTransition `json:"transitions"`
	}
	path := jiraPath(at.ref, "transitions")
	if err := j.call(ctx, http.MethodGet, path, nil, nil, &have); err != nil {
		return err
	}
	want := j.states.name(to)
	for _, t := range have.Transitions {
		if strings.EqualFold(t.To.Name, want) {
			return j.call(ctx, http.MethodPost, path, nil, map[string]any{"transition": map[string]string{"id": t.ID}}, nil)
		}
	}
	if at.state == "" {
		return nil
	}
	var names []string
	for _, t := range have.Transitions {
		names = append(names, fmt.Sprintf("%q", t.To.Name))
	}
	return &policy.PermanentError{Err: fmt.Errorf("no transition of issue %s leads from %q to %q, only to %s: name a status under states that the workflow leads to, or let the account make the transition",
		at.url, at.status, want, cmp.Or(strings.Join(names, ", "), "none"))}
}

func jiraPath(ref string, path ...string) string {
	return strings.Join(append([]string{"issue", url.PathEscape(ref)}, path...), "/")
}

// call makes one request and reads the answer into a value, unless that is nil.
func (j *jira) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ans, err := j.api.send(ctx, method, "rest/api/2/"+path, query, body)
	switch {
	case err != nil:
		return err
	case ans.status == http.StatusNotFound, ans.status == http.StatusGone:
		return goneError{j.failure(ans)}
	case !ans.ok():
		return j.failure(ans)
	case into == nil:
		return nil
	}
	return j.api.read(ans, into)
}

// failure sorts an answer that is not a success and says what to check.
func (j *jira) failure(ans *answer) error {
	return hint(statusError(ans, j.api.base, j.now(), j.api.hide), j.advice(ans.status))
}

func (j *jira) advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "the token is not accepted: check that it has not expired, and that user is the account's e-mail address on Jira Cloud and missing on Data Center"
	case http.StatusForbidden:
		return "the account needs the project permissions Browse Projects, Create Issues, Edit Issues and Transition Issues"
	case http.StatusNotFound:
		return "check that url is the site's, with its context path on Data Center"
	case http.StatusBadRequest:
		return fmt.Sprintf("check that the project %s has the issue type %s, that the priorities exist, and that no other field is required", j.o.Project, j.o.Type)
	}
	return ""
}

package effect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Facts of GitHub's REST API ("REST API endpoints for issues", "... for
// labels", version 2022-11-28), and the limits that it enforces.
const (
	gitHubIssuesPageSize = 100
	gitHubTitleLimit     = 256
	gitHubBodyLimit      = 65536
)

// gitHubTaken is the label of an issue that is in somebody's hands.
const gitHubTaken = "acknowledged"

// gitHubIssues keeps an issue per review.
//
// The key is in a comment of the body that GitHub does not show, and is looked
// for among the issues with the label modelwarden: listings show a new issue at
// once, searches do not. Acknowledged is the label acknowledged, resolved a
// closed issue. The token needs the repository permission Issues: write, and
// should be a GitHub App's or a machine account's: what the account that opened
// an issue does to it is taken for our own doing (see hear).
type gitHubIssues struct {
	api rest
	o   policy.GitHubIssueTarget
	now func() time.Time
}

func buildGitHubIssue(name string, t *policy.GitHubIssueTarget, d *Deps) (Ticketer, error) {
	token, secret, client, err := d.trackerCaller(name, policy.GitHubIssueKind, &t.Token, &t.Callback)
	if err != nil {
		return nil, err
	}
	api, err := gitHubREST(t.URL, token, client, d.userAgent())
	if err != nil {
		return nil, err
	}
	return &tracked{target: name, secret: secret, t: &gitHubIssues{api: api, o: *t, now: d.Now}}, nil
}

// compose implements tracker.
func (g *gitHubIssues) compose(c *review.Card, key string) (title, body string) {
	foot := "\n\n" + asOfLine(c) + "\n\n" + gitHubMarker + key + " -->\n"
	if link := shownLink(c.URL); link != "" {
		foot = "\n\n[Review in Modelwarden](<" + link + ">)" + foot
	}
	text := strings.TrimRight(trackerMarkdown(c), "\n")
	return trackerTitle(&c.Review, gitHubTitleLimit), atMostLines(text, gitHubBodyLimit-len(foot)) + foot
}

// gitHubMarker begins the comment in an issue's body that the key is in.
const gitHubMarker = "<!-- modelwarden-review: "

// gitHubKey reads the key out of an issue's body: the last one, which is ours,
// for the text before it is from outside, though escaped.
func gitHubKey(body string) string {
	at := strings.LastIndex(body, gitHubMarker)
	if at < 0 {
		return ""
	}
	key, _, _ := strings.Cut(body[at+len(gitHubMarker):], " -->")
	return ticketKey(key)
}

// gitHubIssue is the part of an issue that is read here.
type gitHubIssue struct {
	Number  int           `json:"number"`
	HTMLURL string        `json:"html_url"`
	State   string        `json:"state"`
	Body    string        `json:"body"`
	Labels  []gitHubLabel `json:"labels"`
	// PullRequest is set on pull requests, which GitHub lists as issues.
	PullRequest *struct{} `json:"pull_request"`
}

type gitHubLabel struct {
	Name string `json:"name"`
}

func (i *gitHubIssue) labelled(name string) bool {
	return slices.ContainsFunc(i.Labels, func(l gitHubLabel) bool { return strings.EqualFold(l.Name, name) })
}

func (i *gitHubIssue) standing() *standing {
	s := &standing{ref: strconv.Itoa(i.Number), url: shownLink(i.HTMLURL), status: i.State, state: review.Open}
	switch {
	case i.State == "closed":
		s.state = review.Resolved
	case i.labelled(gitHubTaken):
		s.state = review.Acknowledged
	}
	return s
}

// find implements tracker.
func (g *gitHubIssues) find(ctx context.Context, key string, after time.Time) (*standing, error) {
	query := url.Values{
		"labels": {allTickets}, "state": {"all"}, "sort": {"created"}, "direction": {"desc"},
		"since": {after.UTC().Format(time.RFC3339)}, "per_page": {strconv.Itoa(gitHubIssuesPageSize)},
	}
	for page := 1; page <= maxListingPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var list []gitHubIssue
		if err := g.call(ctx, http.MethodGet, g.issues(), query, nil, &list); err != nil {
			return nil, err
		}
		for i := range list {
			if list[i].PullRequest == nil && gitHubKey(list[i].Body) == key {
				return list[i].standing(), nil
			}
		}
		if len(list) < gitHubIssuesPageSize {
			return nil, nil
		}
	}
	return nil, tooManyTickets(g.o.Owner + "/" + g.o.Repo)
}

// create implements tracker.
func (g *gitHubIssues) create(ctx context.Context, p *page) (*standing, error) {
	body := map[string]any{"title": p.title, "body": p.body, "labels": slices.Concat([]string{allTickets}, g.o.Labels)}
	if len(g.o.Assignees) > 0 {
		body["assignees"] = g.o.Assignees
	}
	var made gitHubIssue
	if err := g.call(ctx, http.MethodPost, g.issues(), nil, body, &made); err != nil {
		return nil, err
	}
	return made.standing(), nil
}

// read implements tracker.
func (g *gitHubIssues) read(ctx context.Context, ref string) (*standing, error) {
	var is gitHubIssue
	if err := g.call(ctx, http.MethodGet, g.issues(ref), nil, nil, &is); err != nil {
		return nil, err
	}
	return is.standing(), nil
}

// update implements tracker. The label goes first: until the issue itself is
// open or closed it changes nothing of what a closed one stands for, so that a
// call which dies in between is made up for.
func (g *gitHubIssues) update(ctx context.Context, at *standing, p *page, e edit) error {
	if e.move {
		if err := g.label(ctx, at.ref, p.state); err != nil {
			return err
		}
	}
	body := map[string]any{}
	if e.text {
		body["title"], body["body"] = p.title, p.body
	}
	switch {
	case e.move && p.state == review.Resolved:
		body["state"], body["state_reason"] = "closed", "completed"
	case e.move && at.state == review.Resolved:
		body["state"], body["state_reason"] = "open", "reopened"
	}
	if len(body) == 0 {
		return nil
	}
	return g.call(ctx, http.MethodPatch, g.issues(at.ref), nil, body, nil)
}

// label sets and takes off the label of what is in somebody's hands. Labels are
// changed one by one: replacing all of them would undo what people label
// meanwhile.
func (g *gitHubIssues) label(ctx context.Context, ref string, to review.State) error {
	switch to {
	case review.Acknowledged:
		body := map[string]any{"labels": []string{gitHubTaken}}
		return g.call(ctx, http.MethodPost, g.issues(ref, "labels"), nil, body, nil)
	case review.Open:
		err := g.call(ctx, http.MethodDelete, g.issues(ref, "labels", gitHubTaken), nil, nil, nil)
		if errors.Is(err, errGone) { // it has no such label
			return nil
		}
		return err
	}
	return nil
}

func (g *gitHubIssues) issues(path ...string) string {
	return gitHubPath(g.o.Owner, g.o.Repo, append([]string{"issues"}, path...)...)
}

// call makes one request and reads the answer into a value, unless that is nil.
// A 404 or 410 is errGone: GitHub answers so of what was deleted.
func (g *gitHubIssues) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ans, err := g.api.send(ctx, method, path, query, body)
	switch {
	case err != nil:
		return err
	case ans.status == http.StatusNotFound, ans.status == http.StatusGone:
		return goneError{gitHubFailure(ans, &g.api, g.now(), g.advice)}
	case !ans.ok():
		return gitHubFailure(ans, &g.api, g.now(), g.advice)
	case into == nil:
		return nil
	}
	return g.api.read(ans, into)
}

// advice is a sentence about a refusal.
func (g *gitHubIssues) advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "the token is not accepted: check that it has not expired"
	case http.StatusForbidden:
		return "the token needs the repository permission Issues: write"
	case http.StatusNotFound:
		return "check owner and repo, and that the token may see the repository"
	case http.StatusGone:
		return "check that the repository has issues: they can be turned off"
	case http.StatusUnprocessableEntity:
		return fmt.Sprintf("check that the assignees may be assigned issues of %s/%s", g.o.Owner, g.o.Repo)
	}
	return ""
}

package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// Facts of GitHub's REST API ("REST API endpoints for workflows", "... for
// workflow runs", "... for repositories", all of version 2022-11-28).
const (
	gitHubAPI        = "https://api.github.com"
	gitHubAPIVersion = "2022-11-28"
	gitHubPageSize   = 50
)

// GitHubOptions configure a GitHub.
type GitHubOptions struct {
	// Target is the policy file's, Token what its tokenEnv or tokenFile held.
	Target policy.GitHubTarget
	Token  string
	// Records are the lineage that inputs may ask; a lineage.Store.
	Records records
	// Client is one of NewClient's.
	Client    *http.Client
	UserAgent string
	// Now is the clock.
	Now func() time.Time
}

// GitHub retrains by a GitHub Actions workflow, which it starts by
// workflow_dispatch or by repository_dispatch.
//
// GitHub drops no repeats, so the key is looked up first: among the runs since
// the action was decided, by their titles. The workflow has to put it there,
//
//	run-name: Retrain ${{ inputs.modelwarden_key }}
//
// and to declare the input modelwarden_key; for a repository_dispatch the key
// is ${{ github.event.client_payload.modelwarden_key }}. Without it a crash
// between starting a run and recording it starts a second one.
type GitHub struct {
	api    rest
	o      GitHubOptions
	inputs inputs
}

// NewGitHub checks the options. Its errors do not repeat the token.
func NewGitHub(o GitHubOptions) (*GitHub, error) {
	api, err := gitHubREST(o.Target.URL, o.Token, o.Client, o.UserAgent)
	if err != nil {
		return nil, err
	}
	in, err := newInputs(o.Target.Inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs.%w", err)
	}
	o.Target.Ref = cmp.Or(o.Target.Ref, "main")
	return &GitHub{o: o, inputs: in, api: api}, nil
}

// gitHubREST is how GitHub's API is called; url is "" for GitHub's own service.
func gitHubREST(url, token string, client *http.Client, userAgent string) (rest, error) {
	base, err := parseURL(cmp.Or(url, gitHubAPI))
	if err != nil {
		return rest{}, err
	}
	if err := checkHeader("Authorization", token); err != nil {
		return rest{}, errors.New("token: it has control characters")
	}
	return rest{
		base: base, client: client, userAgent: userAgent, hide: newRedactor(token),
		header: http.Header{
			"Accept": {"application/vnd.github+json"}, "Authorization": {"Bearer " + token},
			"X-Github-Api-Version": {gitHubAPIVersion},
		},
	}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (g *GitHub) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	if err := onlyRetrain(policy.GitHubKind, a); err != nil {
		return policy.Outcome{}, err
	}
	values, err := g.inputs.texts(ctx, g.o.Records, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	found, err := g.find(ctx, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	if found != nil {
		return policy.Outcome{
			Summary: fmt.Sprintf("found run %d of %s started before", found.ID, g.name()),
			URL:     shownLink(found.HTMLURL), Ref: strconv.FormatInt(found.ID, 10),
		}, nil
	}
	if g.o.Target.Event != "" {
		return g.dispatchRepository(ctx, a, values)
	}
	return g.dispatchWorkflow(ctx, a, values)
}

// name is what the target starts, for people.
func (g *GitHub) name() string {
	t := &g.o.Target
	if t.Event != "" {
		return fmt.Sprintf("repository event %s of %s/%s", t.Event, t.Owner, t.Repo)
	}
	return fmt.Sprintf("workflow %s of %s/%s", t.Workflow, t.Owner, t.Repo)
}

func (g *GitHub) repo(path ...string) string {
	return gitHubPath(g.o.Target.Owner, g.o.Target.Repo, path...)
}

// gitHubPath is a path below a repository.
func gitHubPath(owner, repo string, path ...string) string {
	parts := append([]string{"repos", owner, repo}, path...)
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// gitHubRun is the part of a workflow run that is read here.
type gitHubRun struct {
	ID           int64  `json:"id"`
	DisplayTitle string `json:"display_title"`
	HTMLURL      string `json:"html_url"`
}

// find looks for the run whose title holds the action's key; nil when there is
// none.
func (g *GitHub) find(ctx context.Context, a policy.Action) (*gitHubRun, error) {
	path, event := g.repo("actions", "runs"), "repository_dispatch"
	if g.o.Target.Event == "" {
		path, event = g.repo("actions", "workflows", g.o.Target.Workflow, "runs"), "workflow_dispatch"
	}
	query := url.Values{
		"event": {event}, "per_page": {strconv.Itoa(gitHubPageSize)},
		"created": {">=" + a.Created.Add(-listingSkew).UTC().Format(time.RFC3339)},
	}
	for page := 1; page <= maxListingPages; page++ {
		query.Set("page", strconv.Itoa(page))
		ans, err := g.api.send(ctx, http.MethodGet, path, query, nil)
		if err != nil {
			return nil, err
		}
		if !ans.ok() {
			return nil, g.failure(ans)
		}
		var list struct {
			Runs []gitHubRun `json:"workflow_runs"`
		}
		if err := g.api.read(ans, &list); err != nil {
			return nil, err
		}
		for i := range list.Runs {
			if strings.Contains(list.Runs[i].DisplayTitle, a.Key) {
				return &list.Runs[i], nil
			}
		}
		if len(list.Runs) < gitHubPageSize {
			return nil, nil
		}
	}
	return nil, tooManyRuns(g.name())
}

// cloud reports whether the API is GitHub's own service (api.github.com,
// api.<name>.ghe.com) and not a server of one's own (<host>/api/v3).
func (g *GitHub) cloud() bool { return strings.Trim(g.api.base.Path, "/") == "" }

// dispatchWorkflow starts the workflow. GitHub's own service then says which
// run it made (return_run_details, since February 2026); servers of one's own
// are not asked, older ones refuse keys that they do not know.
func (g *GitHub) dispatchWorkflow(ctx context.Context, a policy.Action, values map[string]string) (policy.Outcome, error) {
	t := &g.o.Target
	values[keyInput] = a.Key
	body := map[string]any{"ref": t.Ref, "inputs": values}
	if g.cloud() {
		body["return_run_details"] = true
	}
	ans, err := g.dispatch(ctx, g.repo("actions", "workflows", t.Workflow, "dispatches"), body)
	if err != nil {
		return policy.Outcome{}, err
	}
	var made struct {
		ID      int64  `json:"workflow_run_id"`
		HTMLURL string `json:"html_url"`
	}
	out := policy.Outcome{Summary: fmt.Sprintf("started %s on %s", g.name(), t.Ref), URL: g.page("actions", "workflows", t.Workflow)}
	if ans.status == http.StatusOK && g.api.read(ans, &made) == nil && made.ID != 0 {
		out.Ref, out.URL = strconv.FormatInt(made.ID, 10), cmp.Or(shownLink(made.HTMLURL), out.URL)
	}
	return out, nil
}

// dispatchRepository raises the event that workflows listen to.
func (g *GitHub) dispatchRepository(ctx context.Context, a policy.Action, values map[string]string) (policy.Outcome, error) {
	// At most ten keys at the top, "Create a repository dispatch event".
	payload := map[string]any{
		keyInput: a.Key, "action": a.ID, "policy": a.Policy, "asset": a.Asset, "model": a.Model,
		"event": a.Event, "title": a.Title, "reason": a.Reason, "inputs": values,
	}
	if _, err := g.dispatch(ctx, g.repo("dispatches"), map[string]any{"event_type": g.o.Target.Event, "client_payload": payload}); err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: "raised " + g.name(), URL: g.page("actions")}, nil
}

func (g *GitHub) dispatch(ctx context.Context, path string, body any) (*answer, error) {
	ans, err := g.api.send(ctx, http.MethodPost, path, nil, body)
	if err == nil && !ans.ok() {
		err = g.failure(ans)
	}
	return ans, uncertain(err)
}

// page is where people see the repository.
func (g *GitHub) page(path ...string) string {
	u := url.URL{Scheme: g.api.base.Scheme, Host: g.api.base.Host}
	if g.cloud() {
		u.Host = strings.TrimPrefix(u.Host, "api.")
	}
	return u.JoinPath(append([]string{g.o.Target.Owner, g.o.Target.Repo}, path...)...).String()
}

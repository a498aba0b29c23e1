package effect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// gitHub is the part of GitHub's REST API that a retrain needs, for one
// repository with one workflow. before, if set, may answer a request in its
// stead; after, once it took effect.
type gitHub struct {
	*httptest.Server
	mu       sync.Mutex
	t        *testing.T
	declared []string // inputs of the workflow
	runs     []ghRun  // oldest first
	payloads []map[string]any
	started  int
	requests []string
	before   http.HandlerFunc
	after    http.HandlerFunc
}

type ghRun struct {
	ID      int64     `json:"id"`
	Title   string    `json:"display_title"`
	URL     string    `json:"html_url"`
	Event   string    `json:"event"`
	Created time.Time `json:"created_at"`
}

func newGitHub(t *testing.T) *gitHub {
	t.Helper()
	g := &gitHub{t: t, declared: []string{"model", "epochs", "modelwarden_key"}}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

// heal takes the faults away, once a request under way has ended.
func (g *gitHub) heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before, g.after = nil, nil
}

func (g *gitHub) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, r.Method+" "+r.URL.Path)
	for name, want := range map[string]string{
		"Authorization": "Bearer " + theKey, "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "modelwarden/test",
	} {
		if got := r.Header.Get(name); got != want {
			g.t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if g.before != nil {
		g.before(w, r)
		return
	}
	repo, ok := strings.CutPrefix(strings.TrimPrefix(r.URL.Path, "/api/v3"), "/repos/contoso/churn/")
	switch route := r.Method + " " + repo; {
	case !ok:
		http.NotFound(w, r)
	case route == "GET actions/workflows/retrain.yml/runs", route == "GET actions/runs":
		g.list(w, r.URL.Query())
	case route == "POST actions/workflows/retrain.yml/dispatches":
		g.dispatch(w, r)
	case route == "POST dispatches":
		g.raise(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (g *gitHub) list(w http.ResponseWriter, q url.Values) {
	since, err := time.Parse(time.RFC3339, strings.TrimPrefix(q.Get("created"), ">="))
	size, _ := strconv.Atoi(q.Get("per_page"))
	page, _ := strconv.Atoi(q.Get("page"))
	if err != nil || size < 1 || size > 100 || page < 1 {
		http.Error(w, "bad query "+q.Encode(), http.StatusUnprocessableEntity)
		return
	}
	var out []ghRun
	for _, run := range slices.Backward(g.runs) {
		if run.Event == q.Get("event") && !run.Created.Before(since) {
			out = append(out, run)
		}
	}
	from := min((page-1)*size, len(out))
	_ = json.NewEncoder(w).Encode(map[string]any{"total_count": len(out), "workflow_runs": out[from:min(from+size, len(out))]})
}

func (g *gitHub) run(event, title string) ghRun {
	g.started++
	run := ghRun{ID: int64(1000 + len(g.runs)), Title: title, Event: event, Created: t0.Add(2 * time.Minute)}
	run.URL = fmt.Sprintf("https://github.com/contoso/churn/actions/runs/%d", run.ID)
	g.runs = append(g.runs, run)
	return run
}

func (g *gitHub) dispatch(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Ref     string            `json:"ref"`
		Inputs  map[string]string `json:"inputs"`
		Details bool              `json:"return_run_details"`
	}
	if !g.decode(w, r, &body) {
		return
	}
	for name := range body.Inputs {
		if !slices.Contains(g.declared, name) || body.Ref != "release" {
			http.Error(w, `{"message":"Unexpected inputs provided: [`+name+`]"}`, http.StatusUnprocessableEntity)
			return
		}
	}
	run := g.run("workflow_dispatch", "Retrain "+body.Inputs["modelwarden_key"])
	g.payloads = append(g.payloads, map[string]any{"ref": body.Ref, "model": body.Inputs["model"], "epochs": body.Inputs["epochs"]})
	if g.after != nil {
		g.after(w, r)
		return
	}
	if !body.Details {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"workflow_run_id": run.ID, "run_url": "https://api.github.com/x", "html_url": run.URL})
}

func (g *gitHub) raise(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Type    string         `json:"event_type"`
		Payload map[string]any `json:"client_payload"`
	}
	if !g.decode(w, r, &body) {
		return
	}
	if len(body.Payload) > 10 || body.Type != "drift" {
		http.Error(w, `{"message":"No more than 10 properties are allowed"}`, http.StatusUnprocessableEntity)
		return
	}
	g.run("repository_dispatch", fmt.Sprint("Retrain ", body.Payload["modelwarden_key"]))
	g.payloads = append(g.payloads, body.Payload)
	if g.after != nil {
		g.after(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (g *gitHub) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return false
	}
	return true
}

func workflowTarget() policy.GitHubTarget {
	return policy.GitHubTarget{Owner: "contoso", Repo: "churn", Workflow: "retrain.yml", Ref: "release", Inputs: map[string]any{"model": "{{ model }}", "epochs": 3}}
}

func repositoryTarget() policy.GitHubTarget {
	return policy.GitHubTarget{Owner: "contoso", Repo: "churn", Event: "drift", Inputs: map[string]any{"model": "{{ model }}"}}
}

// own makes the target one of this server instead of github.com.
func (g *gitHub) own(t *testing.T, target policy.GitHubTarget) policy.Effector {
	t.Helper()
	target.URL, target.Token = g.URL+"/api/v3", policy.Token{TokenEnv: "GITHUB_TOKEN"}
	all, err := effect.New(map[string]policy.Target{"gh": {GitHub: &target}}, effect.Deps{
		AllowLoopback: true, Version: "test", LookupEnv: oneSecret("GITHUB_TOKEN"), Now: func() time.Time { return t0.Add(time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["gh"]
}

func oneSecret(name string) func(string) (string, bool) {
	return func(asked string) (string, bool) { return theKey, asked == name }
}

// dotCom reaches this server under the name of api.github.com.
func (g *gitHub) dotCom(t *testing.T, target policy.GitHubTarget) *effect.GitHub {
	t.Helper()
	e, err := effect.NewGitHub(effect.GitHubOptions{
		Target: target, Token: theKey, UserAgent: "modelwarden/test", Now: func() time.Time { return t0 },
		Client: &http.Client{Transport: instead{g.Listener.Addr().String()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// instead sends every request to one address.
type instead struct{ address string }

func (i instead) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.Host != "api.github.com" {
		return nil, fmt.Errorf("asked %s", r.URL)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", i.address
	return http.DefaultTransport.RoundTrip(r)
}

func TestWorkflowIsDispatchedWithTheKey(t *testing.T) {
	g, a := newGitHub(t), action(policy.Retrain)
	out, err := g.dotCom(t, workflowTarget()).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.URL != "https://github.com/contoso/churn/actions/runs/1000" || out.Ref != "1000" || out.Run != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := fmt.Sprint(g.payloads); got != "[map[epochs:3 model:churn ref:release]]" || g.runs[0].Title != "Retrain "+a.Key {
		t.Errorf("%s as %q", got, g.runs[0].Title)
	}
	if want := []string{"GET /repos/contoso/churn/actions/workflows/retrain.yml/runs", "POST /repos/contoso/churn/actions/workflows/retrain.yml/dispatches"}; !slices.Equal(g.requests, want) {
		t.Errorf("requests %q", g.requests)
	}
}

func TestAServerOfOnesOwnIsNotAskedForWhatItMayNotKnow(t *testing.T) {
	g, a := newGitHub(t), action(policy.Retrain)
	out, err := g.own(t, workflowTarget()).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.URL != g.URL+"/contoso/churn/actions/workflows/retrain.yml" || g.started != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if again, err := g.own(t, workflowTarget()).Do(t.Context(), a); err != nil || again.Ref != "1000" || g.started != 1 {
		t.Errorf("%d runs, %+v, %v", g.started, again, err)
	}
}

func TestRepositoryDispatchSaysWhatHappened(t *testing.T) {
	g, a := newGitHub(t), action(policy.Retrain)
	out, err := g.dotCom(t, repositoryTarget()).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.URL != "https://github.com/contoso/churn/actions" || len(g.payloads) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for name, want := range map[string]any{"modelwarden_key": a.Key, "action": a.ID, "policy": a.Policy, "model": a.Model, "reason": a.Reason} {
		if g.payloads[0][name] != want {
			t.Errorf("%s: %v", name, g.payloads[0][name])
		}
	}
	if inputs := fmt.Sprint(g.payloads[0]["inputs"]); inputs != "map[model:churn]" {
		t.Errorf("inputs %s", inputs)
	}
	again, err := g.dotCom(t, repositoryTarget()).Do(t.Context(), a)
	if err != nil || g.started != 1 || again.URL != "https://github.com/contoso/churn/actions/runs/1000" {
		t.Errorf("%d runs, %+v, %v", g.started, again, err)
	}
}

func TestOneKeyIsOneWorkflowRun(t *testing.T) {
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	serverError := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	for name, fault := range map[string]func(*gitHub){
		"hung up on the look":          func(g *gitHub) { g.before = hangUp },
		"hung up after the start":      func(g *gitHub) { g.after = hangUp },
		"server error after the start": func(g *gitHub) { g.after = serverError },
	} {
		for kind, target := range map[string]policy.GitHubTarget{"workflow": workflowTarget(), "repository": repositoryTarget()} {
			g, a := newGitHub(t), action(policy.Retrain)
			fault(g)
			out, err := g.own(t, target).Do(t.Context(), a)
			g.heal()
			assertNoLeak(t, out, err)
			if err == nil || isPermanent(err) {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			// A run takes a while to show; nobody may look sooner.
			if g.started == 1 && retryAfter(err) < 30*time.Second {
				t.Errorf("%s, %s: comes back in %s", kind, name, retryAfter(err))
			}
			if _, err = g.own(t, target).Do(t.Context(), a); err != nil || g.started != 1 {
				t.Errorf("%s, %s: %d runs, %v", kind, name, g.started, err)
			}
		}
	}
}

func TestTheKeyIsFoundBehindOtherRuns(t *testing.T) {
	g, a := newGitHub(t), action(policy.Retrain)
	g.run("workflow_dispatch", "Retrain "+a.Key)
	for n := range 120 {
		g.run("workflow_dispatch", fmt.Sprint("Retrain another", n))
	}
	g.started = 0
	if out, err := g.own(t, workflowTarget()).Do(t.Context(), a); err != nil || out.Ref != "1000" || g.started != 0 {
		t.Errorf("%d runs, %+v, %v", g.started, out, err)
	}
	for n := range 500 {
		g.run("workflow_dispatch", fmt.Sprint("Retrain yet another", n))
	}
	g.started = 0
	if _, err := g.own(t, workflowTarget()).Do(t.Context(), a); !isPermanent(err) || g.started != 0 {
		t.Errorf("%d runs, %v", g.started, err)
	}
	// Runs from before the action are not its own, whatever they are called.
	for i := range g.runs {
		g.runs[i].Created = t0.Add(-time.Hour)
	}
	if _, err := g.own(t, workflowTarget()).Do(t.Context(), a); err != nil || g.started != 1 {
		t.Errorf("%d runs, %v", g.started, err)
	}
}

func TestGitHubsRefusalsAreSorted(t *testing.T) {
	reset := strconv.FormatInt(t0.Add(time.Hour+7*time.Minute).Unix(), 10)
	for name, tc := range map[string]struct {
		status    int
		header    map[string]string
		body      string
		permanent bool
		after     time.Duration
		says      string
	}{
		"primary limit":               {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, "", false, 7 * time.Minute, ""},
		"primary limit by 429":        {429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, "", false, 7 * time.Minute, ""},
		"secondary limit":             {403, map[string]string{"Retry-After": "90"}, "", false, 90 * time.Second, ""},
		"secondary limit, no headers": {403, nil, `{"message":"You have exceeded a secondary rate limit"}`, false, time.Minute, ""},
		"no right":                    {403, map[string]string{"X-RateLimit-Remaining": "4999"}, `{"message":"Resource not accessible by personal access token"}`, true, 0, "Actions: write"},
		"bad token":                   {401, nil, `{"message":"Bad credentials"}`, true, 0, "not accepted"},
		"no such thing":               {404, nil, `{"message":"Not Found"}`, true, 0, "check owner, repo and workflow"},
		"no such branch":              {422, nil, `{"message":"No ref found for: release"}`, true, 0, "branch or tag release"},
		"down":                        {503, nil, "", false, 0, ""},
	} {
		g := newGitHub(t)
		g.before = func(w http.ResponseWriter, r *http.Request) {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(tc.status)
			_, _ = fmt.Fprint(w, tc.body, r.Header.Get("Authorization"))
		}
		out, err := g.own(t, workflowTarget()).Do(t.Context(), action(policy.Retrain))
		assertNoLeak(t, out, err)
		if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after || !strings.Contains(err.Error(), tc.says) || len(g.requests) != 1 {
			t.Errorf("%s: permanent %t, after %s, %d requests: %v", name, isPermanent(err), retryAfter(err), len(g.requests), err)
		}
	}
}

func TestUndeclaredInputsAreToldToTheOneWhoCanDeclareThem(t *testing.T) {
	g := newGitHub(t)
	g.declared = []string{"model", "epochs"}
	out, err := g.own(t, workflowTarget()).Do(t.Context(), action(policy.Retrain))
	assertNoLeak(t, out, err)
	if !isPermanent(err) || !strings.Contains(err.Error(), "on: workflow_dispatch with all of the target's inputs and modelwarden_key") {
		t.Errorf("got %v", err)
	}
	if _, err := g.own(t, workflowTarget()).Do(t.Context(), action(policy.Rollback)); !isPermanent(err) {
		t.Errorf("a rollback: %v", err)
	}
}

func TestTokensAreNeededAndNotRepeated(t *testing.T) {
	_, err := effect.NewGitHub(effect.GitHubOptions{Target: workflowTarget(), Token: theKey + "\n"})
	assertNoLeak(t, policy.Outcome{}, err)
	if err == nil {
		t.Error("a token with a line break makes no header")
	}
	_, err = effect.New(map[string]policy.Target{
		"a": {GitHub: &policy.GitHubTarget{Owner: "o", Repo: "r", Event: "e"}},
		"b": {GitHub: &policy.GitHubTarget{Owner: "o", Repo: "r", Event: "e", Token: policy.Token{TokenEnv: "NOT_SET"}}},
		"c": {AzureDevOps: &policy.AzureDevOpsTarget{Token: policy.Token{TokenFile: "/does/not/exist"}}},
	}, effect.Deps{LookupEnv: oneSecret("GITHUB_TOKEN")})
	for _, want := range []string{"targets.a.github.token: ", "targets.b.github.tokenEnv: ", "targets.c.azureDevOps.tokenFile: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not named: %s in %v", want, err)
		}
	}
}

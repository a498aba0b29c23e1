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

package effect_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

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

package effect_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// devOps is the part of Azure DevOps' REST API that a retrain needs, for one
// pipeline. before and after are as in gitHub.
type devOps struct {
	*httptest.Server
	mu       sync.Mutex
	t        *testing.T
	declared []string // the pipeline's template parameters
	builds   []devOpsBuild
	started  int
	bodies   []string
	requests []string
	before   http.HandlerFunc
	after    http.HandlerFunc
}

type devOpsBuild struct {
	ID         int               `json:"id"`
	Number     string            `json:"buildNumber"`
	Parameters map[string]string `json:"templateParameters"`
	Queued     time.Time         `json:"queueTime"`
	Links      map[string]any    `json:"_links"`
}

func newDevOps(t *testing.T) *devOps {
	t.Helper()
	d := &devOps{t: t, declared: []string{"model", "modelwarden_key"}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

// heal takes the faults away, once a request under way has ended.
func (d *devOps) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before, d.after = nil, nil
}

func (d *devOps) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, r.Method+" "+r.URL.EscapedPath())
	if user, token, ok := r.BasicAuth(); !ok || user != "" || token != theKey || r.URL.Query().Get("api-version") != "7.1" {
		d.t.Errorf("%s with user %q, %t", r.URL, user, ok)
	}
	if d.before != nil {
		d.before(w, r)
		return
	}
	switch path, _ := strings.CutPrefix(r.URL.EscapedPath(), "/contoso/Churn%20Models/_apis/"); r.Method + " " + path {
	case "GET build/builds":
		d.list(w, r)
	case "POST pipelines/12/runs":
		d.run(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (d *devOps) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err := time.Parse(time.RFC3339, q.Get("minTime"))
	size, _ := strconv.Atoi(q.Get("$top"))
	from, _ := strconv.Atoi(q.Get("continuationToken"))
	if err != nil || size < 1 || q.Get("definitions") != "12" || q.Get("queryOrder") != "queueTimeDescending" {
		http.Error(w, "bad query "+q.Encode(), http.StatusBadRequest)
		return
	}
	var out []devOpsBuild
	for _, b := range slices.Backward(d.builds) {
		if !b.Queued.Before(since) {
			out = append(out, b)
		}
	}
	if end := from + size; end < len(out) {
		w.Header().Set("X-MS-ContinuationToken", strconv.Itoa(end))
		out = out[:end]
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"count": len(out) - from, "value": out[from:]})
}

func (d *devOps) add(parameters map[string]string, number string) devOpsBuild {
	d.started++
	b := devOpsBuild{ID: 70 + len(d.builds), Number: number, Parameters: parameters, Queued: t0.Add(2 * time.Minute)}
	b.Links = map[string]any{"web": map[string]any{"href": fmt.Sprintf("https://dev.azure.com/contoso/x/_build/results?buildId=%d", b.ID)}}
	d.builds = append(d.builds, b)
	return b
}

func (d *devOps) run(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.bodies = append(d.bodies, string(body))
	var in struct {
		Parameters map[string]string `json:"templateParameters"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for name := range in.Parameters {
		if !slices.Contains(d.declared, name) {
			http.Error(w, `{"message":"Unexpected parameter '`+name+`'","typeKey":"PipelineValidationException"}`, http.StatusBadRequest)
			return
		}
	}
	b := d.add(in.Parameters, "20260302.1")
	if d.after != nil {
		d.after(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": b.ID, "name": b.Number, "state": "inProgress", "_links": b.Links})
}

func (d *devOps) effector(t *testing.T) policy.Effector {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pat")
	if err := os.WriteFile(file, []byte(theKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := effect.New(map[string]policy.Target{"do": {AzureDevOps: &policy.AzureDevOpsTarget{
		Organization: "contoso", Project: "Churn Models", Pipeline: 12, Ref: "refs/heads/main",
		Parameters: map[string]any{"model": "{{ model }}"}, URL: d.URL, Token: policy.Token{TokenFile: file},
	}}}, effect.Deps{AllowLoopback: true, Version: "test", Now: func() time.Time { return t0 }})
	if err != nil {
		t.Fatal(err)
	}
	return all["do"]
}

func TestPipelineIsRunWithTheKey(t *testing.T) {
	d, a := newDevOps(t), action(policy.Retrain)
	out, err := d.effector(t).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.Ref != "70" || out.Run != "" || out.URL != "https://dev.azure.com/contoso/x/_build/results?buildId=70" || !strings.Contains(out.Summary, "pipeline 12 of contoso/Churn Models") {
		t.Fatalf("%+v, %v", out, err)
	}
	want := `{"resources":{"repositories":{"self":{"refName":"refs/heads/main"}}},"templateParameters":{"model":"churn","modelwarden_key":"` + a.Key + `"}}`
	if len(d.bodies) != 1 || d.bodies[0] != want {
		t.Errorf("got  %v\nwant %s", d.bodies, want)
	}
	if !slices.Equal(d.requests, []string{"GET /contoso/Churn%20Models/_apis/build/builds", "POST /contoso/Churn%20Models/_apis/pipelines/12/runs"}) {
		t.Errorf("requests %q", d.requests)
	}
}

func TestOneKeyIsOnePipelineRun(t *testing.T) {
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, fault := range map[string]func(*devOps){
		"the outcome was not recorded": func(*devOps) {},
		"hung up on the look":          func(d *devOps) { d.before = hangUp },
		"hung up after the start":      func(d *devOps) { d.after = hangUp },
		"nonsense after the start": func(d *devOps) {
			d.after = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }
		},
	} {
		d, a := newDevOps(t), action(policy.Retrain)
		fault(d)
		out, err := d.effector(t).Do(t.Context(), a)
		d.heal()
		assertNoLeak(t, out, err)
		if isPermanent(err) || err != nil && d.started == 1 && retryAfter(err) < 30*time.Second {
			t.Errorf("%s: comes back in %s: %v", name, retryAfter(err), err)
		}
		if out, err = d.effector(t).Do(t.Context(), a); err != nil || out.Ref != "70" || d.started != 1 {
			t.Errorf("%s: %d runs, %+v, %v", name, d.started, out, err)
		}
	}
}

func TestThePipelinesKeyIsFoundInEveryPlace(t *testing.T) {
	a := action(policy.Retrain)
	d := newDevOps(t)
	d.add(nil, "7-"+a.Key)
	for range 250 {
		d.add(map[string]string{"modelwarden_key": "another"}, "20260302.9")
	}
	d.started = 0
	if out, err := d.effector(t).Do(t.Context(), a); err != nil || out.Ref != "70" || d.started != 0 || len(d.requests) != 3 {
		t.Errorf("%d runs, %d requests, %+v, %v", d.started, len(d.requests), out, err)
	}
	for range 1000 {
		d.add(nil, "20260302.9")
	}
	d.started = 0
	if _, err := d.effector(t).Do(t.Context(), a); !isPermanent(err) || d.started != 0 {
		t.Errorf("%d runs, %v", d.started, err)
	}
}

func TestAzureDevOpsRefusalsAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		header    string
		permanent bool
		after     time.Duration
		says      string
	}{
		"throttled":           {429, "40", false, 40 * time.Second, ""},
		"down":                {503, "", false, 0, ""},
		"sign-in page":        {203, "", true, 0, "token is not accepted"},
		"redirect to sign-in": {302, "", true, 0, "token is not accepted"},
		"unauthorized":        {401, "", true, 0, "token is not accepted"},
		"no right":            {403, "", true, 0, "Build (read and execute)"},
		"no such pipeline":    {404, "", true, 0, "check organization, project and pipeline"},
	} {
		d := newDevOps(t)
		d.before = func(w http.ResponseWriter, r *http.Request) {
			if tc.header != "" {
				w.Header().Set("Retry-After", tc.header)
			}
			w.WriteHeader(tc.status)
			_, token, _ := r.BasicAuth()
			_, _ = fmt.Fprint(w, "<html>", token, base64.StdEncoding.EncodeToString([]byte(":"+token)))
		}
		out, err := d.effector(t).Do(t.Context(), action(policy.Retrain))
		assertNoLeak(t, out, err)
		if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after || !strings.Contains(err.Error(), tc.says) || len(d.requests) != 1 {
			t.Errorf("%s: permanent %t, after %s, %d requests: %v", name, isPermanent(err), retryAfter(err), len(d.requests), err)
		}
	}
}

func TestUndeclaredParametersAreTold(t *testing.T) {
	d := newDevOps(t)
	d.declared = []string{"model"}
	out, err := d.effector(t).Do(t.Context(), action(policy.Retrain))
	assertNoLeak(t, out, err)
	if !isPermanent(err) || !strings.Contains(err.Error(), "Unexpected parameter 'modelwarden_key'") || !strings.Contains(err.Error(), "declares all of the target's parameters and modelwarden_key") {
		t.Errorf("got %v", err)
	}
}

package effect_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const workspacePath = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"

// jobsAPI is the part of the jobs API that a retrain needs. before, if set,
// may answer a request in its stead, or after the job was kept.
type jobsAPI struct {
	*httptest.Server
	mu      sync.Mutex
	jobs    map[string]map[string]any
	started int
	log     []string
	before  func(w http.ResponseWriter, r *http.Request) bool
	after   func(w http.ResponseWriter, r *http.Request) bool
}

func newJobsAPI(t *testing.T) *jobsAPI {
	t.Helper()
	s := &jobsAPI{jobs: map[string]map[string]any{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *jobsAPI) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, r.Method)
	name, ok := strings.CutPrefix(r.URL.Path, workspacePath+"/jobs/")
	if !ok || r.URL.Query().Get("api-version") != "2024-10-01" {
		http.Error(w, "no such resource: "+r.URL.String(), http.StatusBadRequest)
		return
	}
	if s.before != nil && s.before(w, r) {
		return
	}
	status := http.StatusOK
	if r.Method == http.MethodPut {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if s.jobs[name] == nil {
			s.started++
			status = http.StatusCreated
		}
		s.jobs[name] = body
	}
	if s.after != nil && s.after(w, r) {
		return
	}
	if s.jobs[name] == nil {
		http.Error(w, `{"error":{"code":"NotFound"}}`, http.StatusNotFound)
		return
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(s.jobs[name])
}

// heal takes the faults away.
func (s *jobsAPI) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = nil, nil
}

func (s *jobsAPI) effector(t *testing.T) *effect.Sandbox {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path, u.RawQuery = url.UserPassword("svc", thePassword), workspacePath, "token="+theToken
	client, err := effect.NewClient(effect.Dialing{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := effect.NewSandbox(effect.SandboxOptions{
		URL: u.String(), Component: "azureml:train_churn:3", Experiment: "churn-retrain", Client: client, Now: func() time.Time { return t0 },
		Inputs: map[string]any{"training_data": "azureml:churn@latest", "epochs": 3, "rows": 1e6, "fast": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRetrainIsSubmittedAsAPipelineJob(t *testing.T) {
	api := newJobsAPI(t)
	a := action(policy.Retrain)
	out, err := api.effector(t).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	if err != nil || out.Run != "mw-"+a.Key || !strings.HasSuffix(out.URL, "/jobs/"+out.Run) {
		t.Fatalf("%+v, %v", out, err)
	}
	got, err := json.Marshal(api.jobs[out.Run])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"properties":{"componentId":"azureml:train_churn:3","displayName":"Retrain by policy churn-drift",` +
		`"experimentName":"churn-retrain","inputs":{"epochs":{"jobInputType":"literal","value":"3"},` +
		`"fast":{"jobInputType":"literal","value":"true"},"rows":{"jobInputType":"literal","value":"1000000"},` +
		`"training_data":{"jobInputType":"uri_folder","uri":"azureml:churn@latest"}},"jobType":"Pipeline",` +
		`"tags":{"modelwarden.action":"` + a.ID + `","modelwarden.event":"` + a.Event + `","modelwarden.model":"` + a.Model + `","modelwarden.policy":"churn-drift"}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A crash between two steps, as the worker sees it: whatever the first attempt
// got to, the second ends with one job.
func TestTheSameKeyStartsOneJobWhateverHappenedBefore(t *testing.T) {
	hangUp := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
	}
	onlyPut := func(f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.Method == http.MethodPut && f(w, r) }
	}
	for name, fault := range map[string]func(*jobsAPI){
		"nothing went wrong, the outcome was not recorded": func(*jobsAPI) {},
		"hung up on the look":                              func(s *jobsAPI) { s.before = hangUp },
		"hung up before the job was kept":                  func(s *jobsAPI) { s.before = onlyPut(hangUp) },
		"hung up after the job was kept":                   func(s *jobsAPI) { s.after = onlyPut(hangUp) },
		"server error after the job was kept":              func(s *jobsAPI) { s.after = onlyPut(answer(500)) },
		"throttled":                                        func(s *jobsAPI) { s.before = answer(429) },
		"conflict after the job was kept":                  func(s *jobsAPI) { s.after = onlyPut(answer(409)) },
		"nonsense after the job was kept": func(s *jobsAPI) {
			s.after = onlyPut(func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, "<html>"); return true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := newJobsAPI(t)
			fault(api)
			a := action(policy.Retrain)
			out, err := api.effector(t).Do(t.Context(), a)
			assertNoLeak(t, out, err)
			if isPermanent(err) {
				t.Fatalf("gave up: %v", err)
			}
			api.heal()
			out, err = api.effector(t).Do(t.Context(), a)
			assertNoLeak(t, out, err)
			if err != nil || out.Run != "mw-"+a.Key || api.started != 1 {
				t.Errorf("%d jobs, %+v, %v", api.started, out, err)
			}
		})
	}
}

func TestJobOfSomebodyElseIsLeftAlone(t *testing.T) {
	api := newJobsAPI(t)
	a := action(policy.Retrain)
	for name, tags := range map[string]any{
		"untagged": nil, "another action's": map[string]any{"modelwarden.action": "other@x"},
	} {
		api.log = nil
		api.jobs["mw-"+a.Key] = map[string]any{"properties": map[string]any{"jobType": "Command", "tags": tags}}
		out, err := api.effector(t).Do(t.Context(), a)
		assertNoLeak(t, out, err)
		if !isPermanent(err) || len(api.log) != 1 || api.log[0] != http.MethodGet {
			t.Errorf("%s: %v %v", name, api.log, err)
		}
	}
}

func TestSandboxSortsAnswers(t *testing.T) {
	for status, permanent := range map[int]bool{429: false, 503: false, 500: false, 400: true, 403: true, 302: true} {
		api := newJobsAPI(t)
		api.before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, r.URL.String()+r.Header.Get("Authorization"))
			return true
		}
		out, err := api.effector(t).Do(t.Context(), action(policy.Retrain))
		assertNoLeak(t, out, err)
		if err == nil || isPermanent(err) != permanent || !permanent && retryAfter(err).Seconds() != 7 {
			t.Errorf("%d: permanent %t, after %s: %v", status, isPermanent(err), retryAfter(err), err)
		}
	}
}

func TestStudioLinkIsShownWhenItIsOne(t *testing.T) {
	for link, kept := range map[string]bool{
		"https://ml.azure.com/runs/x?wsid=/subscriptions/s1": true,
		"javascript:alert(1)":                                false,
		"https://svc:" + thePassword + "@x/":                 false,
		"":                                                   false,
	} {
		api := newJobsAPI(t)
		a := action(policy.Retrain)
		api.jobs["mw-"+a.Key] = map[string]any{"properties": map[string]any{
			"tags": map[string]any{"modelwarden.action": a.ID}, "services": map[string]any{"Studio": map[string]any{"endpoint": link}},
		}}
		out, err := api.effector(t).Do(t.Context(), a)
		assertNoLeak(t, out, err)
		if err != nil || (out.URL == link) != kept || !strings.HasPrefix(out.URL, "http") {
			t.Errorf("%q: %+v, %v", link, out, err)
		}
	}
}

func TestSandboxRefusesWhatItCantDo(t *testing.T) {
	api := newJobsAPI(t)
	bad := action(policy.Retrain)
	bad.Key = "../../jobs/x"
	for name, a := range map[string]policy.Action{"a review": action(policy.Review), "a rollback": action(policy.Rollback), "an odd key": bad} {
		if _, err := api.effector(t).Do(t.Context(), a); !isPermanent(err) || len(api.log) != 0 {
			t.Errorf("%s: %v %v", name, api.log, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := api.effector(t).Do(ctx, action(policy.Retrain)); err == nil || isPermanent(err) {
		t.Errorf("ended context: %v", err)
	}
}

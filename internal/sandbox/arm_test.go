package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// furnished is a workspace with one of everything, past its first training.
func furnished(t *testing.T, o sandbox.Options) (*sandbox.Workspace, call) {
	t.Helper()
	o.Training = churn
	w := start(t, &sink{}, o, sandbox.Subscription{})
	must[string](t)(w.RegisterData("churn-data"))
	must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "first", Component: "azureml:train_churn:3", Tags: map[string]string{"owner": "risk-ml"},
		Inputs: map[string]string{"training_data": "azureml:churn-data:1", "epochs": "3"}}))
	must[sandbox.Job](t)(w.WaitJob(t.Context(), "first"))
	check(t, w.CreateMonitor(churnMonitor))
	check(t, w.CreateBatchEndpoint("batch-ep", "azureml:train_churn:3"))
	return w, client(t, w)
}

func TestTheWorkspaceSaysWhereItsRunsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		status, got := azure.arm("GET", "", "")
		if want := "http://azure.test/mlflow/v1.0" + w.ID(); status != http.StatusOK || at(got, "properties", "mlFlowTrackingUri") != want {
			t.Errorf("got %d %v", status, got)
		}
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "bad", Experiment: "e", Fail: "out of memory"}))
		must[sandbox.Job](t)(w.WaitJob(t.Context(), "bad"))
		status, got = azure.do("GET", "/history/v1.0"+strings.ToLower(w.ID())+"/experiments/e/runs/bad/details", "")
		if status != http.StatusOK || at(got, "error", "error", "message") != "out of memory" || at(got, "endTimeUtc") == nil {
			t.Errorf("got %d %v", status, got)
		}
		if status, _ = azure.do("GET", "/history/v1.0"+w.ID()+"/experiments/other/runs/bad/details", ""); status != http.StatusNotFound {
			t.Errorf("of another experiment: %d", status)
		}
	})
}

func TestAChangeOfTrafficTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{UpdateTime: time.Minute})
		check(t, w.Deploy("churn-ep", "green", "churn", "1"))
		state := func(status int, got map[string]any) string {
			return fmt.Sprint(status, " ", at(got, "properties", "provisioningState"))
		}
		shift := func() (int, map[string]any) {
			return azure.arm("PUT", "/onlineEndpoints/churn-ep", `{"properties": {"traffic": {"green": 100}}}`)
		}
		if got := state(shift()); got != "200 Updating" {
			t.Error(got)
		}
		if status, _ := shift(); status != http.StatusConflict {
			t.Errorf("a change during another: %d", status)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := state(azure.arm("GET", "/onlineEndpoints/churn-ep", "")); got != "200 Succeeded" {
			t.Error(got)
		}
	})
}

func TestResourcesHaveARMsShape(t *testing.T) {
	tests := []struct {
		resource, kind string
		want           map[string]string // dotted path in properties -> value
	}{
		{"/jobs/first", "jobs", map[string]string{
			"jobType": "Pipeline", "status": "Completed", "componentId": "azureml:train_churn:3", "experimentName": "train_churn",
			"tags.owner": "risk-ml", "inputs.training_data.uri": "azureml:churn-data:1", "inputs.epochs.jobInputType": "literal",
			"services.Studio.jobServiceType": "Studio", "isArchived": "false",
		}},
		{"/models/churn/versions/1", "models/versions", map[string]string{
			"jobName": "first", "stage": "Development", "modelType": "mlflow_model", "isArchived": "false",
			"modelUri": "azureml://jobs/first/outputs/artifacts/paths/model", "tags.owner": "risk-ml",
		}},
		{"/data/churn-data", "data", map[string]string{"latestVersion": "1", "dataType": "uri_folder"}},
		{"/batchEndpoints/batch-ep", "batchEndpoints", map[string]string{"scoringUri": "http://azure.test/batch/batch-ep/jobs"}},
		{"/data/churn-data/versions/1", "data/versions", map[string]string{"dataType": "uri_folder", "isAnonymous": "false"}},
		{"/onlineEndpoints/churn-ep", "onlineEndpoints", map[string]string{
			"provisioningState": "Succeeded", "traffic.blue": "100", "authMode": "Key",
		}},
		{"/onlineEndpoints/churn-ep/deployments/blue", "onlineEndpoints/deployments", map[string]string{
			"endpointComputeType": "Managed", "provisioningState": "Succeeded",
		}},
		{"/schedules/churn_monitor", "schedules", map[string]string{
			"isEnabled": "true", "provisioningStatus": "Succeeded", "trigger.triggerType": "Recurrence", "action.actionType": "CreateMonitor",
			"action.monitorDefinition.monitoringTarget.deploymentId":               "azureml:churn-ep:blue",
			"action.monitorDefinition.signals.churn_monitor_data_drift.signalType": "DataDrift",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, azure := furnished(t, sandbox.Options{})
				status, got := azure.arm("GET", tt.resource, "")
				if status != http.StatusOK || got["id"] != w.ID()+tt.resource || got["type"] != "Microsoft.MachineLearningServices/workspaces/"+tt.kind {
					t.Fatalf("got %d %v", status, got)
				}
				if _, err := time.Parse(time.RFC3339, fmt.Sprint(at(got, "systemData", "createdAt"))); err != nil {
					t.Errorf("systemData: %v", err)
				}
				for path, want := range tt.want {
					if v := fmt.Sprint(at(got["properties"], strings.Split(path, ".")...)); v != want {
						t.Errorf("%s: got %q, want %q", path, v, want)
					}
				}
			})
		})
	}
}

func TestARMRefusals(t *testing.T) {
	put := func(properties string) string { return `{"properties": ` + properties + `}` }
	tests := []struct {
		name, method, resource, body string
		status                       int
		code                         string
	}{
		{"unknown job", "GET", "/jobs/nobody", "", 404, "ResourceNotFound"},
		{"unknown model", "GET", "/models/nothing/versions", "", 404, "ResourceNotFound"},
		{"unknown version", "GET", "/models/churn/versions/9", "", 404, "ResourceNotFound"},
		{"unknown data", "GET", "/data/nothing/versions", "", 404, "ResourceNotFound"},
		{"unknown data version", "GET", "/data/churn-data/versions/9", "", 404, "ResourceNotFound"},
		{"unknown endpoint", "GET", "/onlineEndpoints/nothing", "", 404, "ResourceNotFound"},
		{"unknown deployment", "GET", "/onlineEndpoints/churn-ep/deployments/green", "", 404, "ResourceNotFound"},
		{"unknown batch endpoint", "GET", "/batchEndpoints/nothing", "", 404, "ResourceNotFound"},
		{"unknown data asset", "GET", "/data/nothing", "", 404, "ResourceNotFound"},
		{"a version that nobody registered", "PUT", "/models/churn/versions/9", put(`{}`), 404, "ResourceNotFound"},
		{"too long a tag of a model", "PUT", "/models/churn/versions/1", put(`{"tags": {"k": "` + strings.Repeat("é", 1001) + `"}}`), 400, "UserError"},
		{"unknown monitor", "GET", "/schedules/nothing", "", 404, "ResourceNotFound"},
		{"unknown collection", "GET", "/computes/x", "", 404, "InvalidResourceType"},
		{"no JSON", "PUT", "/jobs/j", "retrain!", 400, "InvalidRequestContent"},
		{"no properties", "PUT", "/jobs/j", `{}`, 400, "UserError"},
		{"no job type", "PUT", "/jobs/j", put(`{}`), 400, "UserError"},
		{"bad name", "PUT", "/jobs/not.a.name", put(`{"jobType": "Pipeline"}`), 400, "UserError"},
		{"too long a tag", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "tags": {"k": "` + strings.Repeat("é", 1001) + `"}}`), 400, "UserError"},
		{"too many tags", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "tags": {` + many(51) + `}}`), 400, "UserError"},
		{"too many inputs", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "inputs": {` + strings.ReplaceAll(many(101), `""`, "{}") + `}}`), 400, "UserError"},
		{"too long an input", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "inputs": {"x": {"value": "` + strings.Repeat("x", 2049) + `"}}}`), 400, "UserError"},
		{"too long an experiment", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "experimentName": "` + strings.Repeat("x", 2049) + `"}`), 400, "UserError"},
		{"too much", "PUT", "/jobs/j", put(`{"jobType": "` + strings.Repeat("x", 1<<20) + `"}`), 400, "InvalidRequestContent"},
		{"unknown input", "PUT", "/jobs/j", put(`{"jobType": "Pipeline", "inputs": {"training_data": {"uri": "azureml:nothing@latest"}}}`), 404, "ResourceNotFound"},
		{"cancel what has ended", "POST", "/jobs/first/cancel", "", 409, "Conflict"},
		{"cancel nobody", "POST", "/jobs/nobody/cancel", "", 404, "ResourceNotFound"},
		{"traffic to nowhere", "PUT", "/onlineEndpoints/churn-ep", put(`{"traffic": {"green": 100}}`), 400, "UserError"},
		{"half the traffic", "PUT", "/onlineEndpoints/churn-ep", put(`{"traffic": {"blue": 50}}`), 400, "UserError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, azure := furnished(t, sandbox.Options{})
				status, got := azure.arm(tt.method, tt.resource, tt.body)
				if status != tt.status || at(got, "error", "code") != tt.code || at(got, "error", "message") == "" {
					t.Errorf("got %d %v, want %d %s", status, got, tt.status, tt.code)
				}
			})
		})
	}
}

// many writes n members of a JSON object, with empty strings as values.
func many(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"k%d": ""`, i))
	}
	return strings.Join(members, ", ")
}

func TestARMDemandsAPIVersionTokenAndItsOwnWorkspace(t *testing.T) {
	w := sandbox.New(sandbox.Options{Token: "t0ken"})
	defer func() { check(t, w.Close()) }()
	tests := []struct {
		name, path, token string
		status            int
		code              string
	}{
		{"all is well", w.ID() + "/jobs?api-version=1", "Bearer t0ken", 200, ""},
		{"another case", strings.ToLower(w.ID()) + "/Jobs?api-version=1", "Bearer t0ken", 200, ""},
		{"no api-version", w.ID() + "/jobs", "Bearer t0ken", 400, "MissingApiVersionParameter"},
		{"no token", w.ID() + "/jobs?api-version=1", "", 401, "InvalidAuthenticationToken"},
		{"wrong token", w.ID() + "/jobs?api-version=1", "Bearer t0kem", 401, "InvalidAuthenticationToken"},
		{"another workspace", w.ID() + "-2/jobs?api-version=1", "Bearer t0ken", 404, "ResourceNotFound"},
		{"nowhere", "/", "Bearer t0ken", 404, "ResourceNotFound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "GET", "http://azure.test"+tt.path, nil))
			req.Header.Set("Authorization", tt.token)
			resp := must[*http.Response](t)(sandbox.InMemory{"azure.test": w.Handler()}.RoundTrip(req))
			if resp.StatusCode != tt.status || resp.Header.Get("x-ms-error-code") != tt.code {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, resp.Header.Get("x-ms-error-code"), tt.status, tt.code)
			}
		})
	}
}

func TestListsLinkToTheirNextPage(t *testing.T) {
	w := sandbox.New(sandbox.Options{PageSize: 4})
	defer func() { check(t, w.Close()) }()
	for i := range 10 {
		tags := map[string]string{}
		if i%2 == 0 {
			tags["modelwarden.action"] = fmt.Sprint("k", i)
		}
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: fmt.Sprint("j", i), Tags: tags}))
	}
	azure := client(t, w)
	tests := []struct {
		query string
		want  []string
	}{
		{"", []string{"j9", "j8", "j7", "j6", "j5", "j4", "j3", "j2", "j1", "j0"}},
		{"&tag=modelwarden.action", []string{"j8", "j6", "j4", "j2", "j0"}},
		{"&tag=modelwarden.action%3Dk4", nil},
		{"&tag=other", nil},
	}
	for _, tt := range tests {
		t.Run("jobs"+tt.query, func(t *testing.T) {
			var got []string
			for next := azure.base + "/jobs?api-version=1" + tt.query; next != ""; {
				status, list := azure.do("GET", next, "")
				value, _ := list["value"].([]any)
				if status != http.StatusOK || len(value) > 4 {
					t.Fatalf("got %d and %d items", status, len(value))
				}
				for _, item := range value {
					got = append(got, at(item, "name").(string))
				}
				link, _ := list["nextLink"].(string)
				if next = ""; link != "" {
					u := must[*url.URL](t)(url.Parse(link))
					next = u.RequestURI()
					if u.Scheme != "http" || u.Host != "azure.test" {
						t.Errorf("nextLink leads to %s", link)
					}
				}
			}
			equal(t, got, tt.want)
		})
	}
	if status, _ := azure.do("GET", azure.base+"/jobs?api-version=1&$skip=junk", ""); status != http.StatusBadRequest {
		t.Errorf("a made-up page token: got %d", status)
	}
}

func TestLinksLeadToThePublicAddress(t *testing.T) {
	for public, want := range map[string]string{"": "https://azure.test/subscriptions/", "http://127.0.0.1:9/": "http://127.0.0.1:9/subscriptions/"} {
		w := sandbox.New(sandbox.Options{PageSize: 1, PublicURL: public})
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "a"}))
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "b"}))
		rw := httptest.NewRecorder()
		w.Handler().ServeHTTP(rw, httptest.NewRequest("GET", "https://azure.test"+w.ID()+"/jobs?api-version=1", nil))
		got := rw.Body.String()
		if !strings.Contains(got, `"nextLink":"`+want) || strings.Contains(got, "https://ml.azure.com/") != (public == "") {
			t.Errorf("public address %q: got %s", public, got)
		}
		check(t, w.Close())
	}
}

func TestCancelEndsAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "second", Component: "train_churn"}))
		time.Sleep(time.Second)
		if status, _ := azure.arm("POST", "/jobs/second/cancel", ""); status != http.StatusOK {
			t.Errorf("got %d", status)
		}
		if _, job := azure.arm("GET", "/jobs/second", ""); at(job, "properties", "status") != "Canceled" {
			t.Errorf("got %v", job)
		}
		time.Sleep(time.Minute)
		if status, _ := azure.arm("GET", "/models/churn/versions/2", ""); status != http.StatusNotFound {
			t.Error("a cancelled job registered a model")
		}
	})
}

func TestTrafficMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		check(t, w.Deploy("churn-ep", "green", "churn", "1"))
		for _, want := range []string{"map[blue:0 green:100]", "map[blue:90 green:10]"} {
			body := map[string]string{"map[blue:0 green:100]": `{"blue":0,"green":100}`, "map[blue:90 green:10]": `{"blue":90,"green":10}`}[want]
			azure.arm("PUT", "/onlineEndpoints/churn-ep", `{"properties": {"traffic": `+body+`}}`)
			if _, e := azure.arm("GET", "/onlineEndpoints/churn-ep", ""); fmt.Sprint(at(e, "properties", "traffic")) != want {
				t.Errorf("got %v, want %s", e, want)
			}
		}
	})
}

func TestFaultScript(t *testing.T) {
	tests := []struct {
		name    string
		fault   sandbox.Fault
		want    []int // answers to three PUTs of the same job; 0 is none
		took    time.Duration
		started bool // whether the first PUT had effect
	}{
		{"throttled once", sandbox.Fault{Method: "PUT", Path: "/JOBS/", Status: 429, RetryAfter: 7 * time.Second}, []int{429, 201, 200}, 0, false},
		{"twice", sandbox.Fault{Times: 2, Status: 503}, []int{503, 503, 201}, 0, false},
		{"conflict", sandbox.Fault{Status: 409}, []int{409, 201, 200}, 0, false},
		{"dropped before", sandbox.Fault{Drop: true}, []int{0, 201, 200}, 0, false},
		{"dropped after", sandbox.Fault{Drop: true, After: true}, []int{0, 200, 200}, 0, true},
		{"failed after", sandbox.Fault{Status: 500, After: true}, []int{500, 200, 200}, 0, true},
		{"slow", sandbox.Fault{Delay: 5 * time.Second}, []int{201, 200, 200}, 5 * time.Second, true},
		{"another route", sandbox.Fault{Path: "/models/", Status: 500}, []int{201, 200, 200}, 0, true},
		{"another method", sandbox.Fault{Method: "GET", Status: 500}, []int{201, 200, 200}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, &sink{}, sandbox.Options{TrainTime: time.Hour}, sandbox.Subscription{})
				w.Inject(tt.fault)
				begun := time.Now()
				var got []int
				for i := range 3 {
					got = append(got, putOnce(t, w, tt.fault))
					if _, err := w.Job("j"); i == 0 && (err == nil) != tt.started {
						t.Errorf("after the first request: %v, want started = %v", err, tt.started)
					}
				}
				equal(t, got, tt.want)
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// putOnce puts job j and returns the status, 0 for a dropped connection.
func putOnce(t *testing.T, w *sandbox.Workspace, f sandbox.Fault) int {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(context.Background(), "PUT",
		"http://azure.test"+w.ID()+"/jobs/j?api-version=1", strings.NewReader(`{"properties":{"jobType":"Command"}}`)))
	resp, err := sandbox.InMemory{"azure.test": w.Handler()}.RoundTrip(req)
	if err != nil {
		return 0
	}
	body := must[[]byte](t)(io.ReadAll(resp.Body))
	if want := fmt.Sprint(int(f.RetryAfter.Seconds())); resp.StatusCode == 429 && resp.Header.Get("Retry-After") != want {
		t.Errorf("Retry-After %q, want %q; body %s", resp.Header.Get("Retry-After"), want, body)
	}
	return resp.StatusCode
}

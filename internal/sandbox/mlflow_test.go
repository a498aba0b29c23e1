package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func TestRunsHaveMLflowsShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		job := must[sandbox.Job](t)(w.Job("first"))
		for _, base := range []string{"/api/2.0/mlflow", "/mlflow/v2.0" + w.ID() + "/api/2.0/mlflow", "/mlflow/v1.0" + w.ID() + "/api/2.0/mlflow"} {
			status, answer := azure.do("GET", base+"/runs/get?run_id=first", "")
			if status != http.StatusOK {
				t.Fatalf("%s: got %d %v", base, status, answer)
			}
			for path, want := range map[string]string{
				"run.info.run_id": "first", "run.info.status": "FINISHED", "run.info.lifecycle_stage": "active", "run.info.run_uuid": "first",
			} {
				if got := at(answer, strings.Split(path, ".")...); got != want {
					t.Errorf("%s: got %v, want %s", path, got, want)
				}
			}
			start, _ := at(answer, "run", "info", "start_time").(float64)
			end, _ := at(answer, "run", "info", "end_time").(float64)
			if end-start < 1000 || end-start > 2000 {
				t.Errorf("ran for %v ms", end-start)
			}
			metrics := keyed(at(answer, "run", "data", "metrics"))
			if fmt.Sprint(metrics["accuracy"]) != fmt.Sprint(job.Metrics["accuracy"]) || len(metrics) != 4 {
				t.Errorf("metrics: got %v, want %v", metrics, job.Metrics)
			}
			if got := keyed(at(answer, "run", "data", "tags")); got["owner"] != "risk-ml" || got["mlflow.runName"] != "first" {
				t.Errorf("tags: %v", got)
			}
			if got := keyed(at(answer, "run", "data", "params")); got["training_data"] != "azureml:churn-data:1" {
				t.Errorf("params: %v", got)
			}
		}
	})
}

// keyed turns [{key, value}] into a map.
func keyed(list any) map[string]any {
	out := map[string]any{}
	items, _ := list.([]any)
	for _, item := range items {
		out[at(item, "key").(string)] = at(item, "value")
	}
	return out
}

func TestMonitorStepsHaveMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		check(t, w.ShiftData("age", 0.6))
		run := must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
		_, answer := azure.do("GET", "/api/2.0/mlflow/runs/get?run_id="+run.Steps[0], "")
		got := keyed(at(answer, "run", "data", "metrics"))
		if got["age/PopulationStabilityIndex"] != 0.36 || got["tenure_months/PopulationStabilityIndex"] != 0.0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestMetricHistoryIsPaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, azure := furnished(t, sandbox.Options{})
		var values, steps []float64
		for token := ""; ; {
			_, answer := azure.do("GET", "/api/2.0/mlflow/metrics/get-history?run_id=first&metric_key=accuracy&max_results=4&page_token="+token, "")
			points, _ := answer["metrics"].([]any)
			for _, p := range points {
				values = append(values, at(p, "value").(float64))
				steps = append(steps, at(p, "step").(float64))
			}
			token, _ = answer["next_page_token"].(string)
			if token == "" {
				break
			}
		}
		equal(t, steps, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
		job := must[sandbox.Job](t)(w.Job("first"))
		for i := 1; i < len(values); i++ {
			if values[i] <= values[i-1] {
				t.Errorf("the learning curve falls: %v", values)
			}
		}
		if values[len(values)-1] != job.Metrics["accuracy"] {
			t.Errorf("ends at %v, want %v", values[len(values)-1], job.Metrics["accuracy"])
		}
	})
}

func TestRunSearch(t *testing.T) {
	tests := []struct {
		name, filter string
		want         string // run names, newest first
	}{
		{"all of the experiment", "", "third second first"},
		{"by tag", `tags."modelwarden.action" = 'k2@model/contoso-ml/churn'`, "second"},
		{"by tag in backticks", "tags.`modelwarden.action` = 'k2@model/contoso-ml/churn'", "second"},
		{"by tag, unquoted key", "tags.owner = 'risk-ml'", "first"},
		{"by tag, unequal", "tags.owner != 'risk-ml'", ""},
		{"by pattern", "tags.owner LIKE 'risk%'", "first"},
		{"by status", "attributes.status = 'RUNNING'", "third"},
		{"by id", "run_id = 'second'", "second"},
		{"by metric", "metrics.accuracy > 0.5 AND metrics.accuracy < 0.99", "second first"},
		{"by parameter", "params.training_data = 'azureml:churn-data:1'", "first"},
		{"by two", "attributes.status = 'FINISHED' and tags.owner = \"risk-ml\"", "first"},
		{"by nothing known", "params.other = 'x'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, azure := searchable(t)
				equal(t, strings.Fields(search(t, azure, tt.filter, 2)), strings.Fields(tt.want))
			})
		})
	}
}

// searchable has three runs of one experiment and one of another.
func searchable(t *testing.T) (*sandbox.Workspace, call) {
	t.Helper()
	w, azure := furnished(t, sandbox.Options{})
	time.Sleep(time.Second)
	must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "second", Component: "train_churn", Tags: map[string]string{"modelwarden.action": "k2@model/contoso-ml/churn"}}))
	must[sandbox.Job](t)(w.WaitJob(t.Context(), "second"))
	must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "stranger", Experiment: "other"}))
	must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "third", Component: "train_churn"}))
	time.Sleep(time.Second)
	return w, azure
}

// search finds runs of train_churn, in pages.
func search(t *testing.T, azure call, filter string, size int) string {
	t.Helper()
	_, experiment := azure.do("GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=train_churn", "")
	var found []string
	for token := ""; ; {
		body := fmt.Sprintf(`{"experiment_ids": [%q], "filter": %q, "max_results": %d, "page_token": %q}`,
			at(experiment, "experiment", "experiment_id"), filter, size, token)
		status, answer := azure.do("POST", "/api/2.0/mlflow/runs/search", body)
		if status != http.StatusOK {
			t.Fatalf("got %d %v", status, answer)
		}
		runs, _ := answer["runs"].([]any)
		for _, r := range runs {
			found = append(found, at(r, "info", "run_id").(string))
		}
		if token, _ = answer["next_page_token"].(string); token == "" {
			return strings.Join(found, " ")
		}
	}
}

func TestMLflowRefusals(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no run id", "GET", "/runs/get", "", 400, "INVALID_PARAMETER_VALUE"},
		{"unknown run", "GET", "/runs/get?run_id=nobody", "", 404, "RESOURCE_DOES_NOT_EXIST"},
		{"no metric", "GET", "/metrics/get-history?run_id=first", "", 400, "INVALID_PARAMETER_VALUE"},
		{"bad size", "GET", "/metrics/get-history?run_id=first&metric_key=auc&max_results=many", "", 400, "INVALID_PARAMETER_VALUE"},
		{"bad page", "GET", "/metrics/get-history?run_id=first&metric_key=auc&page_token=-1", "", 400, "INVALID_PARAMETER_VALUE"},
		{"unknown experiment", "GET", "/experiments/get-by-name?experiment_name=x", "", 404, "RESOURCE_DOES_NOT_EXIST"},
		{"search without JSON", "POST", "/runs/search", "runs?", 400, "MALFORMED_REQUEST"},
		{"search with a bad filter", "POST", "/runs/search", `{"filter": "accuracy is good"}`, 400, "INVALID_PARAMETER_VALUE"},
		{"search with a bad page", "POST", "/runs/search", `{"page_token": "x"}`, 400, "INVALID_PARAMETER_VALUE"},
		{"a route that is not played", "POST", "/runs/create", "{}", 404, "ENDPOINT_NOT_FOUND"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, azure := furnished(t, sandbox.Options{})
				status, got := azure.do(tt.method, "/api/2.0/mlflow"+tt.path, tt.body)
				if status != tt.status || got["error_code"] != tt.code || got["message"] == "" {
					t.Errorf("got %d %v, want %d %s", status, got, tt.status, tt.code)
				}
			})
		})
	}
}

// FuzzRunSearch sends any filter: the answer is 200 or 400, never a crash.
func FuzzRunSearch(f *testing.F) {
	for _, seed := range []string{"", "tags.a = 'b'", "metrics.x >= 1e-3 AND run_id LIKE '%'", "tags.`` = ''", "'", "AND AND"} {
		f.Add(seed)
	}
	w := sandbox.New(sandbox.Options{})
	defer func() { _ = w.Close() }()
	if _, err := w.SubmitJob(sandbox.JobSpec{Name: "j", Tags: map[string]string{"a": "b"}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		azure := client(t, w)
		_, experiment := azure.do("GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default", "")
		body := fmt.Sprintf(`{"experiment_ids": [%q], "filter": %s}`, at(experiment, "experiment", "experiment_id"), jsonString(t, filter))
		if status, answer := azure.do("POST", "/api/2.0/mlflow/runs/search", body); status != http.StatusOK && status != http.StatusBadRequest {
			t.Errorf("%q: got %d %v", filter, status, answer)
		}
	})
}

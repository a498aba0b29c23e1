package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// mlflowRoutes are the parts of the MLflow tracking REST API that read runs:
// https://mlflow.org/docs/latest/rest-api.html
func (w *Workspace) mlflowRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /runs/get", w.mlflowRun)
	mux.HandleFunc("POST /runs/search", w.mlflowSearch)
	mux.HandleFunc("GET /metrics/get-history", w.mlflowHistory)
	mux.HandleFunc("GET /experiments/get-by-name", w.mlflowExperiment)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		mlflowError(rw, http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The sandbox does not serve "+r.Method+" "+r.URL.Path+".")
	})
	return mux
}

func mlflowError(rw http.ResponseWriter, status int, code, message string) {
	writeAnswer(rw, status, object{"error_code": code, "message": message})
}

func badParameter(rw http.ResponseWriter, message string) {
	mlflowError(rw, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", message)
}

// withRun runs do on the run that a request names, or answers the error.
func (w *Workspace) withRun(rw http.ResponseWriter, r *http.Request, do func(*job)) {
	query := r.URL.Query()
	id := orElse(query.Get("run_id"), query.Get("run_uuid"))
	if id == "" {
		badParameter(rw, "Missing value for required parameter 'run_id'.")
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[id]
	if j == nil {
		mlflowError(rw, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", fmt.Sprintf("Run with id=%s not found", id))
		return
	}
	do(j)
}

func (w *Workspace) mlflowRun(rw http.ResponseWriter, r *http.Request) {
	w.withRun(rw, r, func(j *job) { writeAnswer(rw, http.StatusOK, object{"run": w.runObject(j)}) })
}

func (w *Workspace) mlflowHistory(rw http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	key := query.Get("metric_key")
	if key == "" {
		badParameter(rw, "Missing value for required parameter 'metric_key'.")
		return
	}
	size, err := pageSize(query.Get("max_results"))
	if err != nil {
		badParameter(rw, err.Error())
		return
	}
	w.withRun(rw, r, func(j *job) {
		points := j.metric(key).points
		from, to, next, err := page(len(points), size, query.Get("page_token"))
		if err != nil {
			badParameter(rw, err.Error())
			return
		}
		history := make([]object, 0, to-from)
		for _, p := range points[from:to] {
			history = append(history, p.object(key))
		}
		answer := object{"metrics": history}
		if next != "" {
			answer["next_page_token"] = next
		}
		writeAnswer(rw, http.StatusOK, answer)
	})
}

// pageSize reads max_results; MLflow allows up to 25,000 points and 50,000
// runs, the sandbox 1,000 of either.
func pageSize(s string) (int, error) {
	if s == "" {
		return 1000, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("max_results %q: want a number of at least 1", s)
	}
	return min(n, 1000), nil
}

func (w *Workspace) mlflowExperiment(rw http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("experiment_name")
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.jobOrder, func(j *job) bool { return j.experiment == name })
	if i < 0 {
		mlflowError(rw, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", fmt.Sprintf("Could not find experiment with name '%s'", name))
		return
	}
	first := w.jobOrder[i]
	writeAnswer(rw, http.StatusOK, object{"experiment": object{
		"experiment_id": first.experimentID, "name": name, "artifact_location": "",
		"lifecycle_stage": "active", "creation_time": first.created.UnixMilli(),
		"last_update_time": first.created.UnixMilli(), "tags": []object{},
	}})
}

// searchBody is a runs/search request.
type searchBody struct {
	ExperimentIDs []string `json:"experiment_ids"`
	Filter        string   `json:"filter"`
	MaxResults    int      `json:"max_results"`
	PageToken     string   `json:"page_token"`
}

// mlflowSearch lists the newest runs first, which is MLflow's default order
// and the only one here.
func (w *Workspace) mlflowSearch(rw http.ResponseWriter, r *http.Request) {
	var body searchBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		mlflowError(rw, http.StatusBadRequest, "MALFORMED_REQUEST", "The request is not a run search: "+err.Error())
		return
	}
	filter, err := parseFilter(body.Filter)
	if err != nil {
		badParameter(rw, err.Error())
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*job
	for _, j := range slices.Backward(w.jobOrder) {
		if slices.Contains(body.ExperimentIDs, j.experimentID) && filter.matches(j) {
			found = append(found, j)
		}
	}
	from, to, next, err := page(len(found), min(orElse(max(body.MaxResults, 0), 1000), 1000), body.PageToken)
	if err != nil {
		badParameter(rw, err.Error())
		return
	}
	runs := make([]object, 0, to-from)
	for _, j := range found[from:to] {
		runs = append(runs, w.runObject(j))
	}
	answer := object{"runs": runs}
	if next != "" {
		answer["next_page_token"] = next
	}
	writeAnswer(rw, http.StatusOK, answer)
}

// runObject renders a run. Callers hold w.mu.
func (w *Workspace) runObject(j *job) object {
	info := object{
		"run_id": j.name, "run_uuid": j.name, "run_name": j.name, "experiment_id": j.experimentID,
		"user_id": "sandbox", "status": j.status.mlflow(), "start_time": j.startTime().UnixMilli(),
		"artifact_uri":    "azureml:/" + w.ID() + "/experiments/" + j.experiment + "/runs/" + j.name + "/artifacts",
		"lifecycle_stage": "active",
	}
	if !j.ended.IsZero() {
		info["end_time"] = j.ended.UnixMilli()
	}
	metrics := make([]object, 0, len(j.metrics))
	for _, m := range j.metrics {
		metrics = append(metrics, m.points[len(m.points)-1].object(m.key))
	}
	return object{
		"info": info,
		"data": object{
			"metrics": metrics, "params": pairs(j.spec.Inputs),
			"tags": append(pairs(j.tags), object{"key": "mlflow.runName", "value": j.name}),
		},
		"inputs": object{"dataset_inputs": []object{}},
	}
}

func (j *job) startTime() time.Time {
	if j.started.IsZero() {
		return j.created
	}
	return j.started
}

// metric finds a metric by key; one without points when there is none.
func (j *job) metric(key string) metric {
	for _, m := range j.metrics {
		if m.key == key {
			return m
		}
	}
	return metric{}
}

func (p point) object(key string) object {
	return object{"key": key, "value": p.value, "timestamp": p.at.UnixMilli(), "step": p.step}
}

func pairs(m map[string]string) []object {
	out := make([]object, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, object{"key": k, "value": m[k]})
	}
	return out
}

// mlflow is the status in MLflow's words.
func (s Status) mlflow() string {
	switch s {
	case Running, Finalizing:
		return "RUNNING"
	case Completed:
		return "FINISHED"
	case Failed:
		return "FAILED"
	case Canceled:
		return "KILLED"
	}
	return "SCHEDULED"
}

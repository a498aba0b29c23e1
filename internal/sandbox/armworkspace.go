package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

const region = "westeurope"

// getWorkspace answers with the workspace's own resource, which says where its
// MLflow server is: here.
func (w *Workspace) getWorkspace(rw http.ResponseWriter, r *http.Request) {
	base := w.base(r)
	tracking := base + "/mlflow/v1.0" + w.ID()
	if strings.HasPrefix(base, "https://") {
		tracking = "azureml://" + strings.TrimPrefix(tracking, "https://")
	}
	writeAnswer(rw, http.StatusOK, object{
		"id": w.ID(), "name": w.opts.Name, "type": "Microsoft.MachineLearningServices/workspaces", "location": region,
		"properties": object{"friendlyName": w.opts.Name, "provisioningState": "Succeeded", "mlFlowTrackingUri": tracking},
	})
}

// runDetails is the run history's answer about a run: when it ran and why it
// failed.
func (w *Workspace) runDetails(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[r.PathValue("run")]
	if j == nil || j.experiment != r.PathValue("experiment") {
		writeAnswer(rw, http.StatusNotFound, object{"error": object{"code": "UserError", "message": "Run " + r.PathValue("run") + " not found"}})
		return
	}
	details := object{"runId": j.name, "status": string(j.status), "startTimeUtc": nil, "endTimeUtc": nil}
	if !j.started.IsZero() {
		details["startTimeUtc"] = j.started.Format(timeLayout)
	}
	if !j.ended.IsZero() {
		details["endTimeUtc"] = j.ended.Format(timeLayout)
	}
	if j.message != "" {
		details["error"] = object{"error": object{"code": "UserError", "message": j.message}}
	}
	writeAnswer(rw, http.StatusOK, details)
}

// historyRoutes is the part of the run history service that tells of one run.
func (w *Workspace) historyRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /experiments/{experiment}/runs/{run}/details", w.runDetails)
	return mux
}

// cutHistory finds the part of a path that the run history knows.
func (w *Workspace) cutHistory(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, "/history/v1.0")
	if !ok {
		return "", false
	}
	id := w.ID()
	if len(rest) <= len(id) || !strings.EqualFold(rest[:len(id)], id) {
		return "", false
	}
	return rest[len(id):], true
}

// listModels lists the models as such, which ARM calls containers.
func (w *Workspace) listModels(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := sortedKeys(w.models)
	w.writeList(rw, r, len(names), func(i int) object {
		versions := w.models[names[i]]
		return w.resource("/models/"+names[i], "models", versions[0].created, object{
			"latestVersion": versions[len(versions)-1].version, "isArchived": false, "tags": object{}, "properties": object{},
		})
	})
}

func (w *Workspace) getDataContainer(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, err := w.findData(r.PathValue("name"))
	if err != nil {
		armFailure(rw, err)
		return
	}
	writeAnswer(rw, http.StatusOK, w.resource("/data/"+d.name, "data", d.created, object{
		"dataType": "uri_folder", "latestVersion": d.version, "isArchived": false, "tags": object{}, "properties": object{},
	}))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

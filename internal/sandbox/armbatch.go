package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// CreateBatchEndpoint creates a batch endpoint whose runs are jobs of a
// component, or replaces one of the same name.
func (w *Workspace) CreateBatchEndpoint(name, component string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.batch[name] == "" {
		if err := w.room(); err != nil {
			return fmt.Errorf("create batch endpoint %q: %w", name, err)
		}
	}
	w.batch[name] = component
	return nil
}

func (w *Workspace) getBatchEndpoint(rw http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.batch[name] == "" {
		armFailure(rw, fmt.Errorf("batch endpoint %q: %w", name, ErrNotFound))
		return
	}
	res := w.resource("/batchEndpoints/"+name, "batchEndpoints", w.stamp(), object{
		"authMode": "AADToken", "provisioningState": "Succeeded", "scoringUri": w.base(r) + "/batch/" + name + "/jobs",
	})
	res["location"] = region
	writeAnswer(rw, http.StatusOK, res)
}

// batchBody is what of a batch endpoint's invocation the sandbox reads.
type batchBody struct {
	Properties struct {
		InputData map[string]struct {
			URI   string `json:"Uri"`
			Value string `json:"Value"`
		} `json:"InputData"`
		Tags map[string]string `json:"Tags"`
	} `json:"properties"`
}

// invokeBatch starts a run of a batch endpoint, under a name of the service's
// own choice.
func (w *Workspace) invokeBatch(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/batch/"), "/jobs")
	var body batchBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost {
		armError(rw, http.StatusBadRequest, "InvalidRequestContent", "The request is not an invocation of a batch endpoint.")
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	component := w.batch[name]
	if component == "" {
		armFailure(rw, fmt.Errorf("batch endpoint %q: %w", name, ErrNotFound))
		return
	}
	spec := JobSpec{Component: component, Tags: body.Properties.Tags, Inputs: map[string]string{}}
	for input, v := range body.Properties.InputData {
		spec.Inputs[input] = orElse(v.URI, v.Value)
	}
	j, _, err := w.submit(spec)
	if err != nil {
		armFailure(rw, fmt.Errorf("batch endpoint %q: %w", name, err))
		return
	}
	writeAnswer(rw, http.StatusCreated, object{"id": w.ID() + "/jobs/" + j.name, "name": j.name, "type": "Microsoft.MachineLearningServices/workspaces/jobs"})
}

package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// jobBody is what of an ARM job the sandbox reads; the rest is ignored.
type jobBody struct {
	Properties *struct {
		JobType        string            `json:"jobType"`
		ComponentID    string            `json:"componentId"`
		CodeID         string            `json:"codeId"`
		EnvironmentID  string            `json:"environmentId"`
		ComputeID      string            `json:"computeId"`
		ExperimentName string            `json:"experimentName"`
		Tags           map[string]string `json:"tags"`
		Inputs         map[string]struct {
			JobInputType string `json:"jobInputType"`
			URI          string `json:"uri"`
			Value        string `json:"value"`
		} `json:"inputs"`
	} `json:"properties"`
}

func (b jobBody) spec(name string) (JobSpec, error) {
	p := b.Properties
	if p == nil || p.JobType == "" {
		return JobSpec{}, fmt.Errorf("job %q: properties.jobType is required", name)
	}
	spec := JobSpec{
		Name: name, Experiment: p.ExperimentName, Component: p.ComponentID,
		Code: p.CodeID, Environment: p.EnvironmentID, Compute: p.ComputeID,
		Tags: p.Tags, Inputs: map[string]string{},
	}
	for input, v := range p.Inputs {
		spec.Inputs[input] = orElse(v.URI, v.Value)
	}
	return spec, nil
}

// putJob creates a job and starts it: 201. On a name that exists it starts
// nothing and replaces the tags where the body has any: 200.
func (w *Workspace) putJob(rw http.ResponseWriter, r *http.Request) {
	var body jobBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		armError(rw, http.StatusBadRequest, "InvalidRequestContent", "The request content is not a job: "+err.Error())
		return
	}
	spec, err := body.spec(r.PathValue("name"))
	if err != nil {
		armError(rw, http.StatusBadRequest, "UserError", err.Error())
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	j, created, err := w.submit(spec)
	if err != nil {
		armFailure(rw, fmt.Errorf("job %.255q: %w", spec.Name, err))
		return
	}
	status := http.StatusCreated
	if !created {
		status = http.StatusOK
		if spec.Tags != nil && spec.validate() == nil {
			j.tags = maps.Clone(spec.Tags)
		}
	}
	writeAnswer(rw, status, w.jobResource(j))
}

func (w *Workspace) getJob(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[r.PathValue("name")]
	if j == nil {
		armFailure(rw, fmt.Errorf("job %q: %w", r.PathValue("name"), ErrNotFound))
		return
	}
	writeAnswer(rw, http.StatusOK, w.jobResource(j))
}

// listJobs lists newest first. The query parameter tag keeps jobs that carry
// a tag, whatever its value.
func (w *Workspace) listJobs(rw http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("tag")
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*job
	for i := len(w.jobOrder) - 1; i >= 0; i-- {
		j := w.jobOrder[i]
		if _, tagged := j.tags[key]; tagged || key == "" {
			found = append(found, j)
		}
	}
	w.writeList(rw, r, len(found), func(i int) object { return w.jobResource(found[i]) })
}

// cancelJob answers at once with 200; Azure answers 202 and lets one poll.
func (w *Workspace) cancelJob(rw http.ResponseWriter, r *http.Request) {
	if err := w.CancelJob(r.PathValue("name")); err != nil {
		armFailure(rw, err)
		return
	}
	rw.WriteHeader(http.StatusOK)
}

// jobResource renders a job. Callers hold w.mu.
func (w *Workspace) jobResource(j *job) object {
	jobType := "Command"
	if j.runType == "azureml.PipelineRun" {
		jobType = "Pipeline"
	}
	inputs := object{}
	for name, value := range j.spec.Inputs {
		inputs[name] = inputObject(value)
	}
	p := object{
		"jobType": jobType, "displayName": j.name, "experimentName": j.experiment, "status": string(j.status),
		"tags": j.tags, "properties": j.properties, "inputs": inputs, "outputs": object{}, "isArchived": false,
		"services": object{
			"Tracking": object{"jobServiceType": "Tracking", "endpoint": "azureml:/" + w.ID()},
			"Studio":   object{"jobServiceType": "Studio", "endpoint": w.studioURL(j)},
		},
	}
	for key, id := range map[string]string{
		"componentId": j.spec.Component, "codeId": j.spec.Code, "environmentId": j.spec.Environment, "computeId": j.spec.Compute,
	} {
		if id != "" {
			p[key] = id
		}
	}
	return w.resource("/jobs/"+j.name, "jobs", j.created, p)
}

// inputObject renders an input: a reference, else a literal.
func inputObject(value string) object {
	if strings.HasPrefix(value, "azureml:") || strings.Contains(value, "://") {
		return object{"jobInputType": "uri_folder", "mode": "ReadOnlyMount", "uri": value}
	}
	return object{"jobInputType": "literal", "value": value}
}

// studioURL is the page about a job.
func (w *Workspace) studioURL(j *job) string {
	if w.opts.PublicURL == "" {
		return "https://ml.azure.com/runs/" + j.name + "?wsid=" + w.ID()
	}
	return w.opts.PublicURL + w.ID() + "/jobs/" + j.name + "?api-version=2024-10-01"
}

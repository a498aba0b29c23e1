package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

func (w *Workspace) listModelVersions(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := w.models[r.PathValue("name")]
	if len(versions) == 0 {
		armFailure(rw, fmt.Errorf("model %q: %w", r.PathValue("name"), ErrNotFound))
		return
	}
	w.writeList(rw, r, len(versions), func(i int) object { return w.modelResource(versions[len(versions)-1-i]) })
}

func (w *Workspace) getModelVersion(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.findModel(r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		armFailure(rw, err)
		return
	}
	writeAnswer(rw, http.StatusOK, w.modelResource(m))
}

func (w *Workspace) modelResource(m *modelVersion) object {
	p := object{
		"modelType": "mlflow_model", "modelUri": "azureml://registered/" + m.name + "/" + m.version,
		"flavors": object{}, "stage": "Development", "provisioningState": "Succeeded",
		"isArchived": false, "isAnonymous": false, "tags": m.tags, "properties": m.properties,
	}
	if m.job != nil {
		p["jobName"] = m.job.name
		p["modelUri"] = "azureml://jobs/" + m.job.name + "/outputs/artifacts/paths/model"
	}
	return w.resource("/models/"+m.name+"/versions/"+m.version, "models/versions", m.created, p)
}

// putModelVersion replaces the tags of a version; it registers none.
func (w *Workspace) putModelVersion(rw http.ResponseWriter, r *http.Request) {
	var body struct {
		Properties struct {
			Tags map[string]string `json:"tags"`
		} `json:"properties"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		armError(rw, http.StatusBadRequest, "InvalidRequestContent", "The request content is not a model version: "+err.Error())
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.findModel(r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		armFailure(rw, err)
		return
	}
	if err := (JobSpec{Tags: body.Properties.Tags}).validate(); err != nil {
		armError(rw, http.StatusBadRequest, "UserError", err.Error())
		return
	}
	m.tags = map[string]string{}
	maps.Copy(m.tags, body.Properties.Tags)
	writeAnswer(rw, http.StatusOK, w.modelResource(m))
}

func (w *Workspace) listDataVersions(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := w.data[r.PathValue("name")]
	if len(versions) == 0 {
		armFailure(rw, fmt.Errorf("data asset %q: %w", r.PathValue("name"), ErrNotFound))
		return
	}
	w.writeList(rw, r, len(versions), func(i int) object { return w.dataResource(versions[len(versions)-1-i]) })
}

func (w *Workspace) getDataVersion(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, err := w.findData(r.PathValue("name") + ":" + r.PathValue("version"))
	if err != nil {
		armFailure(rw, err)
		return
	}
	writeAnswer(rw, http.StatusOK, w.dataResource(d))
}

func (w *Workspace) dataResource(d *dataVersion) object {
	return w.resource("/data/"+d.name+"/versions/"+d.version, "data/versions", d.created, object{
		"dataType": "uri_folder", "dataUri": "azureml://datastores/workspaceblobstore/paths/" + d.name + "/" + d.version + "/",
		"isArchived": false, "isAnonymous": false, "tags": object{}, "properties": object{},
	})
}

func (w *Workspace) listEndpoints(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Sorted(maps.Keys(w.endpoint))
	w.writeList(rw, r, len(names), func(i int) object { return w.endpointResource(w.endpoint[names[i]]) })
}

// withEndpoint runs do on the endpoint that a request names, or answers 404.
func (w *Workspace) withEndpoint(rw http.ResponseWriter, r *http.Request, do func(*endpoint)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.endpoint[r.PathValue("name")]
	if e == nil {
		armFailure(rw, fmt.Errorf("online endpoint %q: %w", r.PathValue("name"), ErrNotFound))
		return
	}
	do(e)
}

func (w *Workspace) getEndpoint(rw http.ResponseWriter, r *http.Request) {
	w.withEndpoint(rw, r, func(e *endpoint) { writeAnswer(rw, http.StatusOK, w.endpointResource(e)) })
}

// putEndpoint changes the traffic of an endpoint. Traffic names deployments
// that exist, and sums to 0 or 100. While a change is under way, which the
// provisioning state tells, another is refused.
func (w *Workspace) putEndpoint(rw http.ResponseWriter, r *http.Request) {
	var body struct {
		Properties struct {
			Traffic map[string]int32 `json:"traffic"`
		} `json:"properties"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		armError(rw, http.StatusBadRequest, "InvalidRequestContent", "The request content is not an endpoint: "+err.Error())
		return
	}
	w.withEndpoint(rw, r, func(e *endpoint) {
		if e.updating {
			armError(rw, http.StatusConflict, "Conflict", "The endpoint "+e.name+" is being updated.")
			return
		}
		if err := e.shift(body.Properties.Traffic); err != nil {
			armError(rw, http.StatusBadRequest, "UserError", err.Error())
			return
		}
		if w.opts.UpdateTime > 0 {
			e.updating = true
			w.later(w.opts.UpdateTime, func() { e.updating = false })
		}
		writeAnswer(rw, http.StatusOK, w.endpointResource(e))
	})
}

func (e *endpoint) shift(traffic map[string]int32) error {
	sum := 0
	for name, share := range traffic {
		if e.find(name) == nil || share < 0 || share > 100 {
			return fmt.Errorf("endpoint %q: traffic %q: %d: no such deployment, or not within 0 and 100", e.name, name, share)
		}
		sum += int(share)
	}
	if sum != 0 && sum != 100 {
		return fmt.Errorf("endpoint %q: traffic sums to %d, want 0 or 100", e.name, sum)
	}
	e.traffic = maps.Clone(traffic)
	return nil
}

func (w *Workspace) endpointResource(e *endpoint) object {
	state := "Succeeded"
	if e.updating {
		state = "Updating"
	}
	res := w.resource("/onlineEndpoints/"+e.name, "onlineEndpoints", e.created, object{
		"authMode": "Key", "provisioningState": state, "publicNetworkAccess": "Enabled",
		"scoringUri": "https://" + e.name + ".westeurope.inference.ml.azure.com/score",
		"traffic":    e.traffic, "mirrorTraffic": object{}, "properties": object{},
	})
	res["kind"], res["location"], res["tags"] = "Managed", region, object{}
	return res
}

func (w *Workspace) listDeployments(rw http.ResponseWriter, r *http.Request) {
	w.withEndpoint(rw, r, func(e *endpoint) {
		w.writeList(rw, r, len(e.deployments), func(i int) object { return w.deploymentResource(e, e.deployments[i]) })
	})
}

func (w *Workspace) getDeployment(rw http.ResponseWriter, r *http.Request) {
	w.withEndpoint(rw, r, func(e *endpoint) {
		d := e.find(r.PathValue("deployment"))
		if d == nil {
			armFailure(rw, fmt.Errorf("deployment %q of endpoint %q: %w", r.PathValue("deployment"), e.name, ErrNotFound))
			return
		}
		writeAnswer(rw, http.StatusOK, w.deploymentResource(e, d))
	})
}

func (w *Workspace) deploymentResource(e *endpoint, d *deployment) object {
	res := w.resource("/onlineEndpoints/"+e.name+"/deployments/"+d.name, "onlineEndpoints/deployments", d.updated, object{
		"endpointComputeType": "Managed", "provisioningState": "Succeeded", "instanceType": "Standard_DS3_v2",
		"model": w.ID() + "/models/" + d.model + "/versions/" + d.version, "properties": object{},
	})
	res["kind"], res["location"], res["tags"] = "Managed", region, object{}
	res["sku"] = object{"name": "Default", "capacity": 1}
	return res
}

func (w *Workspace) listSchedules(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Sorted(maps.Keys(w.monitors))
	w.writeList(rw, r, len(names), func(i int) object { return w.scheduleResource(w.monitors[names[i]]) })
}

func (w *Workspace) getSchedule(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.monitors[r.PathValue("name")]
	if m == nil {
		armFailure(rw, fmt.Errorf("schedule %q: %w", r.PathValue("name"), ErrNotFound))
		return
	}
	writeAnswer(rw, http.StatusOK, w.scheduleResource(m))
}

// scheduleResource renders a monitor: in Azure ML it is a schedule whose
// action is CreateMonitor.
func (w *Workspace) scheduleResource(m *monitor) object {
	signals := object{}
	for _, s := range m.spec.Signals {
		signals[s.Name] = object{
			"signalType": s.Type,
			"metricThresholds": []object{{
				"dataType": "Numerical", "metric": s.Metric, "threshold": object{"value": s.Threshold},
			}},
			"features": object{"filterType": "FeatureSubset", "features": s.Features},
		}
	}
	definition := object{
		"computeConfiguration": object{"computeType": "ServerlessSpark", "instanceType": "standard_e4s_v3", "runtimeVersion": "3.4",
			"computeIdentity": object{"computeIdentityType": "AmlToken"}},
		"monitoringTarget": w.monitoringTarget(m.spec.Model),
		"signals":          signals,
	}
	if len(m.spec.Notify) > 0 {
		definition["alertNotificationSettings"] = object{"emailNotificationSettings": object{"emails": m.spec.Notify}}
	}
	return w.resource("/schedules/"+m.spec.Name, "schedules", m.created, object{
		"displayName": m.spec.Name, "isEnabled": true, "provisioningStatus": "Succeeded",
		"tags": object{}, "properties": object{},
		"trigger": object{"triggerType": "Recurrence", "frequency": "Day", "interval": 1, "timeZone": "UTC",
			"schedule": object{"hours": []int{3}, "minutes": []int{15}}},
		"action": object{"actionType": "CreateMonitor", "monitorDefinition": definition},
	})
}

// monitoringTarget names the deployment that serves the model, else the model.
func (w *Workspace) monitoringTarget(model string) object {
	for _, name := range slices.Sorted(maps.Keys(w.endpoint)) {
		for _, d := range w.endpoint[name].deployments {
			if d.model == model {
				return object{"taskType": "Classification", "deploymentId": "azureml:" + name + ":" + d.name}
			}
		}
	}
	version := max(len(w.models[model]), 1)
	return object{"taskType": "Classification", "modelId": "azureml:" + model + ":" + strconv.Itoa(version)}
}

package sandbox

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

type modelVersion struct {
	name, version    string
	tags, properties map[string]string
	job              *job // nil for a model that came from outside
	created          time.Time
}

type endpoint struct {
	name        string
	deployments []*deployment
	traffic     map[string]int32
	updating    bool
	created     time.Time
}

type deployment struct {
	name, model, version string
	updated              time.Time
}

// RegisterModel registers the next version of a model and returns it. The job
// that made it may be empty, for a model that came from outside.
func (w *Workspace) RegisterModel(name, jobName string, tags map[string]string) (version string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[jobName]
	if j == nil && jobName != "" {
		return "", fmt.Errorf("register model %q: job %q: %w", name, jobName, ErrNotFound)
	}
	m, err := w.register(name, j, tags)
	if err != nil {
		return "", fmt.Errorf("register model %q: %w", name, err)
	}
	return m.version, nil
}

// register adds a version and tells the world. Callers hold w.mu.
func (w *Workspace) register(name string, j *job, tags map[string]string) (*modelVersion, error) {
	if err := w.room(); err != nil {
		return nil, err
	}
	m := &modelVersion{
		name: name, version: strconv.Itoa(len(w.models[name]) + 1), job: j,
		tags: map[string]string{}, properties: map[string]string{}, created: w.stamp(),
	}
	maps.Copy(m.tags, tags)
	if j != nil {
		m.properties["azureml.runId"] = j.name
		m.properties["mlflow.modelSourceUri"] = "azureml://artifacts/" + j.name + "/model"
		for _, key := range []string{"azureml.git.commit", "modelwarden.action"} {
			if v := orElse(j.tags[key], j.properties[key]); v != "" {
				m.properties[key] = v
			}
		}
	}
	w.models[name] = append(w.models[name], m)
	w.emitModelRegistered(m)
	return m, nil
}

// findModel resolves a version; "" means the newest. Callers hold w.mu.
func (w *Workspace) findModel(name, version string) (*modelVersion, error) {
	versions := w.models[name]
	if version == "" && len(versions) > 0 {
		return versions[len(versions)-1], nil
	}
	for _, m := range versions {
		if m.version == version {
			return m, nil
		}
	}
	return nil, fmt.Errorf("model %s:%s: %w", name, version, ErrNotFound)
}

// Deploy puts a model version on a deployment of an online endpoint, making
// both where they don't exist. A first deployment gets all traffic.
func (w *Workspace) Deploy(endpointName, deploymentName, model, version string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.findModel(model, version)
	if err == nil {
		err = w.deploy(endpointName, deploymentName, m)
	}
	if err != nil {
		return fmt.Errorf("deploy to %s/%s: %w", endpointName, deploymentName, err)
	}
	return nil
}

func (w *Workspace) deploy(endpointName, deploymentName string, m *modelVersion) error {
	e := w.endpoint[endpointName]
	if e == nil {
		if err := w.room(); err != nil {
			return err
		}
		e = &endpoint{name: endpointName, traffic: map[string]int32{deploymentName: 100}, created: w.stamp()}
		w.endpoint[endpointName] = e
	}
	d := e.find(deploymentName)
	if d == nil {
		if err := w.room(); err != nil {
			return err
		}
		d = &deployment{name: deploymentName}
		e.deployments = append(e.deployments, d)
	}
	d.model, d.version, d.updated = m.name, m.version, w.stamp()
	w.emitModelDeployed(e, d)
	return nil
}

func (e *endpoint) find(name string) *deployment {
	for _, d := range e.deployments {
		if d.name == name {
			return d
		}
	}
	return nil
}

// deployed finds the version of a model that was deployed last, on any
// endpoint. Callers hold w.mu.
func (w *Workspace) deployed(model string) *modelVersion {
	var newest *deployment
	for _, e := range w.endpoint {
		for _, d := range e.deployments {
			if d.model == model && (newest == nil || d.updated.After(newest.updated)) {
				newest = d
			}
		}
	}
	if newest == nil {
		return nil
	}
	m, _ := w.findModel(newest.model, newest.version)
	return m
}

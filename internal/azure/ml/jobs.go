package ml

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
)

// systemData is what ARM knows of any resource.
type systemData struct {
	CreatedAt      time.Time `json:"createdAt"`
	LastModifiedAt time.Time `json:"lastModifiedAt"`
}

// jobResource is a job of any type as ARM has it ("Jobs", Azure Machine
// Learning REST API).
type jobResource struct {
	Name       string     `json:"name"`
	SystemData systemData `json:"systemData"`
	Properties struct {
		JobType        string `json:"jobType"`
		DisplayName    string `json:"displayName"`
		ExperimentName string `json:"experimentName"`
		Status         string `json:"status"`
		ComponentID    string `json:"componentId"`
		CodeID         string `json:"codeId"`
		EnvironmentID  string `json:"environmentId"`
		ComputeID      string `json:"computeId"`
		// Trial is what a sweep runs.
		Trial struct {
			CodeID        string `json:"codeId"`
			EnvironmentID string `json:"environmentId"`
		} `json:"trial"`
		Inputs   map[string]ioResource `json:"inputs"`
		Outputs  map[string]ioResource `json:"outputs"`
		Services map[string]struct {
			Endpoint     string `json:"endpoint"`
			ErrorMessage string `json:"errorMessage"`
		} `json:"services"`
		Tags       map[string]string `json:"tags"`
		Properties map[string]string `json:"properties"`
	} `json:"properties"`
}

type ioResource struct {
	URI   string `json:"uri"`
	Value string `json:"value"`
}

// Job implements azureml.Source. Of a job that ended, the run history is asked
// for times and error, which ARM does not have; without its answer they stay
// empty.
func (c *Client) Job(ctx context.Context, ws event.Workspace, name string) (azureml.Job, error) {
	doing := "read job " + name
	p, err := c.at(ws)
	if err != nil {
		return azureml.Job{}, fault(doing, err)
	}
	job, err := c.job(ctx, p, name)
	if err == nil && job.IsEnded() {
		c.outcome(ctx, p, &job)
	}
	return job, fault(doing, err)
}

func (c *Client) job(ctx context.Context, p place, name string) (azureml.Job, error) {
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewJobsClient().Get(ctx, p.group, p.name, name, nil)
		return err
	})
	if err != nil {
		return azureml.Job{}, err
	}
	return readJob(p, body)
}

func readJob(p place, body []byte) (azureml.Job, error) {
	var r jobResource
	if err := json.Unmarshal(body, &r); err != nil {
		return azureml.Job{}, fmt.Errorf("a job: %w", err)
	}
	return r.job(p), nil
}

// Jobs implements azureml.Lister.
func (c *Client) Jobs(ctx context.Context, ws event.Workspace, cursor string) ([]azureml.Job, string, error) {
	p, err := c.at(ws)
	if err != nil {
		return nil, "", fault("list jobs", err)
	}
	list, err := page[jobResource](ctx, c, p.clients.NewJobsClient().NewListPager(p.group, p.name, nil), cursor)
	if err != nil {
		return nil, "", fault("list jobs", err)
	}
	jobs := make([]azureml.Job, len(list.Value))
	for i := range list.Value {
		jobs[i] = list.Value[i].job(p)
	}
	return jobs, list.NextLink, nil
}

// parentKeys are the properties in which a step names its pipeline's run.
var parentKeys = []string{"azureml.pipelinerunid", "azureml.rootpipelinerunid"}

func (r *jobResource) job(p place) azureml.Job {
	j := &r.Properties
	out := azureml.Job{
		Name: r.Name, DisplayName: j.DisplayName, Experiment: j.ExperimentName, Type: snake(j.JobType), Status: j.Status,
		Component: p.short(j.ComponentID), Compute: p.short(j.ComputeID),
		Code:        p.short(cmp.Or(j.CodeID, j.Trial.CodeID)),
		Environment: p.short(cmp.Or(j.EnvironmentID, j.Trial.EnvironmentID)),
		Tags:        j.Tags, Properties: j.Properties, Created: r.SystemData.CreatedAt, Studio: j.Services["Studio"].Endpoint,
	}
	for name, in := range j.Inputs {
		if out.Inputs == nil {
			out.Inputs = make(map[string]azureml.Input, len(j.Inputs))
		}
		out.Inputs[name] = in.input()
	}
	for name, o := range j.Outputs {
		if out.Outputs == nil {
			out.Outputs = make(map[string]string, len(j.Outputs))
		}
		out.Outputs[name] = o.URI
	}
	for _, key := range parentKeys {
		if v := j.Properties[key]; v != r.Name {
			out.Parent = cmp.Or(out.Parent, v)
		}
	}
	if out.Status == "Failed" {
		for _, name := range slices.Sorted(maps.Keys(j.Services)) {
			out.Error = cmp.Or(out.Error, clip(j.Services[name].ErrorMessage, maxError))
		}
	}
	return out
}

// maxError bounds a failed job's message.
const maxError = 2000 - len("…")

func (in ioResource) input() azureml.Input {
	if in.URI == "" {
		return azureml.Input{Value: in.Value}
	}
	out := azureml.Input{Value: in.URI}
	if name, version := versioned(in.URI, "data"); name != "" && !isPath(in.URI) {
		out.Data = &event.DataRef{Name: name, Version: version}
	}
	return out
}

// isPath says whether a URI leads to files rather than to a data asset.
func isPath(uri string) bool {
	return segment(uri, "datastores") != "" || (segment(uri, "data") == "" && strings.Contains(uri, "://"))
}

package effect

import (
	"strings"

	"github.com/modelwarden/modelwarden/internal/azureml"
)

// job is the part of ARM's JobBase that is written and read here
// (Microsoft.MachineLearningServices/workspaces/jobs, jobType Pipeline).
type job struct {
	Properties jobProperties `json:"properties"`
}

type jobProperties struct {
	JobType        string              `json:"jobType"`
	ComponentID    string              `json:"componentId,omitempty"`
	ExperimentName string              `json:"experimentName,omitempty"`
	DisplayName    string              `json:"displayName,omitempty"`
	Inputs         map[string]jobInput `json:"inputs,omitempty"`
	Tags           map[string]string   `json:"tags,omitempty"`
	Status         string              `json:"status,omitempty"`
	Services       jobServices         `json:"services,omitzero"`
}

type jobServices struct {
	Studio jobService `json:"Studio,omitzero"`
}

type jobService struct {
	Endpoint string `json:"endpoint,omitempty"`
}

// jobInput is a literal or a reference, told apart by JobInputType.
type jobInput struct {
	JobInputType string `json:"jobInputType"`
	Value        string `json:"value,omitempty"`
	URI          string `json:"uri,omitempty"`
}

func newJob(spec azureml.JobSpec) job {
	inputs := map[string]jobInput{}
	for name, value := range spec.Inputs {
		inputs[name] = newJobInput(value)
	}
	return job{jobProperties{
		JobType:        "Pipeline",
		ComponentID:    spec.Component,
		ExperimentName: spec.Experiment,
		DisplayName:    spec.DisplayName,
		Inputs:         inputs,
		Tags:           spec.Tags,
	}}
}

// newJobInput takes what names data ("azureml:churn@latest", "https://…") for
// a folder and all else for a literal.
func newJobInput(input any) jobInput {
	value := literal(input)
	if strings.HasPrefix(value, "azureml:") || strings.Contains(value, "://") {
		return jobInput{JobInputType: "uri_folder", URI: value}
	}
	return jobInput{JobInputType: "literal", Value: value}
}

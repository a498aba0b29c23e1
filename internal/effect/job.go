package effect

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Tags that lead from a job back to what asked for it.
const (
	originTag = event.OriginTag
	policyTag = "modelwarden.policy"
	eventTag  = "modelwarden.event"
	modelTag  = "modelwarden.model"
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

func (j *job) origin() string { return j.Properties.Tags[originTag] }

func newJob(o *SandboxOptions, a policy.Action) job {
	inputs := map[string]jobInput{}
	for name, value := range o.Inputs {
		inputs[name] = newJobInput(value)
	}
	tags := map[string]string{originTag: a.ID, policyTag: a.Policy, eventTag: a.Event}
	if a.Model != "" {
		tags[modelTag] = a.Model
	}
	return job{jobProperties{
		JobType:        "Pipeline",
		ComponentID:    o.Component,
		ExperimentName: o.Experiment,
		DisplayName:    "Retrain by policy " + a.Policy,
		Inputs:         inputs,
		Tags:           tags,
	}}
}

// newJobInput takes what names data ("azureml:churn@latest", "https://…") for
// a folder and all else for a literal.
func newJobInput(input any) jobInput {
	value := fmt.Sprint(input)
	if f, ok := input.(float64); ok {
		value = strconv.FormatFloat(f, 'f', -1, 64) // 1000000, not 1e+06
	}
	if strings.HasPrefix(value, "azureml:") || strings.Contains(value, "://") {
		return jobInput{JobInputType: "uri_folder", URI: value}
	}
	return jobInput{JobInputType: "literal", Value: value}
}

// jobNames are those that Azure Machine Learning accepts.
var jobNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$`)

// jobName makes the job's name of the action's key: the same action is the
// same job.
func jobName(key string) (string, error) {
	name := "mw-" + key
	if key == "" || !jobNames.MatchString(name) {
		return "", &policy.PermanentError{Err: fmt.Errorf("key %q makes no job name: want letters, digits, - and _", key)}
	}
	return name, nil
}

package sandbox

import (
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// JobSpec describes a job to submit.
type JobSpec struct {
	// Name identifies the job; submitting the same name again starts nothing.
	// Empty means a made-up name.
	Name string
	// Experiment defaults to the component's name, else "Default".
	Experiment string
	// Component is the pipeline component to run: `azureml:train_churn:3`, or
	// its ARM id. One that Options.Training names makes a model.
	Component string
	// Code, Environment and Compute are what it runs on, as references of
	// Azure ML's: `azureml:sklearn-1.5:3`.
	Code, Environment, Compute string
	// Inputs are asset references by input name. `training_data` is what the
	// job trains on; `@latest` or no version mean the newest one.
	Inputs map[string]string
	// Tags go with the run into its events.
	Tags map[string]string
	// Fail makes the job end Failed, with this message.
	Fail string
}

// jobNames are those that Azure Machine Learning accepts.
var jobNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$`)

// Azure ML's limits for tags, in characters, and the sandbox's for the rest.
const (
	maxTags      = 50
	maxTagKey    = 100
	maxTagLength = 1000
	maxInputs    = 100
	maxText      = 2048
)

// validate refuses what Azure ML would, and what would let a job grow.
func (s JobSpec) validate() error {
	switch {
	case s.Name != "" && !jobNames.MatchString(s.Name):
		return errors.New("the name must be up to 255 letters, digits, - and _, the first of them a letter or digit")
	case len(s.Tags) > maxTags:
		return fmt.Errorf("%d tags, at most %d are allowed", len(s.Tags), maxTags)
	case len(s.Inputs) > maxInputs:
		return fmt.Errorf("%d inputs, at most %d are allowed", len(s.Inputs), maxInputs)
	case len(s.Experiment) > maxText || len(s.Component) > maxText || len(s.Code)+len(s.Environment)+len(s.Compute) > maxText:
		return fmt.Errorf("experiment, component, and code, environment and compute together: at most %d bytes are allowed", maxText)
	}
	for key, value := range s.Tags {
		if utf8.RuneCountInString(key) > maxTagKey || utf8.RuneCountInString(value) > maxTagLength {
			return fmt.Errorf("tag %.100q: at most %d characters in a key and %d in a value are allowed", key, maxTagKey, maxTagLength)
		}
	}
	for name, value := range s.Inputs {
		if len(name) > maxText || len(value) > maxText {
			return fmt.Errorf("input %.100q: at most %d bytes are allowed", name, maxText)
		}
	}
	return nil
}

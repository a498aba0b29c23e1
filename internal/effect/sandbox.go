package effect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// armAPIVersion of the Azure Machine Learning jobs API
// (Microsoft.MachineLearningServices/workspaces/jobs).
const armAPIVersion = "2024-10-01"

// SandboxOptions configure a Sandbox.
type SandboxOptions struct {
	// URL is the simulated workspace's, ARM path included
	// (http://host/subscriptions/…/workspaces/<name>).
	URL string
	// Component is the pipeline component to run, Experiment the name its
	// runs are grouped under, Inputs what it is given: text, numbers, truth
	// values. The workspace decides what is missing.
	Component, Experiment string
	Inputs                map[string]any
	// Records are the lineage that inputs may ask; a lineage.Store.
	Records records
	// Client is one of NewClient's.
	Client    *http.Client
	UserAgent string
	// Now is the clock.
	Now func() time.Time
}

// Sandbox retrains in a simulated Azure Machine Learning workspace. It speaks
// the shape of Azure's own jobs API: GET before PUT, under a job name made of
// the action's key, so that a retrain that was submitted before is adopted.
type Sandbox struct {
	base   *url.URL
	o      SandboxOptions
	inputs inputs
	hide   redactor
}

// NewSandbox checks the options.
func NewSandbox(o SandboxOptions) (*Sandbox, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	in, err := newInputs(o.Inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs.%w", err)
	}
	secrets := urlSecrets(&url.URL{User: u.User, RawQuery: u.RawQuery})
	return &Sandbox{base: u, o: o, inputs: in, hide: newRedactor(secrets...)}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (s *Sandbox) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	want, err := newOrder(ctx, policy.SandboxKind, s.inputs, s.o.Records, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	made, created, err := s.submit(ctx, azureml.JobSpec{
		Name: want.name, DisplayName: displayName(a), Experiment: s.o.Experiment,
		Component: s.o.Component, Inputs: want.inputs, Tags: want.tags,
	})
	if err != nil {
		return policy.Outcome{}, err
	}
	return started(place(s.base), made, created, a)
}

// submit creates the job, unless there is one of its name already.
func (s *Sandbox) submit(ctx context.Context, spec azureml.JobSpec) (made azureml.Job, created bool, err error) {
	ans, err := s.exchange(ctx, http.MethodGet, spec.Name, nil)
	if err != nil {
		return azureml.Job{}, false, err
	}
	if ans.status != http.StatusNotFound {
		made, err = s.read(ans, spec.Name)
		return made, false, err
	}
	body, err := json.Marshal(newJob(spec))
	if err != nil {
		return azureml.Job{}, false, &policy.PermanentError{Err: fmt.Errorf("job %s can't be written as JSON: %w", spec.Name, err)}
	}
	if ans, err = s.exchange(ctx, http.MethodPut, spec.Name, body); err != nil {
		return azureml.Job{}, false, err
	}
	if ans.status == http.StatusConflict {
		// Somebody created it since we looked: look again next time.
		return azureml.Job{}, false, fmt.Errorf("%s already has a job %s", place(s.base), spec.Name)
	}
	made, err = s.read(ans, spec.Name)
	return made, true, err
}

// exchange sends one request about a job.
func (s *Sandbox) exchange(ctx context.Context, method, name string, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.jobURL(name), bytes.NewReader(body))
	if err != nil {
		return nil, &policy.PermanentError{Err: errors.New(s.hide.text(err.Error()))}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", s.o.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return exchange(s.o.Client, req, maxAnswer, s.hide)
}

func (s *Sandbox) jobURL(name string) string {
	u := s.base.JoinPath("jobs", name)
	q := u.Query()
	q.Set("api-version", armAPIVersion)
	u.RawQuery = q.Encode()
	return u.String()
}

// read takes a job out of a successful answer.
func (s *Sandbox) read(ans *answer, name string) (azureml.Job, error) {
	if !ans.ok() {
		return azureml.Job{}, statusError(ans, s.base, s.o.Now(), s.hide)
	}
	var j job
	if err := json.Unmarshal(ans.body, &j); err != nil {
		return azureml.Job{}, fmt.Errorf("%s answered %d with something that is not a job: %w", place(s.base), ans.status, err)
	}
	link := shownLink(j.Properties.Services.Studio.Endpoint)
	if link == "" {
		shown := url.URL{Scheme: s.base.Scheme, Host: s.base.Host, Path: s.base.JoinPath("jobs", name).Path}
		link = shown.String()
	}
	return azureml.Job{Name: name, Tags: j.Properties.Tags, Studio: link}, nil
}

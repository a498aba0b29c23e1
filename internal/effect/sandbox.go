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
	base *url.URL
	o    SandboxOptions
	hide redactor
}

// NewSandbox checks the options.
func NewSandbox(o SandboxOptions) (*Sandbox, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	secrets := urlSecrets(&url.URL{User: u.User, RawQuery: u.RawQuery})
	return &Sandbox{base: u, o: o, hide: newRedactor(secrets...)}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (s *Sandbox) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	if a.Type != policy.Retrain {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("a sandbox target can't perform %q: it takes retrain actions", a.Type)}
	}
	name, err := jobName(a.Key)
	if err != nil {
		return policy.Outcome{}, err
	}
	switch found, err := s.find(ctx, name); {
	case err != nil:
		return policy.Outcome{}, err
	case found != nil && found.origin() != a.ID:
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("%s has a job %s that is not of this action (its tag %s is %q)", place(s.base), name, originTag, found.origin())}
	case found != nil:
		return s.outcome(name, found, "found job "+name+" submitted before"), nil
	}
	made, err := s.submit(ctx, name, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	return s.outcome(name, made, "submitted job "+name), nil
}

// find reads the job with this name; nil when there is none.
func (s *Sandbox) find(ctx context.Context, name string) (*job, error) {
	ans, err := s.exchange(ctx, http.MethodGet, name, nil)
	if err != nil || ans.status == http.StatusNotFound {
		return nil, err
	}
	return s.read(ans)
}

// submit creates the job.
func (s *Sandbox) submit(ctx context.Context, name string, a policy.Action) (*job, error) {
	body, err := json.Marshal(newJob(&s.o, a))
	if err != nil {
		return nil, &policy.PermanentError{Err: fmt.Errorf("action %s: its job can't be written as JSON: %w", a.Key, err)}
	}
	ans, err := s.exchange(ctx, http.MethodPut, name, body)
	if err != nil {
		return nil, err
	}
	if ans.status == http.StatusConflict {
		// Somebody created it since we looked: look again next time.
		return nil, fmt.Errorf("%s already has a job %s", place(s.base), name)
	}
	return s.read(ans)
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
	return exchange(s.o.Client, req, s.hide)
}

func (s *Sandbox) jobURL(name string) string {
	u := s.base.JoinPath("jobs", name)
	q := u.Query()
	q.Set("api-version", armAPIVersion)
	u.RawQuery = q.Encode()
	return u.String()
}

// read takes a job out of a successful answer.
func (s *Sandbox) read(ans *answer) (*job, error) {
	if !ans.ok() {
		return nil, statusError(ans, s.base, s.o.Now(), s.hide)
	}
	var j job
	if err := json.Unmarshal(ans.body, &j); err != nil {
		return nil, fmt.Errorf("%s answered %d with something that is not a job: %w", place(s.base), ans.status, err)
	}
	return &j, nil
}

// outcome names the run, so that its events end the action, and where a
// person can watch it.
func (s *Sandbox) outcome(name string, j *job, summary string) policy.Outcome {
	link := j.Properties.Services.Studio.Endpoint
	if u, err := parseURL(link); err != nil || u.User != nil {
		shown := url.URL{Scheme: s.base.Scheme, Host: s.base.Host, Path: s.base.JoinPath("jobs", name).Path}
		link = shown.String()
	}
	return policy.Outcome{Summary: summary, URL: link, Run: name}
}

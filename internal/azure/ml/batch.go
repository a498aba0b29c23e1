package ml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
)

// InvokeBatch implements azureml.Operator ("Create jobs and input data for
// batch endpoints", Microsoft Learn). The service may name the job itself, so
// an earlier one is looked for by name and by its origin tag.
func (c *Client) InvokeBatch(ctx context.Context, ws event.Workspace, spec azureml.BatchSpec) (azureml.Job, bool, error) {
	doing := "invoke batch endpoint " + spec.Endpoint
	p, err := c.at(ws)
	if err != nil {
		return azureml.Job{}, false, fault(doing, err)
	}
	job, found, err := c.earlier(ctx, p, spec)
	if found || err != nil {
		return job, false, fault(doing, err)
	}
	name, err := c.invoke(ctx, p, spec)
	if err != nil {
		return azureml.Job{}, false, fault(doing, err)
	}
	// The answer names the job; that it can't be read yet does not undo it.
	if job, err = c.job(ctx, p, name); err != nil {
		job = azureml.Job{Name: name, Status: "NotStarted", Tags: spec.Tags}
	}
	return job, true, nil
}

// earlierPages bounds the search for a run that was started before: it would
// be among the newest.
const earlierPages = 5

// earlier finds the run of an attempt whose answer was lost.
func (c *Client) earlier(ctx context.Context, p place, spec azureml.BatchSpec) (azureml.Job, bool, error) {
	job, err := c.job(ctx, p, spec.Name)
	if err == nil || !isNotFound(err) {
		return job, err == nil, err
	}
	origin := spec.Tags[event.OriginTag]
	if origin == "" {
		return job, false, nil
	}
	options := &armmachinelearning.JobsClientListOptions{Tag: to.Ptr(event.OriginTag)} // the filter is documented for keys alone
	cursor := ""
	for range earlierPages {
		list, err := page[jobResource](ctx, c, p.clients.NewJobsClient().NewListPager(p.group, p.name, options), cursor)
		if err != nil {
			return job, false, err
		}
		for i := range list.Value {
			if list.Value[i].Properties.Tags[event.OriginTag] == origin {
				return list.Value[i].job(p), true, nil
			}
		}
		if cursor = list.NextLink; cursor == "" {
			break
		}
	}
	return job, false, nil
}

// invocation is the body of a request to a batch endpoint.
type invocation struct {
	Properties struct {
		Name      string                `json:"Name"`
		InputData map[string]batchInput `json:"InputData"`
		Tags      map[string]string     `json:"Tags,omitempty"`
	} `json:"properties"`
}

type batchInput struct {
	JobInputType string `json:"JobInputType"`
	URI          string `json:"Uri,omitempty"`
	Value        string `json:"Value,omitempty"`
}

func (c *Client) invoke(ctx context.Context, p place, spec azureml.BatchSpec) (job string, err error) {
	address, err := c.scoringURI(ctx, p, spec.Endpoint)
	if err != nil {
		return "", err
	}
	body := invocation{}
	body.Properties.Name, body.Properties.Tags = spec.Name, spec.Tags
	if body.Properties.InputData, err = c.batchInputs(ctx, p, spec.Inputs); err != nil {
		return "", err
	}
	req, err := runtime.NewRequest(ctx, http.MethodPost, address)
	if err != nil {
		return "", err
	}
	if err := runtime.MarshalAsJSON(req, body); err != nil {
		return "", err
	}
	if spec.Deployment != "" {
		req.Raw().Header.Set("azureml-model-deployment", spec.Deployment)
	}
	answer, err := c.scoring.Do(req)
	if err != nil {
		return "", err
	}
	return startedJob(answer)
}

// startedJob reads the job's name out of a batch endpoint's answer.
func startedJob(answer *http.Response) (string, error) {
	if !runtime.HasStatusCode(answer, http.StatusOK, http.StatusCreated, http.StatusAccepted) {
		return "", runtime.NewResponseError(answer)
	}
	body, err := runtime.Payload(answer)
	if err != nil {
		return "", err
	}
	var job struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(body, &job); err != nil {
		return "", fmt.Errorf("the endpoint's answer: %w", err)
	}
	if job.Name == "" {
		return "", errors.New("the endpoint's answer names no job")
	}
	return job.Name, nil
}

func (c *Client) scoringURI(ctx context.Context, p place, endpoint string) (string, error) {
	got, err := p.clients.NewBatchEndpointsClient().Get(ctx, p.group, p.name, endpoint, nil)
	if err != nil {
		return "", err
	}
	if got.Properties == nil || got.Properties.ScoringURI == nil {
		return "", errors.New("the batch endpoint has no scoring URI yet")
	}
	address := *got.Properties.ScoringURI
	if !strings.HasPrefix(address, "https://") && !c.plain {
		return "", notUnderstood(errors.New("the batch endpoint's scoring URI is not https"))
	}
	return address, nil
}

// batchInputs are the inputs in the endpoint's own words.
func (c *Client) batchInputs(ctx context.Context, p place, inputs map[string]any) (map[string]batchInput, error) {
	out := make(map[string]batchInput, len(inputs))
	for name, value := range inputs {
		in, err := c.input(ctx, p, value)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		switch in := in.(type) {
		case *armmachinelearning.LiteralJobInput:
			out[name] = batchInput{JobInputType: "Literal", Value: *in.Value}
		case *armmachinelearning.URIFileJobInput:
			out[name] = batchInput{JobInputType: "UriFile", URI: p.assetURI(*in.URI)}
		case *armmachinelearning.MLTableJobInput:
			out[name] = batchInput{JobInputType: "MLTable", URI: p.assetURI(*in.URI)}
		case *armmachinelearning.URIFolderJobInput:
			out[name] = batchInput{JobInputType: "UriFolder", URI: p.assetURI(*in.URI)}
		}
	}
	return out, nil
}

// assetURI is the full address of a data asset version, which batch endpoints
// ask for.
func (p place) assetURI(uri string) string {
	if strings.Contains(uri, "://") {
		return uri
	}
	return "azureml:" + p.long("data", uri)
}

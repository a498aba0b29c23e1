package ml

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// endpointResource is an online endpoint as ARM has it ("Online Endpoints",
// Azure Machine Learning REST API).
type endpointResource struct {
	Name       string            `json:"name"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		ProvisioningState string         `json:"provisioningState"`
		Traffic           map[string]int `json:"traffic"`
		ScoringURI        string         `json:"scoringUri"`
	} `json:"properties"`
}

// deploymentResource is one of its deployments.
type deploymentResource struct {
	Name       string            `json:"name"`
	Tags       map[string]string `json:"tags"`
	SystemData systemData        `json:"systemData"`
	Properties struct {
		ProvisioningState string `json:"provisioningState"`
		Model             string `json:"model"`
		InstanceType      string `json:"instanceType"`
	} `json:"properties"`
}

func (r *deploymentResource) deployment() azureml.Deployment {
	return azureml.Deployment{
		Name: r.Name, State: r.Properties.ProvisioningState, Model: modelRef(r.Properties.Model),
		Instance: r.Properties.InstanceType, Tags: r.Tags,
		Created: r.SystemData.CreatedAt, LastModified: r.SystemData.LastModifiedAt,
	}
}

// Endpoint implements azureml.Source.
func (c *Client) Endpoint(ctx context.Context, ws event.Workspace, name string) (azureml.Endpoint, error) {
	doing := "read endpoint " + name
	p, err := c.at(ws)
	if err != nil {
		return azureml.Endpoint{}, fault(doing, err)
	}
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewOnlineEndpointsClient().Get(ctx, p.group, p.name, name, nil)
		return err
	})
	if err != nil {
		return azureml.Endpoint{}, fault(doing, err)
	}
	var r endpointResource
	if err := json.Unmarshal(body, &r); err != nil {
		return azureml.Endpoint{}, fault(doing, fmt.Errorf("an endpoint: %w", err))
	}
	out, err := c.withDeployments(ctx, p, &r)
	return out, fault(doing, err)
}

// Endpoints implements azureml.Lister.
func (c *Client) Endpoints(ctx context.Context, ws event.Workspace, cursor string) ([]azureml.Endpoint, string, error) {
	const doing = "list endpoints"
	p, err := c.at(ws)
	if err != nil {
		return nil, "", fault(doing, err)
	}
	list, err := page[endpointResource](ctx, c, p.clients.NewOnlineEndpointsClient().NewListPager(p.group, p.name, nil), cursor)
	if err != nil {
		return nil, "", fault(doing, err)
	}
	out := make([]azureml.Endpoint, 0, len(list.Value))
	for i := range list.Value {
		e, err := c.withDeployments(ctx, p, &list.Value[i])
		if isNotFound(err) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, "", fault(doing, err)
		}
		out = append(out, e)
	}
	return out, list.NextLink, nil
}

// maxDeployments is above Azure's own limit for one endpoint (20, "Manage
// resources and quotas", Microsoft Learn).
const maxDeployments = 200

func (c *Client) withDeployments(ctx context.Context, p place, r *endpointResource) (azureml.Endpoint, error) {
	out := azureml.Endpoint{
		Name: r.Name, State: r.Properties.ProvisioningState, Traffic: r.Properties.Traffic,
		Tags: r.Tags, ScoringURI: r.Properties.ScoringURI,
	}
	for cursor := ""; len(out.Deployments) < maxDeployments; {
		pager := p.clients.NewOnlineDeploymentsClient().NewListPager(p.group, p.name, r.Name, nil)
		list, err := page[deploymentResource](ctx, c, pager, cursor)
		if err != nil {
			return out, err
		}
		for i := range list.Value {
			out.Deployments = append(out.Deployments, list.Value[i].deployment())
		}
		if cursor = list.NextLink; cursor == "" {
			break
		}
	}
	return out, nil
}

// SetTraffic implements azureml.Operator. Endpoints have no ETag that guards a
// write: between our look and our write another's may be lost, which the look
// afterwards can't tell from its coming later. Azure refuses a change while
// another is under way.
func (c *Client) SetTraffic(ctx context.Context, ws event.Workspace, endpoint string, saw, want map[string]int) error {
	doing := "set the traffic of endpoint " + endpoint
	p, err := c.at(ws)
	if err != nil {
		return fault(doing, err)
	}
	client := p.clients.NewOnlineEndpointsClient()
	got, err := client.Get(ctx, p.group, p.name, endpoint, nil)
	if err != nil {
		return fault(doing, err)
	}
	has := traffic(got.OnlineEndpoint)
	switch settled := isSettled(got.OnlineEndpoint); {
	case maps.Equal(has, share(want)) && settled:
		return nil // by an attempt whose answer was lost
	case !settled:
		return fault(doing, fmt.Errorf("another change of it is under way: %w", lineage.ErrConflict))
	case !maps.Equal(has, share(saw)):
		return fault(doing, fmt.Errorf("its traffic is %v: %w", has, lineage.ErrConflict))
	}
	if err := c.putTraffic(ctx, p, client, got.OnlineEndpoint, want); err != nil {
		return fault(doing, err)
	}
	got, err = client.Get(ctx, p.group, p.name, endpoint, nil)
	if err == nil && !maps.Equal(traffic(got.OnlineEndpoint), share(want)) {
		err = fmt.Errorf("its traffic is %v after the change: %w", traffic(got.OnlineEndpoint), lineage.ErrConflict)
	}
	return fault(doing, err)
}

// putTraffic writes the endpoint back as it was read, but for the traffic:
// Azure's partial update changes only identity and tags.
func (c *Client) putTraffic(ctx context.Context, p place, client *armmachinelearning.OnlineEndpointsClient, e armmachinelearning.OnlineEndpoint, want map[string]int) error {
	e.Properties.Traffic = make(map[string]*int32, len(want))
	for name, percent := range share(want) {
		e.Properties.Traffic[name] = to.Ptr(int32(percent))
	}
	poller, err := client.BeginCreateOrUpdate(ctx, p.group, p.name, *e.Name, e, nil)
	if err != nil {
		return err
	}
	_, err = poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: c.o.PollEvery})
	return err
}

// isSettled says whether no change of the endpoint is under way.
func isSettled(e armmachinelearning.OnlineEndpoint) bool {
	if e.Properties == nil || e.Properties.ProvisioningState == nil {
		return true
	}
	switch *e.Properties.ProvisioningState {
	case armmachinelearning.EndpointProvisioningStateSucceeded, armmachinelearning.EndpointProvisioningStateFailed,
		armmachinelearning.EndpointProvisioningStateCanceled:
		return true
	}
	return false
}

// traffic is an endpoint's traffic; deployments without any are left out.
func traffic(e armmachinelearning.OnlineEndpoint) map[string]int {
	out := map[string]int{}
	if e.Properties != nil {
		for name, percent := range e.Properties.Traffic {
			if percent != nil && *percent != 0 {
				out[name] = int(*percent)
			}
		}
	}
	return out
}

// share leaves out what gets no traffic, so that both ways to say so compare.
func share(t map[string]int) map[string]int {
	out := maps.Clone(t)
	maps.DeleteFunc(out, func(_ string, percent int) bool { return percent == 0 })
	return out
}

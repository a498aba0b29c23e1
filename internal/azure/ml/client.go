package ml

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
)

// Options configure a Client.
type Options struct {
	// Credential is who asks. It may be nil only where Endpoint is plain HTTP
	// on loopback, which is a simulated workspace.
	Credential azcore.TokenCredential
	// Endpoint is ARM's base URL. Defaults to the public cloud's.
	Endpoint string
	// Tracking gives the base URL of a workspace's MLflow tracking server from
	// its region and ARM id, for networks where it has another name. Defaults
	// to what the workspace resource says (mlFlowTrackingUri), else to
	// https://<region>.api.azureml.ms/mlflow/v1.0<id>.
	Tracking func(region, workspaceID string) string
	// PollEvery is how often a long-running change is looked at where the
	// service does not say; at least a second. Defaults to 5 s.
	PollEvery time.Duration
	// Transport is for tests. Defaults to HTTP.
	Transport policy.Transporter
	// Logger defaults to none.
	Logger *zap.Logger
}

// Client asks and changes Azure Machine Learning workspaces. It implements
// azureml.Source, azureml.Lister and azureml.Operator.
type Client struct {
	o     Options
	arm   *arm.ClientOptions
	plain bool // plain HTTP on loopback
	// data reaches the MLflow server and the run history, scoring batch
	// endpoints: same bearer, another audience.
	data, scoring runtime.Pipeline

	mu        sync.Mutex
	factories map[string]*armmachinelearning.ClientFactory
	tracking  map[string]string
}

var (
	_ azureml.Source   = (*Client)(nil)
	_ azureml.Lister   = (*Client)(nil)
	_ azureml.Operator = (*Client)(nil)
)

// maxKnown bounds what is remembered of subscriptions and workspaces.
const maxKnown = 256

// scoringScope is the audience of batch endpoints ("Authorization on batch
// endpoints", Microsoft Learn).
const scoringScope = "https://ml.azure.com/.default"

// New checks the options; it asks nobody yet.
func New(o Options) (*Client, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.PollEvery <= 0 {
		o.PollEvery = 5 * time.Second
	}
	service := cloud.AzurePublic.Services[cloud.ResourceManager]
	if o.Endpoint == "" {
		o.Endpoint = service.Endpoint
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("azure ml: the endpoint must be a URL such as https://management.azure.com")
	}
	plain := u.Scheme == "http" && isLoopback(u.Hostname())
	switch {
	case u.Scheme != "https" && !plain:
		return nil, fmt.Errorf("azure ml: the endpoint %s://%s must be https: only a loopback address may do without", u.Scheme, u.Host)
	case o.Credential == nil && !plain:
		return nil, errors.New("azure ml: a credential is needed")
	case o.Credential == nil:
		o.Credential = anonymous{}
	}
	o.Endpoint = strings.TrimSuffix(o.Endpoint, "/")
	c := &Client{o: o, plain: plain, factories: map[string]*armmachinelearning.ClientFactory{}, tracking: map[string]string{}}
	c.connect()
	return c, nil
}

// connect prepares the pipelines. Retries are the caller's: nothing here
// repeats a request.
func (c *Client) connect() {
	client := policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: cloud.AzurePublic.ActiveDirectoryAuthorityHost,
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: c.service()},
		},
		InsecureAllowCredentialWithHTTP: c.plain,
		Retry:                           policy.RetryOptions{MaxRetries: -1},
		Telemetry:                       policy.TelemetryOptions{ApplicationID: "modelwarden"},
		Transport:                       c.o.Transport,
	}
	if client.Transport == nil {
		client.Transport = &http.Client{Transport: boundedBodies{http.DefaultTransport}}
	}
	c.arm = &arm.ClientOptions{ClientOptions: client, DisableRPRegistration: true}
	c.data = c.pipeline(client, c.service().Audience+"/.default")
	c.scoring = c.pipeline(client, scoringScope)
}

// service is where ARM answers and for whom its tokens are. The sovereign
// clouds' audiences differ from their endpoints.
func (c *Client) service() cloud.ServiceConfiguration {
	for _, known := range []cloud.Configuration{cloud.AzurePublic, cloud.AzureGovernment, cloud.AzureChina} {
		s := known.Services[cloud.ResourceManager]
		if strings.EqualFold(strings.TrimSuffix(s.Endpoint, "/"), c.o.Endpoint) {
			s.Audience = strings.TrimSuffix(s.Audience, "/")
			return s
		}
	}
	return cloud.ServiceConfiguration{Endpoint: c.o.Endpoint, Audience: c.o.Endpoint}
}

func (c *Client) pipeline(client policy.ClientOptions, scope string) runtime.Pipeline {
	bearer := runtime.NewBearerTokenPolicy(c.o.Credential, []string{scope},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: c.plain})
	return runtime.NewPipeline("modelwarden", "v1", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &client)
}

// place is a workspace's ARM address.
type place struct {
	subscription, group, name string
	clients                   *armmachinelearning.ClientFactory
}

// id is the workspace's ARM id.
func (p place) id() string {
	return "/subscriptions/" + p.subscription + "/resourceGroups/" + p.group +
		"/providers/Microsoft.MachineLearningServices/workspaces/" + p.name
}

// at finds the clients for a workspace.
func (c *Client) at(ws event.Workspace) (place, error) {
	id, err := arm.ParseResourceID(ws.ID)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.MachineLearningServices/workspaces") {
		return place{}, notUnderstood(fmt.Errorf("workspace %q has no ARM id of a workspace: %q", ws.Alias, ws.ID))
	}
	p := place{subscription: id.SubscriptionID, group: id.ResourceGroupName, name: id.Name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.factories[p.subscription]; f != nil {
		p.clients = f
		return p, nil
	}
	p.clients, err = armmachinelearning.NewClientFactory(p.subscription, c.o.Credential, c.arm)
	if err != nil {
		return place{}, notUnderstood(err)
	}
	if len(c.factories) >= maxKnown {
		clear(c.factories)
	}
	c.factories[p.subscription] = p.clients
	return p, nil
}

// read makes one request through the SDK and gives the bytes of the answer,
// and its status.
func read(ctx context.Context, ask func(context.Context) error) (body []byte, status int, err error) {
	var answer *http.Response
	if err := ask(policy.WithCaptureResponse(ctx, &answer)); err != nil {
		return nil, 0, err
	}
	body, err = runtime.Payload(answer)
	return body, answer.StatusCode, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// anonymous is the credential for a simulated workspace, which looks at none.
type anonymous struct{}

// GetToken implements azcore.TokenCredential.
func (anonymous) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "anonymous", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

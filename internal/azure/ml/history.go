package ml

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/azureml"
)

// runDetails is what the run history service knows of a run besides MLflow.
type runDetails struct {
	StartTimeUTC time.Time `json:"startTimeUtc"`
	EndTimeUTC   time.Time `json:"endTimeUtc"`
	Error        struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	} `json:"error"`
}

// outcome adds when a job ran and why it failed. The run history is the
// service behind Azure's own studio and command line and promises nothing to
// others: that it does not answer costs these fields and is no error.
func (c *Client) outcome(ctx context.Context, p place, job *azureml.Job) {
	var d runDetails
	err := c.details(ctx, p, job, &d)
	if err != nil {
		c.o.Logger.Debug("the run history does not answer", zap.String("job", job.Name), zap.String("error", bare(err)))
		return
	}
	job.Started, job.Ended = d.StartTimeUTC, d.EndTimeUTC
	if job.Status != "Completed" {
		job.Error = cmp.Or(job.Error, clip(d.Error.Error.Message, maxError))
	}
}

func (c *Client) details(ctx context.Context, p place, job *azureml.Job, d *runDetails) error {
	base, err := c.trackingURL(ctx, p)
	if err != nil {
		return err
	}
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	return c.fetch(ctx, u.Scheme+"://"+u.Host+"/history/v1.0"+p.id()+"/experiments/"+
		url.PathEscape(job.Experiment)+"/runs/"+url.PathEscape(job.Name)+"/details", d)
}

// fetch reads JSON from the workspace's data plane.
func (c *Client) fetch(ctx context.Context, address string, into any) error {
	req, err := runtime.NewRequest(ctx, http.MethodGet, address)
	if err != nil {
		return err
	}
	req.Raw().Header.Set("Accept", "application/json")
	answer, err := c.data.Do(req)
	if err != nil {
		return err
	}
	if !runtime.HasStatusCode(answer, http.StatusOK) {
		return runtime.NewResponseError(answer)
	}
	body, err := runtime.Payload(answer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer is not what was asked for: %w", err)
	}
	return nil
}

// trackingURL is where a workspace's MLflow server is, without a slash at the
// end. It is asked for once.
func (c *Client) trackingURL(ctx context.Context, p place) (string, error) {
	c.mu.Lock()
	known := c.tracking[p.id()]
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewWorkspacesClient().Get(ctx, p.group, p.name, nil)
		return err
	})
	if err != nil {
		return "", err
	}
	found, err := c.trackingOf(p, body)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tracking) >= maxKnown {
		clear(c.tracking)
	}
	c.tracking[p.id()] = found
	return found, nil
}

func (c *Client) trackingOf(p place, body []byte) (string, error) {
	var ws struct {
		Location   string `json:"location"`
		Properties struct {
			MLFlowTrackingURI string `json:"mlFlowTrackingUri"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(body, &ws); err != nil {
		return "", fmt.Errorf("the workspace: %w", err)
	}
	found := ws.Properties.MLFlowTrackingURI
	if rest, ok := strings.CutPrefix(found, "azureml://"); ok {
		found = "https://" + rest
	}
	switch {
	case c.o.Tracking != nil:
		found = c.o.Tracking(ws.Location, p.id())
	case found == "" && ws.Location != "":
		found = "https://" + ws.Location + ".api.azureml.ms/mlflow/v1.0" + p.id()
	}
	if !strings.HasPrefix(found, "https://") && !(c.plain && strings.HasPrefix(found, "http://")) {
		return "", fmt.Errorf("the workspace %s names no https address of its MLflow server", p.name)
	}
	return strings.TrimSuffix(found, "/"), nil
}

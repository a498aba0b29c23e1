package ml

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/url"
	"strings"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
)

// runResource is a run as MLflow's REST API has it
// (https://mlflow.org/docs/latest/rest-api.html, "Get Run").
type runResource struct {
	Run struct {
		Info struct {
			RunID        string `json:"run_id"`
			ExperimentID string `json:"experiment_id"`
			Status       string `json:"status"`
		} `json:"info"`
		Data struct {
			Metrics []struct {
				Key   string `json:"key"`
				Value number `json:"value"`
			} `json:"metrics"`
			Params, Tags []pair
		} `json:"data"`
	} `json:"run"`
}

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// number is a metric's value. JSON has no NaN and no infinities: MLflow writes
// those as strings, and they come out as NaN here.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && (b[0] == '"' || b[0] == 'n') {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// Run implements azureml.Source.
func (c *Client) Run(ctx context.Context, ws event.Workspace, id string) (azureml.Run, error) {
	doing := "read run " + id
	p, err := c.at(ws)
	if err != nil {
		return azureml.Run{}, fault(doing, err)
	}
	base, err := c.trackingURL(ctx, p)
	if err != nil {
		return azureml.Run{}, fault(doing, err)
	}
	run, err := c.run(ctx, base, id)
	return run, fault(doing, err)
}

func (c *Client) run(ctx context.Context, base, id string) (azureml.Run, error) {
	var r runResource
	err := c.fetch(ctx, base+"/api/2.0/mlflow/runs/get?"+url.Values{"run_id": {id}}.Encode(), &r)
	if err != nil {
		return azureml.Run{}, err
	}
	info, data := r.Run.Info, r.Run.Data
	out := azureml.Run{
		ID: cmp.Or(info.RunID, id), Experiment: info.ExperimentID, Status: info.Status,
		Metrics: make(map[string]float64, len(data.Metrics)), Params: texts(data.Params), Tags: texts(data.Tags),
	}
	for _, m := range data.Metrics {
		if v := float64(m.Value); !math.IsNaN(v) && !math.IsInf(v, 0) && math.Abs(v) < math.MaxFloat64 {
			out.Metrics[strings.TrimSpace(m.Key)] = v
		}
	}
	return out, nil
}

func texts(pairs []pair) map[string]string {
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		out[p.Key] = p.Value
	}
	return out
}

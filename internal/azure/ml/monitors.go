package ml

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// scheduleResource is a schedule as ARM has it; a model monitor is one whose
// action is CreateMonitor ("Schedules", Azure Machine Learning REST API).
type scheduleResource struct {
	Name       string `json:"name"`
	Properties struct {
		IsEnabled *bool             `json:"isEnabled"`
		Tags      map[string]string `json:"tags"`
		Trigger   struct {
			TriggerType string `json:"triggerType"`
			Frequency   string `json:"frequency"`
			Interval    int64  `json:"interval"`
			Expression  string `json:"expression"`
		} `json:"trigger"`
		Action struct {
			ActionType        string `json:"actionType"`
			MonitorDefinition struct {
				MonitoringTarget struct {
					DeploymentID string `json:"deploymentId"`
					ModelID      string `json:"modelId"`
				} `json:"monitoringTarget"`
				Signals map[string]signalResource `json:"signals"`
			} `json:"monitorDefinition"`
		} `json:"action"`
	} `json:"properties"`
}

// signalResource is a signal of any type. That of a model's performance and of
// generated text came after the SDK's version of the API.
type signalResource struct {
	SignalType string `json:"signalType"`
	// Thresholds are a list, but one object for feature attribution.
	Thresholds json.RawMessage `json:"metricThresholds"`
	Threshold  json.RawMessage `json:"metricThreshold"`
}

type thresholdResource struct {
	Metric    string `json:"metric"`
	Threshold *struct {
		Value *float64 `json:"value"`
	} `json:"threshold"`
}

// Monitor implements azureml.Source. A schedule that is no monitor is not
// found.
func (c *Client) Monitor(ctx context.Context, ws event.Workspace, name string) (azureml.Monitor, error) {
	doing := "read monitor " + name
	p, err := c.at(ws)
	if err != nil {
		return azureml.Monitor{}, fault(doing, err)
	}
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewSchedulesClient().Get(ctx, p.group, p.name, name, nil)
		return err
	})
	if err != nil {
		return azureml.Monitor{}, fault(doing, err)
	}
	var r scheduleResource
	if err := json.Unmarshal(body, &r); err != nil {
		return azureml.Monitor{}, fault(doing, fmt.Errorf("a schedule: %w", err))
	}
	if !r.isMonitor() {
		return azureml.Monitor{}, fault(doing, fmt.Errorf("the schedule is no model monitor: %w", lineage.ErrNotFound))
	}
	return r.monitor(), nil
}

// Monitors implements azureml.Lister. Pages may be empty: schedules of other
// kinds are passed over.
func (c *Client) Monitors(ctx context.Context, ws event.Workspace, cursor string) ([]azureml.Monitor, string, error) {
	const doing = "list monitors"
	p, err := c.at(ws)
	if err != nil {
		return nil, "", fault(doing, err)
	}
	list, err := page[scheduleResource](ctx, c, p.clients.NewSchedulesClient().NewListPager(p.group, p.name, nil), cursor)
	if err != nil {
		return nil, "", fault(doing, err)
	}
	var out []azureml.Monitor
	for i := range list.Value {
		if list.Value[i].isMonitor() {
			out = append(out, list.Value[i].monitor())
		}
	}
	return out, list.NextLink, nil
}

func (r *scheduleResource) isMonitor() bool {
	return strings.EqualFold(r.Properties.Action.ActionType, "CreateMonitor")
}

func (r *scheduleResource) monitor() azureml.Monitor {
	s := &r.Properties
	target := s.Action.MonitorDefinition.MonitoringTarget
	out := azureml.Monitor{
		Name: r.Name, Enabled: s.IsEnabled == nil || *s.IsEnabled, Tags: s.Tags, Cron: s.Trigger.Expression,
		Every: window(s.Trigger.Frequency, s.Trigger.Interval), Model: modelRef(target.ModelID),
	}
	out.Endpoint, out.Deployment = deploymentRef(target.DeploymentID)
	signals := s.Action.MonitorDefinition.Signals
	for _, name := range slices.Sorted(maps.Keys(signals)) {
		signal := signals[name]
		out.Signals = append(out.Signals, azureml.Signal{Name: name, Type: snake(signal.SignalType), Thresholds: signal.thresholds()})
	}
	return out
}

func (s *signalResource) thresholds() []azureml.Threshold {
	var list []thresholdResource
	for _, raw := range []json.RawMessage{s.Thresholds, s.Threshold} {
		var one thresholdResource
		if json.Unmarshal(raw, &list) == nil {
			break
		}
		if json.Unmarshal(raw, &one) == nil && one.Metric != "" {
			list = append(list, one)
		}
	}
	out := make([]azureml.Threshold, 0, len(list))
	for _, t := range list {
		found := azureml.Threshold{Metric: t.Metric}
		if t.Threshold != nil {
			found.Value = t.Threshold.Value
		}
		out = append(out, found)
	}
	return out
}

// deploymentRef reads azureml:<endpoint>:<deployment>, or an ARM id.
func deploymentRef(link string) (endpoint, deployment string) {
	if strings.Contains(link, "/") {
		return segment(link, "onlineEndpoints"), segment(link, "deployments")
	}
	endpoint, deployment, _ = strings.Cut(strings.TrimPrefix(link, "azureml:"), ":")
	return endpoint, deployment
}

// window is the length of a recurrence; a month counts as 30 days.
func window(frequency string, interval int64) time.Duration {
	const day = 24 * time.Hour
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": day, "week": 7 * day, "month": 30 * day}
	if interval < 1 || interval > 1000 {
		return 0
	}
	return time.Duration(interval) * unit[strings.ToLower(frequency)]
}

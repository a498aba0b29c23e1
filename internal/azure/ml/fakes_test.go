package ml_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	arm "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4/fake"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const wsID = "/subscriptions/5f0c1e2a/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/contoso"

var contoso = event.Workspace{Alias: "contoso", ID: strings.ToLower(wsID)}

// faked is a client before the SDK's own fakes.
func faked(t *testing.T, servers fake.ServerFactory) *ml.Client {
	t.Helper()
	return must[*ml.Client](t)(ml.New(ml.Options{Credential: &azfake.TokenCredential{}, Transport: fake.NewServerFactoryTransport(&servers)}))
}

func job(t *testing.T, properties arm.JobBasePropertiesClassification) azureml.Job {
	t.Helper()
	c := faked(t, fake.ServerFactory{JobsServer: fake.JobsServer{
		Get: func(_ context.Context, _, _, id string, _ *arm.JobsClientGetOptions) (r azfake.Responder[arm.JobsClientGetResponse], e azfake.ErrorResponder) {
			r.SetResponse(http.StatusOK, arm.JobsClientGetResponse{JobBase: arm.JobBase{Name: &id, Properties: properties}}, nil)
			return r, e
		},
	}})
	return must[azureml.Job](t)(c.Job(t.Context(), contoso, "j"))
}

func TestEveryTypeOfJobTellsWhatItRuns(t *testing.T) {
	code, environment := to.Ptr(wsID+"/codes/c0de/versions/1"), to.Ptr(wsID+"/environments/sklearn/versions/5")
	running := to.Ptr(arm.JobStatusRunning)
	tests := map[string]arm.JobBasePropertiesClassification{
		"command": &arm.CommandJob{JobType: to.Ptr(arm.JobTypeCommand), Status: running, CodeID: code, EnvironmentID: environment, Command: to.Ptr("x")},
		"spark":   &arm.SparkJob{JobType: to.Ptr(arm.JobTypeSpark), Status: running, CodeID: code, EnvironmentID: environment},
		"sweep": &arm.SweepJob{JobType: to.Ptr(arm.JobTypeSweep), Status: running,
			Trial: &arm.TrialComponent{Command: to.Ptr("x"), CodeID: code, EnvironmentID: environment}},
	}
	for kind, properties := range tests {
		if got := job(t, properties); got.Type != kind || got.Status != "Running" || got.Code != "azureml:c0de:1" || got.Environment != "azureml:sklearn:5" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	if got := job(t, &arm.PipelineJob{JobType: to.Ptr(arm.JobTypePipeline)}); got.Status != "" || got.IsEnded() {
		t.Errorf("a job without a status: %+v", got)
	}
}

func TestAStepNamesItsPipeline(t *testing.T) {
	step := job(t, &arm.CommandJob{JobType: to.Ptr(arm.JobTypeCommand), Properties: map[string]*string{"azureml.pipelinerunid": to.Ptr("root")}})
	root := job(t, &arm.PipelineJob{JobType: to.Ptr(arm.JobTypePipeline), Properties: map[string]*string{"azureml.rootpipelinerunid": to.Ptr("j")}})
	if step.Parent != "root" || root.Parent != "" {
		t.Errorf("parents %q and %q", step.Parent, root.Parent)
	}
}

func TestSchedulesOfEveryForm(t *testing.T) {
	threshold := &arm.MonitoringThreshold{Value: to.Ptr(0.7)}
	schedules := map[string]arm.ScheduleProperties{
		"monitor": {
			IsEnabled: to.Ptr(false),
			Trigger:   &arm.CronTrigger{TriggerType: to.Ptr(arm.TriggerTypeCron), Expression: to.Ptr("0 3 * * *")},
			Action: &arm.CreateMonitorAction{ActionType: to.Ptr(arm.ScheduleActionTypeCreateMonitor), MonitorDefinition: &arm.MonitorDefinition{
				MonitoringTarget: &arm.MonitoringTarget{ModelID: to.Ptr(wsID + "/models/churn/versions/4"), DeploymentID: to.Ptr(wsID + "/onlineEndpoints/ep/deployments/blue")},
				Signals: map[string]arm.MonitoringSignalBaseClassification{
					"attribution": &arm.FeatureAttributionDriftMonitoringSignal{SignalType: to.Ptr(arm.MonitoringSignalTypeFeatureAttributionDrift),
						MetricThreshold: &arm.FeatureAttributionMetricThreshold{Metric: to.Ptr(arm.FeatureAttributionMetricNormalizedDiscountedCumulativeGain), Threshold: threshold}},
					"custom": &arm.CustomMonitoringSignal{SignalType: to.Ptr(arm.MonitoringSignalTypeCustom),
						MetricThresholds: []*arm.CustomMetricThreshold{{Metric: to.Ptr("latency")}}},
				},
			}},
		},
		"training": {
			Trigger: &arm.RecurrenceTrigger{TriggerType: to.Ptr(arm.TriggerTypeRecurrence), Frequency: to.Ptr(arm.RecurrenceFrequencyWeek), Interval: to.Ptr(int32(2))},
			Action:  &arm.JobScheduleAction{ActionType: to.Ptr(arm.ScheduleActionTypeCreateJob)},
		},
	}
	c := faked(t, fake.ServerFactory{SchedulesServer: fake.SchedulesServer{
		Get: func(_ context.Context, _, _, name string, _ *arm.SchedulesClientGetOptions) (r azfake.Responder[arm.SchedulesClientGetResponse], e azfake.ErrorResponder) {
			r.SetResponse(http.StatusOK, arm.SchedulesClientGetResponse{Schedule: arm.Schedule{Name: &name, Properties: to.Ptr(schedules[name])}}, nil)
			return r, e
		},
	}})
	m := must[azureml.Monitor](t)(c.Monitor(t.Context(), contoso, "monitor"))
	if m.Enabled || m.Cron != "0 3 * * *" || m.Every != 0 || m.Endpoint != "ep" || m.Deployment != "blue" || m.Model != (event.ModelRef{Name: "churn", Version: "4"}) {
		t.Errorf("monitor: %+v", m)
	}
	if len(m.Signals) != 2 || m.Signals[0].Type != "feature_attribution_drift" || len(m.Signals[0].Thresholds) != 1 || *m.Signals[0].Thresholds[0].Value != 0.7 {
		t.Fatalf("signals: %+v", m.Signals)
	}
	if custom := m.Signals[1].Thresholds; len(custom) != 1 || custom[0].Metric != "latency" || custom[0].Value != nil {
		t.Errorf("a threshold without a value: %+v", custom)
	}
	if _, err := c.Monitor(t.Context(), contoso, "training"); !errors.Is(err, lineage.ErrNotFound) {
		t.Errorf("a schedule that is no monitor: %v", err)
	}
}

// TestATagThatAnotherWriteLostIsSetAgain lets another client overwrite what
// was written, as often as lost says.
func TestATagThatAnotherWriteLostIsSetAgain(t *testing.T) {
	for lost, want := range map[int]error{1: nil, 10: lineage.ErrConflict} {
		stored := map[string]*string{"owner": to.Ptr("risk-ml")}
		puts := 0
		c := faked(t, fake.ServerFactory{ModelVersionsServer: fake.ModelVersionsServer{
			Get: func(_ context.Context, _, _, _, version string, _ *arm.ModelVersionsClientGetOptions) (r azfake.Responder[arm.ModelVersionsClientGetResponse], e azfake.ErrorResponder) {
				r.SetResponse(http.StatusOK, arm.ModelVersionsClientGetResponse{ModelVersion: arm.ModelVersion{Name: &version, Properties: &arm.ModelVersionProperties{Tags: stored}}}, nil)
				return r, e
			},
			CreateOrUpdate: func(_ context.Context, _, _, _, _ string, body arm.ModelVersion, _ *arm.ModelVersionsClientCreateOrUpdateOptions) (r azfake.Responder[arm.ModelVersionsClientCreateOrUpdateResponse], e azfake.ErrorResponder) {
				if puts++; puts > lost {
					stored = body.Properties.Tags
				}
				r.SetResponse(http.StatusOK, arm.ModelVersionsClientCreateOrUpdateResponse{ModelVersion: body}, nil)
				return r, e
			},
		}})
		err := c.TagModel(t.Context(), contoso, "churn", "1", map[string]string{"stage": "approved"})
		if !errors.Is(err, want) {
			t.Errorf("%d writes lost: %v, want %v", lost, err, want)
		}
		if want == nil && (stored["stage"] == nil || *stored["owner"] != "risk-ml") {
			t.Errorf("%d writes lost: tags %v", lost, stored)
		}
	}
}

// TestTrafficIsLeftAloneWhileAnotherChangesIt: what is not faked answers with
// an error of its own, so a write would show.
func TestTrafficIsLeftAloneWhileAnotherChangesIt(t *testing.T) {
	for _, state := range []arm.EndpointProvisioningState{arm.EndpointProvisioningStateUpdating, arm.EndpointProvisioningStateCreating} {
		c := faked(t, fake.ServerFactory{OnlineEndpointsServer: fake.OnlineEndpointsServer{
			Get: func(_ context.Context, _, _, name string, _ *arm.OnlineEndpointsClientGetOptions) (r azfake.Responder[arm.OnlineEndpointsClientGetResponse], e azfake.ErrorResponder) {
				r.SetResponse(http.StatusOK, arm.OnlineEndpointsClientGetResponse{OnlineEndpoint: arm.OnlineEndpoint{Name: &name,
					Properties: &arm.OnlineEndpointProperties{ProvisioningState: &state, Traffic: map[string]*int32{"blue": to.Ptr(int32(100))}}}}, nil)
				return r, e
			},
		}})
		blue, green := map[string]int{"blue": 100}, map[string]int{"green": 100}
		for _, want := range []map[string]int{green, blue} {
			if err := c.SetTraffic(t.Context(), contoso, "ep", blue, want); !errors.Is(err, lineage.ErrConflict) {
				t.Errorf("%s, want %v: %v", state, want, err)
			}
		}
	}
}

// refusing is a credential that gives no token and says so at length.
type refusing struct{}

func (refusing) GetToken(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("no managed identity here\nPOST https://login.example/token\nclient_secret=hunter2")
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	c := must[*ml.Client](t)(ml.New(ml.Options{Credential: refusing{}}))
	_, err := c.Job(t.Context(), contoso, "j")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "no managed identity") {
		t.Errorf("got %v", err)
	}
}

func TestAnEndpointWithoutEncryptionIsRefused(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"http://127.0.0.1:8090": true, "http://localhost:8090": true, "https://management.azure.com": true,
		"http://management.azure.com": false, "http://10.0.0.1": false, "https://user:pass@host": false, "management.azure.com": false,
	} {
		if _, err := ml.New(ml.Options{Endpoint: endpoint, Credential: &azfake.TokenCredential{}}); (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if _, err := ml.New(ml.Options{}); err == nil {
		t.Error("the public cloud without a credential")
	}
}

func TestThrottlingIsToldInMillisecondsToo(t *testing.T) {
	c := must[*ml.Client](t)(ml.New(ml.Options{Credential: &azfake.TokenCredential{}, Transport: transport(func(*http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"X-Ms-Retry-After-Ms": {"1500"}}, Body: http.NoBody}
	})}))
	_, err := c.Job(t.Context(), contoso, "j")
	var later *policy.RetryAfterError
	if !errors.As(err, &later) || later.After != 1500*time.Millisecond {
		t.Errorf("got %v", err)
	}
}

type transport func(*http.Request) *http.Response

// Do implements policy.Transporter.
func (f transport) Do(r *http.Request) (*http.Response, error) {
	answer := f(r)
	answer.Request = r
	return answer, nil
}

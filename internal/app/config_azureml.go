package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// AzureMLConfig is what the service may ask Azure Machine Learning and change
// there. Without workspaces it asks nothing.
type AzureMLConfig struct {
	// Workspaces are the ARM ids of those that are asked and looked after.
	Workspaces []string `yaml:"workspaces,omitempty" env:"WORKSPACES"`
	// Endpoint is the address of ARM, for sovereign clouds. Plain http is for
	// a simulated workspace on this machine, which is asked without identity.
	// Defaults to https://management.azure.com.
	Endpoint string `yaml:"endpoint,omitempty" env:"ENDPOINT"`
	// Tracking is the address of the MLflow tracking servers, where {region}
	// and {workspace} (the ARM id) stand for the workspace's. Defaults to what
	// the workspace says.
	Tracking string `yaml:"tracking,omitempty" env:"TRACKING"`
	// WriteBack tags model versions with their stage (modelwarden.stage) and
	// their open review (modelwarden.review). Defaults to false.
	WriteBack bool `yaml:"writeBack,omitempty" env:"WRITE_BACK"`
	// RequestsPerSecond bounds what is asked of one process's workspaces
	// together. Defaults to 10.
	RequestsPerSecond float64 `yaml:"requestsPerSecond,omitempty" env:"REQUESTS_PER_SECOND"`
	// EnrichWait is how long a policy that reads metrics waits for them before
	// it decides without. Defaults to 2m.
	EnrichWait policy.Duration `yaml:"enrichWait,omitempty" env:"ENRICH_WAIT"`
	// ReconcileEvery is the time between two rounds that look for what no
	// event told. Defaults to 15m.
	ReconcileEvery policy.Duration `yaml:"reconcileEvery,omitempty" env:"RECONCILE_EVERY"`
	// Settle is how long a change is left to its own event, which may be on
	// its way. Defaults to 5m.
	Settle policy.Duration `yaml:"settle,omitempty" env:"SETTLE"`
	// Lookback is how far before its first round the reconciler still acts on
	// what it finds; what is older only completes the lineage. Defaults to 24h.
	Lookback policy.Duration `yaml:"lookback,omitempty" env:"LOOKBACK"`
	// MonitorInterval is that of a monitor whose trigger does not say one,
	// MonitorGrace what a monitor may take beyond two of its intervals before
	// its silence becomes a review. Default to 24h and 2h.
	MonitorInterval policy.Duration `yaml:"monitorInterval,omitempty" env:"MONITOR_INTERVAL"`
	MonitorGrace    policy.Duration `yaml:"monitorGrace,omitempty" env:"MONITOR_GRACE"`
}

func (c AzureMLConfig) validate() error {
	var errs []error
	for i, id := range c.Workspaces {
		if c.Workspaces[i] = strings.TrimSpace(id); !isWorkspaceID(c.Workspaces[i]) {
			errs = append(errs, fmt.Errorf("azureML.workspaces[%d]: want an ARM id, /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.MachineLearningServices/workspaces/<name>", i))
		}
	}
	if c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "https://") && !strings.HasPrefix(c.Endpoint, "http://") {
		errs = append(errs, errors.New("azureML.endpoint: want an address that begins with https://"))
	}
	if c.RequestsPerSecond < 0 {
		errs = append(errs, errors.New("azureML.requestsPerSecond: can't be negative"))
	}
	return errors.Join(errs...)
}

func isWorkspaceID(id string) bool {
	parts := strings.Split(strings.ToLower(id), "/")
	return len(parts) == 9 && parts[0] == "" && parts[1] == "subscriptions" && parts[3] == "resourcegroups" && parts[5] == "providers" &&
		parts[6] == "microsoft.machinelearningservices" && parts[7] == "workspaces" && parts[8] != ""
}

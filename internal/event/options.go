package event

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Options say how names are found that events do not carry plainly. A nil list
// stands for the default; an empty one switches its rule off. Keys of tags and
// properties compare without case.
type Options struct {
	// Aliases give workspaces, by ARM resource id in any case, the short name
	// that asset ids carry. Defaults to the workspace's own name.
	Aliases map[string]string
	// ModelJobKeys are the model properties and tags that name the run which
	// produced a version, as a run id or a URI with one in it; the first that
	// yields a run wins, properties before tags. Defaults to
	// DefaultModelJobKeys.
	ModelJobKeys []string
	// DataInputKeys are the run properties and tags that name the data assets
	// a run read. Defaults to DefaultDataInputKeys.
	DataInputKeys []string
	// MonitorExperiments are globs (* and ?) of the experiments that model
	// monitors run in, compared without case: a whole run of one of them
	// without a breach is a pass. Defaults to DefaultMonitorExperiments.
	MonitorExperiments []string
	// MonitorModels give a monitor, as "monitor" or "workspace/monitor"
	// without case, the model it watches. Experiments named here count as
	// monitors' whatever MonitorExperiments says.
	MonitorModels map[string]string
	// MonitorModelKeys are the tags and properties of a monitor's run that
	// name the watched model. Defaults to DefaultMonitorModelKeys.
	MonitorModelKeys []string
}

// DefaultModelJobKeys lists the keys that Azure Machine Learning, MLflow and
// common training code write. Values of the second half are URIs, but either
// form is read under any key.
func DefaultModelJobKeys() []string {
	return []string{
		"azureml.runId", "azureml.jobName", "mlflow.runId", "mlflow.sourceRun",
		"run_id", "runId", "job_name", "jobName",
		"mlflow.modelSourceUri", "mlflow.source", "azureml.modelUri", "azureml.artifactUri",
		"model_uri", "modelUri", "source_uri", "sourceUri",
	}
}

// DefaultDataInputKeys lists the keys under which runs name their data.
func DefaultDataInputKeys() []string {
	return []string{
		"modelwarden.inputs", "azureml.input.training_data", "azureml.inputs", "azureml.dataInputs", "azureml.data",
		"input_data", "inputData", "training_data", "trainingData",
		"data_asset", "dataAsset", "dataset", "training_dataset",
	}
}

// DefaultMonitorExperiments lists the usual ways to name a monitor's
// experiment after its model.
func DefaultMonitorExperiments() []string {
	return []string{
		"*_monitor", "*-monitor", "*_monitoring", "*-monitoring", "*_mon", "*-mon",
		"monitor_*", "monitor-*", "monitoring_*", "monitoring-*",
	}
}

// DefaultMonitorModelKeys lists the keys under which a monitor's run names the
// watched model.
func DefaultMonitorModelKeys() []string {
	return []string{
		"modelwarden.model", "azureml.modelmonitor.model", "azureml.modelName",
		"monitored_model", "monitoredModel", "model_name", "modelName",
	}
}

// DefaultOptions spells the defaults out.
func DefaultOptions() Options {
	return Options{
		ModelJobKeys:       DefaultModelJobKeys(),
		DataInputKeys:      DefaultDataInputKeys(),
		MonitorExperiments: DefaultMonitorExperiments(),
		MonitorModelKeys:   DefaultMonitorModelKeys(),
	}
}

// NewParser checks the options and makes a Parser of them. It keeps nothing of
// what it was given. The error names the option and the entry that is wrong.
func NewParser(o Options) (*Parser, error) {
	p := &Parser{
		modelJobKeys:     newKeyList(orDefault(o.ModelJobKeys, DefaultModelJobKeys)),
		dataInputKeys:    newKeyList(orDefault(o.DataInputKeys, DefaultDataInputKeys)),
		monitorModelKeys: newKeyList(orDefault(o.MonitorModelKeys, DefaultMonitorModelKeys)),
	}
	var err error
	if p.aliases, err = checkAliases(o.Aliases); err != nil {
		return nil, err
	}
	if p.experiments, err = checkGlobs(orDefault(o.MonitorExperiments, DefaultMonitorExperiments)); err != nil {
		return nil, err
	}
	p.monitorModels, err = checkMonitorModels(o.MonitorModels)
	return p, err
}

func orDefault(list []string, def func() []string) []string {
	if list == nil {
		return def()
	}
	return slices.Clone(list)
}

func checkAliases(in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(in))
	owner := make(map[string]string, len(in))
	for armID, alias := range in {
		id, _, ok := workspaceOf(armID)
		if !ok {
			return nil, fmt.Errorf("workspace alias %q: %q is not the ARM id of an Azure Machine Learning workspace: want /subscriptions/…/workspaces/<name>", alias, armID)
		}
		if alias == "" || strings.ContainsAny(alias, "/ \t\n") {
			return nil, fmt.Errorf("workspace alias %q of %q: want a name without slashes and spaces", alias, armID)
		}
		if other, taken := owner[alias]; taken && other != id {
			return nil, fmt.Errorf("workspace alias %q stands for both %q and %q: their assets would be mixed up", alias, min(id, other), max(id, other))
		}
		owner[alias], out[id] = id, alias
	}
	return out, nil
}

func checkGlobs(globs []string) ([]string, error) {
	out := make([]string, len(globs))
	for i, g := range globs {
		out[i] = strings.ToLower(g)
		if _, err := path.Match(out[i], ""); err != nil {
			return nil, fmt.Errorf("monitor experiments, entry %d: %q is not a glob: %w", i+1, g, err)
		}
	}
	return out, nil
}

func checkMonitorModels(in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(in))
	for monitor, model := range in {
		if monitor == "" || model == "" {
			return nil, fmt.Errorf("monitor models: %q → %q: want a monitor and a model", monitor, model)
		}
		out[strings.ToLower(monitor)] = model
	}
	return out, nil
}

package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// BreachTag is the run tag that Azure ML's threshold evaluation sets on its
// own run when a signal violates a threshold; RootBreachTag, followed by the
// signal's name, is what the root run gets when notification is on.
const (
	BreachTag     = "azureml_modelmonitor_threshold_breached"
	RootBreachTag = "azureml.modelmonitor.threshold.breached."
)

// MonitorSpec describes a model monitor.
type MonitorSpec struct {
	// Name is the monitor's and its experiment's name: "churn_monitor".
	Name string
	// Model is the watched model; what is measured against is the training
	// data of the version that was deployed last.
	Model   string
	Signals []Signal
	// Notify are e-mail addresses. With any, a breaching root run completes
	// too, tagged with each breach; without, a breach shows on its step only.
	Notify []string
}

// Signal is one measurement of a monitor.
type Signal struct {
	// Name is made `<monitor>_<name>` unless it begins so already, the naming
	// that Azure's documentation advises.
	Name string
	// Type is Azure's signal type: DataDrift, PredictionDrift, DataQuality,
	// ModelPerformance. Defaults to DataDrift.
	Type string
	// Metric is Azure's metric name. Defaults to PopulationStabilityIndex.
	Metric string
	// Threshold is the value at which the metric still passes.
	Threshold float64
	// Features are measured one by one. Defaults to the one group
	// "Aggregate", which sees the largest shift of all.
	Features []string
}

// Violation is one feature beyond its threshold.
type Violation struct {
	Signal, Feature, Metric string
	Value, Threshold        float64
}

// MonitorRun is what a run of a monitor found.
type MonitorRun struct {
	// Root is the pipeline run's id; Steps those of the breaching steps.
	Root       string
	Steps      []string
	Violations []Violation
	// Model and Version name the deployed version that was measured.
	Model, Version string
}

type monitor struct {
	spec    MonitorSpec
	created time.Time
}

// CreateMonitor creates a monitor, or replaces one of the same name.
func (w *Workspace) CreateMonitor(spec MonitorSpec) error {
	if spec.Name == "" || spec.Model == "" || len(spec.Signals) == 0 {
		return fmt.Errorf("create monitor %q: needs a name, a model and a signal", spec.Name)
	}
	spec.Signals = slices.Clone(spec.Signals)
	for i := range spec.Signals {
		spec.Signals[i] = spec.Signals[i].withDefaults(spec.Name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.monitors[spec.Name] == nil {
		if err := w.room(); err != nil {
			return fmt.Errorf("create monitor %q: %w", spec.Name, err)
		}
	}
	w.monitors[spec.Name] = &monitor{spec: spec, created: w.stamp()}
	return nil
}

func (s Signal) withDefaults(monitorName string) Signal {
	if !strings.HasPrefix(s.Name, monitorName+"_") {
		s.Name = monitorName + "_" + s.Name
	}
	s.Type = orElse(s.Type, "DataDrift")
	s.Metric = orElse(s.Metric, "PopulationStabilityIndex")
	if len(s.Features) == 0 {
		s.Features = []string{"Aggregate"}
	}
	return s
}

// RunMonitor measures production data against what the deployed version of
// the monitor's model was trained on, at once. For each signal that violates
// a threshold it emits RunStatusChanged and RunCompleted of that signal's
// step, both with the breach tag; when nothing is violated, RunCompleted of
// the root pipeline run. A breach does not fail a run, as in Azure ML.
func (w *Workspace) RunMonitor(name string) (MonitorRun, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mon := w.monitors[name]
	if mon == nil {
		return MonitorRun{}, fmt.Errorf("run monitor %q: %w", name, ErrNotFound)
	}
	version := w.deployed(mon.spec.Model)
	if version == nil {
		return MonitorRun{}, fmt.Errorf("run monitor %q: no version of model %q is deployed: %w", name, mon.spec.Model, ErrState)
	}
	if len(w.jobs)+1+len(mon.spec.Signals) > w.opts.MaxAssets {
		return MonitorRun{}, fmt.Errorf("run monitor %q: %w", name, ErrFull)
	}
	root := w.newJob(w.ids.run(), name, nil)
	root.runType = "azureml.PipelineRun"
	w.keep(root)
	run := MonitorRun{Root: root.name, Model: version.name, Version: version.version}
	for _, s := range mon.spec.Signals {
		w.runSignal(s, version, root, &run)
	}
	w.finish(root)
	if len(run.Violations) == 0 || len(mon.spec.Notify) > 0 {
		w.notifyRoot(root, mon, run)
		w.emitRunCompleted(root)
	}
	return run, nil
}

// runSignal measures one signal in a step run of its own.
func (w *Workspace) runSignal(s Signal, version *modelVersion, root *job, run *MonitorRun) {
	step := w.newJob(w.ids.run(), root.experiment, nil)
	step.runType = "azureml.StepRun"
	step.properties = map[string]string{
		"azureml.parameters":        "{}",
		"azureml.runsource":         "azureml.StepRun",
		"azureml.rootpipelinerunid": root.name,
		"azureml.pipelinerunid":     root.name,
		"azureml.moduleName":        "model_monitor_evaluate_metrics_threshold",
		"azureml.git.commit":        stableUUID(w.opts.Seed, "git/monitor")[:7],
		"ContentSnapshotId":         stableUUID(w.opts.Seed, "snapshot/monitor"),
	}
	w.keep(step)
	violations := w.evaluate(s, version, step)
	w.finish(step)
	if len(violations) == 0 {
		return
	}
	run.Steps = append(run.Steps, step.name)
	run.Violations = append(run.Violations, violations...)
	step.tags[BreachTag] = breachText(s.Name, violations)
	w.emitRunStatus(step)
	w.emitRunCompleted(step)
}

// finish ends a run that was measured at once.
func (w *Workspace) finish(j *job) {
	j.started, j.status, j.ended = j.created, Completed, w.stamp()
	close(j.done)
}

// notifyRoot tags the root run the way a monitor with e-mail addresses does.
func (w *Workspace) notifyRoot(root *job, mon *monitor, run MonitorRun) {
	if len(mon.spec.Notify) == 0 {
		return
	}
	root.tags["azureml.notification.email.address"] = strings.Join(mon.spec.Notify, ",")
	for _, s := range mon.spec.Signals {
		of := slices.DeleteFunc(slices.Clone(run.Violations), func(v Violation) bool { return v.Signal != s.Name })
		if len(of) > 0 {
			root.tags[RootBreachTag+s.Name] = breachText(s.Name, of)
		}
	}
}

// evaluate measures each feature, logs it as metric `<feature>/<metric>` of
// the step and returns what lies beyond the threshold.
func (w *Workspace) evaluate(s Signal, version *modelVersion, step *job) []Violation {
	var out []Violation
	accuracy := 0.9
	if version.job != nil && len(version.job.metrics) > 0 {
		accuracy = version.job.metrics[0].last()
	}
	for _, feature := range s.Features {
		value := round4(measure(s.Metric, w.shiftSince(version, feature), accuracy))
		step.metrics = append(step.metrics, metric{
			key: feature + "/" + s.Metric, points: []point{{value: value, at: step.created}},
		})
		if s.violated(value) {
			out = append(out, Violation{Signal: s.Name, Feature: feature, Metric: s.Metric, Value: value, Threshold: s.Threshold})
		}
	}
	return out
}

func (s Signal) violated(value float64) bool {
	if lowerIsBad(s.Metric) {
		return value < s.Threshold
	}
	return value > s.Threshold
}

// shiftSince tells how far a feature has moved since a version was trained;
// for the Aggregate, the farthest that any has.
func (w *Workspace) shiftSince(version *modelVersion, feature string) float64 {
	trained := map[string]float64{}
	if version.job != nil && version.job.trained != nil {
		trained = version.job.trained.shift
	}
	if feature != "Aggregate" {
		return w.live[feature] - trained[feature]
	}
	most := 0.0
	for f, v := range w.live {
		most = max(most, v-trained[f], trained[f]-v)
	}
	return most
}

// breachText writes the tag's value as Azure's component does: two lines of
// prose, then a Python list of JSON strings, cut where a tag must end.
func breachText(signal string, violations []Violation) string {
	var b strings.Builder
	b.WriteString("The signal '" + signal + "' has failed due to one or more features violating metric thresholds.\n" +
		"The feature names and their corresponding computed metric values violating the threshold are \n[")
	for i, v := range violations {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pythonString(v.json()))
	}
	b.WriteString("]\n")
	return cutRunes(b.String(), maxTagLength)
}

// json writes a violation with the keys and the order of Azure's component.
func (v Violation) json() string {
	o := occurrence{data: []field{
		{"group", v.Feature}, {"metric_value", v.Value}, {"metric_name", v.Metric}, {"threshold_value", v.Threshold},
	}}
	return string(o.payload(Camel))
}

// pythonString writes s as Python's repr does: in single quotes, unless it
// has one and no double quote.
func pythonString(s string) string {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + strings.ReplaceAll(s, `\`, `\\`) + `"`
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func cutRunes(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

package event

import (
	"cmp"
	"path"
	"strings"
)

// monitorRun tells what a run's event says about a model monitor. A breach
// tag makes it a breach whatever the type and status: a breach does not fail
// the run [azureml-assets], and the tag stays for later events of the same run.
// A whole run of a monitor that completed without one is a pass.
func (p *Parser) monitorRun(e *Event, tags []breachTag) {
	report := readBreachTags(tags)
	switch {
	case len(report.signals) > 0:
		e.Kind = MonitorBreached
		e.Monitor = p.monitorOf(e, report.signals[0].name)
		e.Breaches, e.Loss = report.breaches(e.Monitor.Name)
	case e.Kind == JobCompleted && p.isMonitor(e) && isRoot(e.Run):
		e.Kind = MonitorPassed
		e.Monitor = p.monitorOf(e, "")
	}
}

func (p *Parser) monitorOf(e *Event, signal string) *Monitor {
	name := p.monitorName(e, signal)
	return &Monitor{
		Name:   name,
		Model:  p.watchedModel(e.Workspace.Alias, name, e.Run),
		Window: cmp.Or(rootRun(e.Run), e.Run.ID),
		Root:   isRoot(e.Run),
	}
}

// monitorName is the monitor that a signal belongs to. A monitor's experiment
// is named like it; the tag names no monitor. Only where the experiment is not
// known for a monitor's does the signal count, which Azure's guide advises to
// call <monitor>_<signal>: experiment churn_monitor may have churn_data_drift.
func (p *Parser) monitorName(e *Event, signal string) string {
	run := e.Run
	experiment := run.ExperimentName
	if experiment != "" && (p.isMonitor(e) || hasPrefixFold(signal, experiment)) {
		return experiment
	}
	_, monitor := signalType(signal)
	return cmp.Or(monitor, experiment, signal, run.ExperimentID, run.ID)
}

// signalTypes are the endings of signals' names, longer ones first, and what
// they mean.
var signalTypes = []struct{ ending, means string }{
	{"feature_attribution_drift", "feature_attribution_drift"},
	{"attribution_drift", "feature_attribution_drift"},
	{"generation_safety_quality", "generation_quality"},
	{"generation_quality", "generation_quality"},
	{"token_statistics", "generation_token_statistics"},
	{"prediction_drift", "prediction_drift"},
	{"model_performance", "model_performance"},
	{"performance", "model_performance"},
	{"data_quality", "data_quality"},
	{"data_drift", "data_drift"},
}

// signalType tells what a signal measures by the end of its name, and what
// precedes that: the monitor, by convention. Dashes and spaces count as
// underscores, which may also be left out.
func signalType(signal string) (typ, monitor string) {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == ' ':
			return '_'
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, signal)
	if len(name) != len(signal) {
		return "", "" // invalid UTF-8 was replaced: positions no longer agree
	}
	for _, t := range signalTypes {
		for _, ending := range []string{t.ending, strings.ReplaceAll(t.ending, "_", "")} {
			if before, ok := strings.CutSuffix(name, ending); ok {
				monitor, _ = strings.CutSuffix(before, "_")
				if monitor == before {
					return t.means, ""
				}
				return t.means, signal[:len(monitor)]
			}
		}
	}
	return "", ""
}

// watchedModel is the model that a monitor watches: by configuration, by a
// tag or property of its run, or by its name without "monitor".
func (p *Parser) watchedModel(workspace, monitor string, run *Run) string {
	name := strings.ToLower(monitor)
	if m := cmp.Or(p.monitorModels[strings.ToLower(workspace)+"/"+name], p.monitorModels[name]); m != "" {
		return m
	}
	if run != nil {
		for _, tags := range []map[string]string{run.Tags, run.Properties} {
			for _, link := range p.monitorModelKeys.values(tags) {
				if model, _ := assetRef(link, "models"); model != "" {
					return model
				}
			}
		}
	}
	return modelByName(monitor)
}

// modelByName takes "monitor", "monitoring" or "mon" off either end of a
// monitor's name; "" when there is none of them, for then nothing is known.
func modelByName(monitor string) string {
	for _, word := range []string{"monitoring", "monitor", "mon"} {
		for _, sep := range []string{"_", "-"} {
			if hasSuffixFold(monitor, sep+word) {
				return strings.TrimRight(monitor[:len(monitor)-len(word)-1], "_-")
			}
			if hasPrefixFold(monitor, word+sep) {
				return strings.TrimLeft(monitor[len(word)+1:], "_-")
			}
		}
	}
	return ""
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// isMonitor reports whether a run's experiment is a monitor's.
func (p *Parser) isMonitor(e *Event) bool {
	name := strings.ToLower(e.Run.ExperimentName)
	if name == "" {
		return false
	}
	if p.monitorModels[name] != "" || p.monitorModels[strings.ToLower(e.Workspace.Alias)+"/"+name] != "" {
		return true
	}
	for _, glob := range p.experiments {
		if ok, _ := path.Match(glob, name); ok {
			return true
		}
	}
	return false
}

// rootRunKeys are the properties and tags in which Azure Machine Learning
// names the pipeline run that a step belongs to.
var rootRunKeys = newKeyList([]string{
	"azureml.rootpipelinerunid", "azureml.rootrunid", "azureml.pipelinerunid",
	"root_run_id", "rootRunId", "pipeline_run_id", "pipelineRunId",
})

// rootRun is the pipeline run that a run belongs to; "" when it is not said.
func rootRun(run *Run) string {
	for _, m := range []map[string]string{run.Properties, run.Tags} {
		for _, v := range rootRunKeys.values(m) {
			if id := runID(strings.TrimSpace(v)); id != "" {
				return id
			}
		}
	}
	return ""
}

// isRoot reports whether a run is a whole pipeline rather than a step of one.
// A run without a type that does not name itself as the root may be either,
// and is not taken for one: a step's end must not pass for the monitor's.
func isRoot(run *Run) bool {
	typ := lettersAndDigits(run.Type)
	return typ == "pipeline" || strings.HasSuffix(typ, "pipelinerun") || rootRun(run) == run.ID
}

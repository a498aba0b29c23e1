package sandbox

import (
	"bytes"
	"strconv"
	"strings"
)

// Nothing below needs escaping: every string is made of letters, digits and
// punctuation that JSON leaves alone, but for the breach tags, which are
// escaped once.

// genTags are breach tags as JSON strings, between what precedes and what
// follows the model's name.
var genTags = makeGenTags()

type genTag struct{ before, after string }

const genTagModel = "@"

func makeGenTags() []genTag {
	var out []genTag
	for _, values := range [][]float64{{0.35, 0.214}, {0.27}, {0.41, 0.33, 0.22}, {0.52}} {
		var violations []Violation
		for i, v := range values {
			violations = append(violations, Violation{
				Feature: []string{"age", "tenure_months", "balance"}[i], Metric: "PopulationStabilityIndex", Value: v, Threshold: 0.2,
			})
		}
		var b bytes.Buffer
		writeJSON(&b, breachText(genTagModel+"_monitor_data_drift", violations))
		before, after, _ := strings.Cut(b.String(), genTagModel)
		out = append(out, genTag{before, after})
	}
	return out
}

// begin starts an event: the envelope up to the inside of its data.
func (g *generator) begin(kind string, subject ...string) (id string) {
	b := g.buf[:0]
	cloud := g.opts.Schema == CloudEvents
	b = append(b, '{')
	if cloud {
		b = append(b, `"specversion":"1.0",`...)
	}
	b = append(b, `"id":"`...)
	at := len(b)
	b = appendUUID(b, g.rng.Uint64(), g.rng.Uint64())
	id = string(b[at:])
	b = append(b, pick(cloud, `","source":"`, `","topic":"`)...)
	b = append(b, g.opts.Source...)
	b = append(b, `","subject":"`...)
	for _, s := range subject {
		b = append(b, s...)
	}
	b = append(b, pick(cloud, `","type":"`, `","eventType":"`)...)
	b = append(b, kind...)
	b = append(b, pick(cloud, `","time":"`, `","eventTime":"`)...)
	b = g.now.AppendFormat(b, timeLayout)
	g.buf = append(b, `","data":{`...)
	return id
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// key writes a key of the data object in the casing asked for.
func (g *generator) key(name string) {
	if g.buf[len(g.buf)-1] != '{' {
		g.buf = append(g.buf, ',')
	}
	first := name[0]
	if g.opts.Casing == Pascal {
		first -= 'a' - 'A'
	}
	g.buf = append(g.buf, '"', first)
	g.buf = append(g.buf, name[1:]...)
	g.buf = append(g.buf, '"', ':')
}

// text writes a key and a string put together of parts.
func (g *generator) text(name string, parts ...string) {
	g.key(name)
	g.quoted(parts...)
}

func (g *generator) quoted(parts ...string) {
	g.buf = append(g.buf, '"')
	for _, p := range parts {
		g.buf = append(g.buf, p...)
	}
	g.buf = append(g.buf, '"')
}

// raw writes parts as they are.
func (g *generator) raw(parts ...string) {
	for _, p := range parts {
		g.buf = append(g.buf, p...)
	}
}

// end closes the event.
func (g *generator) end(id, kind string) Generated {
	if g.opts.Schema == CloudEvents {
		g.raw(`}}`)
	} else {
		g.raw(`},"dataVersion":"2","metadataVersion":"1"}`)
	}
	return Generated{Body: g.buf, ID: id, Type: kind, Time: g.now}
}

// runName makes a name no other run of the history has.
func (g *generator) runName(m *genModel, n int, what string) string {
	return nameMoods[n%len(nameMoods)] + "_" + nameAnimals[g.rng.IntN(len(nameAnimals))] + "_" + what +
		strings.TrimPrefix(m.name, "model_") + "n" + strconv.Itoa(n)
}

func (g *generator) status(m *genModel) Generated {
	g.open(m)
	status := genStatuses[m.phase]
	m.phase++
	run := m.job
	if m.phase == len(genStatuses) && g.rng.IntN(20) == 0 {
		status, m.job, m.phase = "Failed", "", 0
	}
	id := g.begin(typeRunStatusChanged, "experiments/", m.experiment, "/runs/", run)
	g.training(m, run)
	g.text("runStatus", status)
	return g.end(id, typeRunStatusChanged)
}

// open begins a job unless one is under way; now and then new data has come.
func (g *generator) open(m *genModel) {
	if m.job != "" {
		return
	}
	m.jobs++
	if g.rng.IntN(4) == 0 {
		m.data++
	}
	m.job, m.phase = g.runName(m, m.jobs, "t"), 0
}

func (g *generator) completed(m *genModel) Generated {
	g.open(m)
	id := g.begin(typeRunCompleted, "experiments/", m.experiment, "/runs/", m.job)
	g.training(m, m.job)
	m.trained, m.job, m.phase = m.job, "", 0
	return g.end(id, typeRunCompleted)
}

// training writes the data of a training job's event.
func (g *generator) training(m *genModel, run string) {
	g.run(m.experiment, m.name+"_train", run, "azureml.scriptrun")
	g.key("runTags")
	g.raw(`{"owner":"risk-ml"}`)
	g.key("runProperties")
	g.raw(`{"ContentSnapshotId":"6f3b0c9a-8f3e-4d6d-a4d6-0f5d58f1b8ce","azureml.git.commit":"9c1d2e3","`, PropTrainingData, `":`)
	g.quoted("azureml:", m.name, "_data:", strconv.Itoa(m.data))
	g.raw(`}`)
}

func (g *generator) run(experimentID, experiment, run, runType string) {
	g.text("experimentId", experimentID)
	g.text("experimentName", experiment)
	g.text("runId", run)
	g.text("runType", runType)
}

func (g *generator) registered(m *genModel) Generated {
	m.version++
	run, version := m.trained, strconv.Itoa(m.version)
	m.trained = ""
	id := g.begin(typeModelRegistered, "models/", m.name, ":", version)
	g.text("modelName", m.name)
	if g.opts.Casing == Pascal {
		g.key("modelVersion")
		g.raw(version)
	} else {
		g.text("modelVersion", version)
	}
	g.key("modelTags")
	g.raw(`{"owner":"risk-ml"}`)
	g.key("modelProperties")
	g.raw(`{"azureml.runId":`)
	g.quoted(run)
	g.raw(`,"mlflow.modelSourceUri":`)
	g.quoted("azureml://artifacts/", run, "/model")
	g.raw(`}`)
	return g.end(id, typeModelRegistered)
}

func (g *generator) deployed(m *genModel) Generated {
	m.deployed = m.version
	id := g.begin(typeModelDeployed, "endpoints/", m.name, "-ep")
	g.text("serviceName", m.name, "-ep")
	g.text("serviceComputeType", "Managed")
	g.text("modelIds", m.name, ":", strconv.Itoa(m.deployed))
	g.key("serviceTags")
	g.raw(`{}`)
	g.key("serviceProperties")
	g.raw(`{"deploymentName":"blue"}`)
	return g.end(id, typeModelDeployed)
}

// breach makes the two events of a breaching step, one at a time.
func (g *generator) breach(m *genModel) Generated {
	first := m.breaching == ""
	kind := pick(first, typeRunStatusChanged, typeRunCompleted)
	if first {
		m.monitorRuns++
		m.root, m.breaching = g.runName(m, m.monitorRuns, "m"), g.runName(m, m.monitorRuns, "s")
		m.tag = g.rng.IntN(len(genTags))
	}
	id := g.begin(kind, "experiments/", m.monitor, "/runs/", m.breaching)
	g.run(m.monitor, m.name+"_monitor", m.breaching, "azureml.StepRun")
	g.key("runTags")
	g.raw(`{"`, BreachTag, `":`, genTags[m.tag].before, m.name, genTags[m.tag].after, `}`)
	g.key("runProperties")
	g.raw(`{"azureml.parameters":"{}","azureml.rootpipelinerunid":"`, m.root, `"}`)
	if first {
		g.text("runStatus", "Completed")
	} else {
		m.breaching = ""
	}
	return g.end(id, kind)
}

func (g *generator) pass(m *genModel) Generated {
	m.monitorRuns++
	run := g.runName(m, m.monitorRuns, "p")
	id := g.begin(typeRunCompleted, "experiments/", m.monitor, "/runs/", run)
	g.run(m.monitor, m.name+"_monitor", run, "azureml.PipelineRun")
	g.key("runTags")
	g.raw(`{}`)
	g.key("runProperties")
	g.raw(`{}`)
	return g.end(id, typeRunCompleted)
}

func (g *generator) drift(m *genModel) Generated {
	run := m.monitor + "_" + strconv.FormatInt(g.now.UnixMilli(), 10)
	id := g.begin(typeDrift, "datadrift/", m.monitor, "/run/", run)
	g.text("dataDriftId", m.monitor)
	g.text("dataDriftName", m.name, "_drift")
	g.text("runId", run)
	g.text("baseDatasetId", m.experiment)
	g.text("targetDatasetId", m.monitor)
	g.key("driftCoefficient")
	g.buf = strconv.AppendFloat(g.buf, round4(g.rng.Float64()), 'g', -1, 64)
	g.text("startTime", "2026-10-26T00:00:00+00:00")
	g.text("endTime", "2026-11-02T00:00:00+00:00")
	return g.end(id, typeDrift)
}

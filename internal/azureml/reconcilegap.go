package azureml

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// gaps compares what Azure Machine Learning has with what lineage knows. Each
// method returns the event that tells the difference, nil where there is none.
// Such an event has the type, the payload and the time that Azure's own would
// have had, and an id made of what changed: whoever finds the same gap, and
// however often, makes the same event.
type gaps struct {
	parser *event.Parser
	store  lineage.Store
}

// job tells the end of a job. Its start is not worth an event: the end names
// all that lineage keeps.
func (g *gaps) job(ctx context.Context, ws event.Workspace, j Job) (*event.Event, error) {
	if !j.IsEnded() {
		return nil, nil
	}
	ev, doc, err := g.known(ctx, jobEnvelope(ws, j))
	if err != nil || ev == nil {
		return nil, err
	}
	if ev.Monitor != nil {
		if doc != nil && measuredWindow(doc, ev) {
			return nil, nil
		}
		return ev, nil
	}
	if doc == nil {
		return ev, nil
	}
	if strings.EqualFold(doc.Text("status"), ev.Run.Status) || isFinal(doc.Text("status")) {
		return nil, nil
	}
	if status, ok := doc.Fields["status"]; ok {
		ev.Time = after(ev.Time, status.S.At)
	}
	return ev, nil
}

// isFinal says whether a job that had this status can't get another. A node
// that did not respond may have come back.
func isFinal(status string) bool {
	return status != "NotResponding" && Job{Status: status}.IsEnded()
}

// after is t, or a moment after what it follows: Azure does not date the end
// of every job, yet what it says now came later than what was told before.
func after(t, previous time.Time) time.Time {
	if t.After(previous) {
		return t
	}
	return previous.Add(time.Millisecond)
}

// measuredWindow says whether a monitor's window is known, or older than all
// that the bounded history still holds.
func measuredWindow(doc *lineage.Asset, ev *event.Event) bool {
	for _, m := range doc.Sets["measured"] {
		if m.K == ev.Monitor.Window || strings.HasPrefix(m.K, ev.Monitor.Window+"/") {
			return true
		}
	}
	return !doc.Remembers("measured", ev.Time)
}

// model tells that a model version was registered.
func (g *gaps) model(ctx context.Context, ws event.Workspace, m ModelVersion) (*event.Event, error) {
	ev, doc, err := g.known(ctx, modelEnvelope(ws, m))
	if err != nil || ev == nil {
		return nil, err
	}
	if doc != nil && doc.Text("registered") != "" {
		return nil, nil
	}
	return ev, nil
}

// deployment tells that a deployment serves another model version than the
// last one known. One that Azure does not date newer than what is known proves
// nothing: the list may be older than the last event.
func (g *gaps) deployment(ctx context.Context, ws event.Workspace, e Endpoint, d Deployment) (*event.Event, error) {
	if d.Model.Name == "" || (d.State != "" && !strings.EqualFold(d.State, "Succeeded")) {
		return nil, nil
	}
	ev, doc, err := g.known(ctx, deploymentEnvelope(ws, e, d))
	if err != nil || ev == nil || doc == nil {
		return ev, err
	}
	history := doc.ServedHistory()
	if len(history) == 0 {
		return ev, nil
	}
	last := history[len(history)-1]
	serves := lineage.NewID(lineage.Model, ws.Alias, d.Model.Name, d.Model.Version)
	if (len(last.Models) == 1 && last.Models[0] == serves) || !ev.Time.After(last.Since) {
		return nil, nil
	}
	return ev, nil
}

// known reads an envelope as a worker will, and the asset that it speaks of.
// The event is nil when no worker could make sense of it.
func (g *gaps) known(ctx context.Context, env event.Envelope) (*event.Event, *lineage.Asset, error) {
	ev, err := g.parser.Parse(env)
	var problem *event.Problem
	if errors.As(err, &problem) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if lineage.CheckNames(lineage.Home(ev), lineage.Patches(ev)) != nil {
		return nil, nil, nil
	}
	doc, err := lineage.Load(ctx, g.store, lineage.ID(lineage.Home(ev)))
	return ev, doc, err
}

const eventTypes = "Microsoft.MachineLearningServices."

// synthetic is an event of a workspace; parts are what changed.
func synthetic(ws event.Workspace, kind, subject string, at time.Time, data map[string]any, parts ...string) event.Envelope {
	body, err := json.Marshal(data)
	if err != nil {
		body = nil // texts and maps of texts always marshal
	}
	return event.Envelope{
		ID: "modelwarden-" + event.Digest(append([]string{kind}, parts...)...), Source: ws.ID, Type: eventTypes + kind,
		Subject: subject, Time: at.UTC(), Data: body, Synthetic: true,
	}
}

func jobEnvelope(ws event.Workspace, j Job) event.Envelope {
	data := map[string]any{
		"experimentName": j.Experiment, "runId": j.Name, "runType": runType(j),
		"runTags": j.Tags, "runProperties": jobProperties(j),
	}
	kind := "RunCompleted"
	if j.Status != "Completed" {
		kind, data["runStatus"] = "RunStatusChanged", j.Status
	}
	return synthetic(ws, kind, "experiments/"+j.Experiment+"/runs/"+j.Name, jobTime(j), data, j.Name, j.Status)
}

// jobTime is when the job came to where it is, as far as Azure says.
func jobTime(j Job) time.Time {
	for _, t := range []time.Time{j.Ended, j.Started, j.Created} {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// runType is the job's type in the words of events.
func runType(j Job) string {
	switch {
	case j.Parent != "":
		return "azureml.StepRun"
	case strings.EqualFold(j.Type, "pipeline"):
		return "azureml.PipelineRun"
	}
	return j.Type
}

// jobProperties are a job's own, with what an event's reader finds its data
// and its pipeline by.
func jobProperties(j Job) map[string]string {
	out := make(map[string]string, len(j.Properties)+2)
	var data []string
	for _, in := range j.Inputs {
		if in.Data != nil {
			data = append(data, "azureml:"+in.Data.Name+":"+in.Data.Version)
		}
	}
	if len(data) > 0 {
		slices.Sort(data)
		out["modelwarden.inputs"] = strings.Join(data, ",")
	}
	if j.Parent != "" {
		out["azureml.pipelinerunid"] = j.Parent
	}
	for k, v := range j.Properties {
		out[k] = v
	}
	return out
}

func modelEnvelope(ws event.Workspace, m ModelVersion) event.Envelope {
	properties := map[string]string{}
	if m.Job != "" {
		properties["azureml.jobName"] = m.Job
	}
	for k, v := range m.Properties {
		properties[k] = v
	}
	at := m.Created
	if at.IsZero() {
		at = m.LastModified
	}
	return synthetic(ws, "ModelRegistered", "models/"+m.Name+":"+m.Version, at, map[string]any{
		"modelName": m.Name, "modelVersion": m.Version, "modelTags": m.Tags, "modelProperties": properties,
	}, m.Name, m.Version)
}

func deploymentEnvelope(ws event.Workspace, e Endpoint, d Deployment) event.Envelope {
	at := deploymentTime(d)
	return synthetic(ws, "ModelDeployed", "endpoints/"+e.Name, at, map[string]any{
		"serviceName": e.Name, "serviceComputeType": "Managed", "deploymentName": d.Name,
		"modelIds": d.Model.Name + ":" + d.Model.Version, "serviceTags": d.Tags,
	}, e.Name, d.Name, d.Model.Name, d.Model.Version, lineage.SortTime(at))
}

func deploymentTime(d Deployment) time.Time {
	if d.LastModified.IsZero() {
		return d.Created
	}
	return d.LastModified
}

package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// AssetInput names an asset.
type AssetInput struct {
	Asset string `path:"asset" doc:"The asset's id. As printed, or percent-escaped as one segment" example:"model/contoso-ml/churn/12"`
}

// Asset is what is known about one asset.
type Asset struct {
	ID        lineage.ID        `json:"id"`
	Kind      lineage.AssetKind `json:"kind"`
	Workspace string            `json:"workspace"`
	Name      string            `json:"name"`
	Version   string            `json:"version,omitempty"`
	Stage     string            `json:"stage,omitempty" doc:"For model versions"`
	Status    string            `json:"status,omitempty" doc:"For jobs and monitors"`
	Owner     string            `json:"owner,omitempty"`

	Tags       map[string]string `json:"tags,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	// Facts are the remaining registers, as the events wrote them.
	Facts map[string]any `json:"facts,omitempty" doc:"What else events said, by name"`

	Completeness *lineage.Completeness `json:"completeness,omitempty" doc:"For model versions: how much of data, code, environment, job, evaluation, owner, monitor and rollback target is known"`

	Evidence     []Evidence          `json:"evidence" nullable:"false"`
	Edges        []lineage.Arc       `json:"edges" nullable:"false" doc:"Edges from or to the asset"`
	LastBreaches []MonitorWindow     `json:"lastBreaches" nullable:"false" doc:"Newest first, from the monitors that watch the asset"`
	Served       []ServedModels      `json:"served,omitempty" doc:"For deployments: what was served from when, oldest first"`
	Events       []lineage.EventLine `json:"events" nullable:"false" doc:"The newest events of the asset's own"`

	FirstSeen time.Time `json:"firstSeen" doc:"Time of the oldest event that spoke of it"`
	LastSeen  time.Time `json:"lastSeen" doc:"Time of the newest; to the hour where it only mentioned the asset, as a job does its data"`

	// Windows are all recent windows of the monitors, passed ones included,
	// oldest first: the pages draw them.
	Windows []MonitorWindow `json:"-"`
}

// Evidence is a document that a stage demands of a model version.
type Evidence struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

// ServedModels is what a deployment served from a moment on.
type ServedModels struct {
	Since  time.Time    `json:"since"`
	Models []lineage.ID `json:"models" nullable:"false"`
}

// MonitorWindow is one measured window of one signal.
type MonitorWindow struct {
	Monitor  lineage.ID     `json:"monitor"`
	At       time.Time      `json:"at"`
	Window   string         `json:"window"`
	Signal   string         `json:"signal,omitempty"`
	Breached bool           `json:"breached"`
	Run      string         `json:"run,omitempty"`
	Breaches []event.Breach `json:"breaches,omitempty"`
	More     int            `json:"more,omitempty" doc:"Breaches beyond those listed"`
	Loss     *event.Loss    `json:"loss,omitempty"`
}

// Bounds of one asset's answer.
const (
	maxLastBreaches = 10
	maxAssetEvents  = 20
	maxMonitors     = 16
)

func (s *server) assetRoutes(a huma.API) {
	register(a, s, spanning(get("get-asset", "/api/v1/assets/{asset}", "Assets",
		"One asset: facts, edges, last breaches, recent events"), "asset"), s.getAsset)
}

func (s *server) getAsset(ctx context.Context, in *AssetInput) (Asset, error) {
	id, err := assetParam("path.asset", in.Asset)
	if err != nil {
		return Asset{}, err
	}
	doc, err := lineage.Load(ctx, s.Store, id)
	if err != nil {
		return Asset{}, err
	}
	if doc == nil {
		return Asset{}, problem(http.StatusNotFound, "asset %s: nothing is known of it", id)
	}
	out := describe(doc)
	if out.Completeness, err = s.completeness(ctx, doc); err != nil {
		return Asset{}, err
	}
	if out.Edges, err = s.edgesOf(ctx, doc); err != nil {
		return Asset{}, err
	}
	if out.Windows, err = s.windows(ctx, doc); err != nil {
		return Asset{}, err
	}
	out.LastBreaches = lastBreaches(out.Windows)
	events, err := s.assetEvents(ctx, EventFilter{Asset: id}, "", maxAssetEvents)
	out.Events = events.Items
	return out, err
}

// describe is what the asset's own document says.
func describe(doc *lineage.Asset) Asset {
	a := Asset{
		ID: doc.ID, Kind: doc.ID.Kind(), Workspace: doc.ID.Workspace(), Name: doc.ID.Name(), Version: doc.ID.Version(),
		Status: doc.Status(), Owner: doc.Text("owner"),
		Tags: doc.Map("tags"), Properties: doc.Map("properties"), Facts: map[string]any{},
		Evidence: []Evidence{}, FirstSeen: doc.First.At, LastSeen: doc.LastSeen(),
	}
	if a.Kind == lineage.Model && a.Version != "" {
		a.Stage = doc.Stage()
	}
	for name, f := range doc.Fields {
		switch name {
		case "status", "owner", "tags", "properties", "stage":
		default:
			var v any
			if json.Unmarshal(f.V, &v) == nil {
				a.Facts[name] = v
			}
		}
	}
	for _, served := range doc.ServedHistory() {
		a.Served = append(a.Served, ServedModels{Since: served.Since, Models: served.Models})
	}
	return a
}

// edgesOf lists the arcs at the asset. A walk knows more than the document
// (what ended, what superseded what), but takes a model without a version for
// the version that serves.
func (s *server) edgesOf(ctx context.Context, doc *lineage.Asset) ([]lineage.Arc, error) {
	out := []lineage.Arc{}
	if doc.ID.Kind() == lineage.Model && doc.ID.Version() == "" {
		for _, e := range doc.Edges {
			arc := lineage.Arc{From: e.Other, To: doc.ID, Type: e.Type, Since: e.Since.At}
			if e.Out {
				arc.From, arc.To = arc.To, arc.From
			}
			out = append(out, arc)
		}
		return out, nil
	}
	g, err := lineage.Walk(ctx, s.Store, doc.ID, lineage.WalkOptions{Direction: lineage.Both, Depth: 1})
	if err != nil {
		return nil, err
	}
	for _, arc := range g.Edges {
		if arc.From == doc.ID || arc.To == doc.ID {
			out = append(out, arc)
		}
	}
	return out, nil
}

// windows gathers what the monitors of an asset measured, oldest first.
func (s *server) windows(ctx context.Context, doc *lineage.Asset) ([]MonitorWindow, error) {
	if doc.ID.Kind() == lineage.Monitor {
		return measured(doc), nil
	}
	monitors, err := s.monitorsOf(ctx, doc)
	if err != nil {
		return nil, err
	}
	var out []MonitorWindow
	for _, id := range monitors {
		monitor, err := lineage.Load(ctx, s.Store, id)
		if err != nil {
			return nil, err
		}
		if monitor != nil {
			out = append(out, measured(monitor)...)
		}
	}
	slices.SortStableFunc(out, func(a, b MonitorWindow) int { return a.At.Compare(b.At) })
	return out, nil
}

// monitorsOf lists the monitors that watch a model, or what a deployment
// serves now.
func (s *server) monitorsOf(ctx context.Context, doc *lineage.Asset) ([]lineage.ID, error) {
	var names []lineage.ID
	switch doc.ID.Kind() {
	case lineage.Model:
		names = []lineage.ID{modelName(doc.ID)}
	case lineage.Deployment:
		if history := doc.ServedHistory(); len(history) > 0 {
			for _, m := range history[len(history)-1].Models {
				names = append(names, modelName(m))
			}
		}
	}
	var out []lineage.ID
	for _, name := range names {
		model, err := lineage.Load(ctx, s.Store, name)
		if err != nil {
			return nil, err
		}
		if model != nil {
			out = append(out, watchersOf(model)...)
		}
	}
	return out[:min(len(out), maxMonitors)], nil
}

func watchersOf(model *lineage.Asset) []lineage.ID {
	var out []lineage.ID
	for _, e := range model.Edges {
		if e.Type == lineage.Watches && !e.Out {
			out = append(out, e.Other)
		}
	}
	return out
}

// modelName is the model as such of a version.
func modelName(id lineage.ID) lineage.ID {
	return lineage.NewID(lineage.Model, id.Workspace(), id.Name())
}

// measured reads a monitor's windows, oldest first.
func measured(monitor *lineage.Asset) []MonitorWindow {
	var out []MonitorWindow
	for _, m := range monitor.Sets["measured"] {
		var w lineage.Measured
		if json.Unmarshal(m.V, &w) != nil {
			continue
		}
		out = append(out, MonitorWindow{
			Monitor: monitor.ID, At: m.S.At, Window: w.Window, Signal: w.Signal, Breached: w.Breached,
			Run: w.Run, Breaches: w.Breaches, More: w.More, Loss: w.Loss,
		})
	}
	return out
}

// lastBreaches are the newest windows that breached, newest first.
func lastBreaches(windows []MonitorWindow) []MonitorWindow {
	out := []MonitorWindow{}
	for _, w := range slices.Backward(windows) {
		if w.Breached && len(out) < maxLastBreaches {
			out = append(out, w)
		}
	}
	return out
}

// String names a window for people.
func (w MonitorWindow) String() string {
	return fmt.Sprintf("%s %s", w.Monitor.Name(), cmp.Or(w.Signal, w.Window))
}

package lineage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Patch is what one event says about one asset. It depends on nothing but
// the event; Asset.Apply joins it with what is known.
type Patch struct {
	Asset ID
	Stamp Stamp
	// Mention marks what an event about something else says in passing: that
	// there is an edge, and nothing about the asset itself.
	Mention bool
	Fields  []FieldPatch
	Sets    []SetPatch
	Edges   []Edge
}

// FieldPatch sets one register.
type FieldPatch struct {
	Name  string
	Value json.RawMessage
}

// SetPatch adds one member to a bounded history.
type SetPatch struct {
	Set, Key string
	Value    json.RawMessage
}

// Apply joins p into the asset and reports whether anything changed. Edges
// that do not fit the document are returned, to be joined with records of
// their own (JoinEdge). Apply is commutative, associative and idempotent over
// patches: only stamps decide.
func (a *Asset) Apply(p Patch) (changed bool, overflow []Edge) {
	if a.ID == "" {
		a.ID = p.Asset
	}
	changed = a.saw(p.Stamp, p.Mention)
	for _, f := range p.Fields {
		changed = a.setField(f.Name, f.Value, p.Stamp) || changed
	}
	for _, s := range p.Sets {
		changed = a.addMember(s.Set, Member{K: s.Key, V: s.Value, S: p.Stamp}) || changed
	}
	for _, e := range p.Edges {
		e.Since = p.Stamp
		c, over := a.addEdge(e)
		changed = changed || c
		if over != nil {
			overflow = append(overflow, *over)
		}
	}
	return changed, overflow
}

// JoinEdge joins an overflowed edge with the stored one.
func JoinEdge(stored, e Edge) Edge {
	if !stored.Since.IsZero() && stored.Since.Compare(e.Since) < 0 {
		e.Since = stored.Since
	}
	return e
}

// maxID is the longest asset id that fits a partition and the name of an edge.
const maxID = 700

// CheckNames reports whether an event's home and the assets that its patches
// speak of have names that can be kept.
func CheckNames(home string, patches []Patch) *event.Problem {
	problem := checkName(ID(home))
	for _, p := range patches {
		problem = cmp.Or(problem, checkName(p.Asset))
		for _, e := range p.Edges {
			problem = cmp.Or(problem, checkName(e.Other))
		}
	}
	return problem
}

func checkName(id ID) *event.Problem {
	if len(id) > maxID {
		return &event.Problem{Reason: "name_too_long", Detail: fmt.Sprintf("the names in the event make an asset id of more than %d bytes", maxID)}
	}
	if strings.Contains(string(id)+"/", "/./") || strings.Contains(string(id)+"/", "/../") {
		return &event.Problem{Reason: "bad_name", Detail: "a name in the event is . or .., which no address can hold"}
	}
	return nil
}

// Home is the partition that an event belongs to: that of its primary asset,
// or a partition for what concerns no asset. It depends on the event alone.
func Home(ev *event.Event) string {
	ws := ev.Workspace.Alias
	switch {
	case ev.Model != nil:
		return string(NewID(Model, ws, ev.Model.Name, ev.Model.Version))
	case ev.Deployment != nil:
		return string(deploymentID(ws, ev.Deployment))
	case ev.Monitor != nil:
		return string(NewID(Monitor, ws, ev.Monitor.Name))
	case ev.Run != nil:
		return string(NewID(Job, ws, ev.Run.ID))
	case ev.Alert != nil:
		return string(alertAsset(ws, ev.Alert))
	case ev.Kind == event.SubscriptionDeleted:
		return "subscription/" + event.Digest(ev.Source, ev.Subject)
	default:
		return "unknown/" + event.Digest(ev.Source) + "/" + ev.Time.UTC().Format("2006-01-02")
	}
}

// PrimaryAsset is the asset whose partition is the event's home, or "" for an
// event that concerns none.
func PrimaryAsset(ev *event.Event) ID {
	home := Home(ev)
	id, err := ParseID(home)
	if err != nil {
		return ""
	}
	return id
}

// ModelOf is the model that an event concerns: a version where the event
// names one, else the model as such, else "".
func ModelOf(ev *event.Event) ID {
	ws := ev.Workspace.Alias
	switch {
	case ev.Model != nil:
		return NewID(Model, ws, ev.Model.Name, ev.Model.Version)
	case ev.Deployment != nil && len(ev.Deployment.Models) > 0:
		m := ev.Deployment.Models[0]
		return NewID(Model, ws, m.Name, m.Version)
	case ev.Monitor != nil && ev.Monitor.Model != "":
		return NewID(Model, ws, ev.Monitor.Model)
	case ev.Alert != nil && ev.Alert.Model != "":
		return NewID(Model, ws, ev.Alert.Model)
	case ev.Run != nil && ev.Run.Tags[ModelTag] != "":
		if id, err := ParseID(ev.Run.Tags[ModelTag]); err == nil && id.Kind() == Model {
			return id
		}
	}
	return ""
}

// ModelTag is the run tag in which a retraining job names the model it is
// for, as an asset id; beside event.OriginTag.
const ModelTag = "modelwarden.model"

// Patches says what an event tells about which assets. The first patch, if
// any, is that of the event's primary asset.
func Patches(ev *event.Event) []Patch {
	s := StampOf(ev)
	switch {
	case ev.Kind == event.Unknown || ev.Kind == event.SubscriptionDeleted:
		return nil
	case ev.Model != nil:
		return modelPatches(ev, s)
	case ev.Deployment != nil:
		return deploymentPatches(ev, s)
	case ev.Monitor != nil:
		return monitorPatches(ev, s)
	case ev.Run != nil:
		return jobPatches(ev, s)
	case ev.Alert != nil:
		return alertPatches(ev, s)
	}
	return nil
}

func modelPatches(ev *event.Event, s Stamp) []Patch {
	ws, m := ev.Workspace.Alias, ev.Model
	id := NewID(Model, ws, m.Name, m.Version)
	p := Patch{Asset: id, Stamp: s}
	p.text("registered", s.At.Format(timeLayout))
	p.object("tags", m.Tags)
	p.object("properties", m.Properties)
	p.text("owner", ownerOf(m.Tags, m.Properties))
	out := []Patch{p}
	if m.Job != "" {
		job := NewID(Job, ws, m.Job)
		out[0].Edges = []Edge{{Type: Produced, Other: job}}
		out = append(out, Patch{Asset: job, Stamp: s, Mention: true, Edges: []Edge{{Out: true, Type: Produced, Other: id}}})
	}
	if m.Run != nil {
		out = append(out, runPatches(ws, m.Run, s)...)
	}
	name := Patch{Asset: NewID(Model, ws, m.Name), Stamp: s}
	name.text("latest", m.Version)
	return append(out, name)
}

func deploymentPatches(ev *event.Event, s Stamp) []Patch {
	ws, d := ev.Workspace.Alias, ev.Deployment
	id, endpoint := deploymentID(ws, d), NewID(Endpoint, ws, d.Endpoint)
	p := Patch{Asset: id, Stamp: s, Edges: []Edge{{Out: true, Type: Serves, Other: endpoint}}}
	p.text("computeType", d.ComputeType)
	p.object("tags", d.Tags)
	p.object("properties", d.Properties)
	end := Patch{Asset: endpoint, Stamp: s, Edges: []Edge{{Type: Serves, Other: id}}}
	end.text("computeType", d.ComputeType)
	if len(d.Traffic) > 0 {
		end.value("traffic", d.Traffic)
		end.member("routed", string(ev.Key()), d.Traffic)
	}
	served := make([]ID, 0, len(d.Models))
	out := []Patch{{}, end}
	for _, ref := range d.Models {
		m := NewID(Model, ws, ref.Name, ref.Version)
		served = append(served, m)
		p.Edges = append(p.Edges, Edge{Type: Deployed, Other: m})
		version := Patch{Asset: m, Stamp: s, Edges: []Edge{{Out: true, Type: Deployed, Other: id}}}
		version.text("stage", "deployed")
		name := Patch{Asset: NewID(Model, ws, ref.Name), Stamp: s}
		name.text("serving", ref.Version)
		name.text("servingAt", string(id))
		out = append(out, version, name)
	}
	p.member("served", string(ev.Key()), served[:fittingIDs(served)])
	out[0] = p
	return out
}

// fittingIDs is how many of the ids fit one member of a history. What goes
// beyond (hundreds of models behind one deployment) keeps its edge and loses
// only the time at which it was replaced.
func fittingIDs(ids []ID) int {
	bytes := 2
	for i, id := range ids {
		if bytes += len(id) + 3; bytes > maxMember {
			return i
		}
	}
	return len(ids)
}

func jobPatches(ev *event.Event, s Stamp) []Patch {
	ws, r := ev.Workspace.Alias, ev.Run
	out := runPatches(ws, r, s)
	if m := ModelOf(ev); m != "" {
		id := NewID(Job, ws, r.ID)
		out[0].Edges = append(out[0].Edges, Edge{Out: true, Type: Retrains, Other: m})
		out = append(out, Patch{Asset: m, Stamp: s, Mention: true, Edges: []Edge{{Type: Retrains, Other: id}}})
	}
	return out
}

// runPatches are what is said about a run and what it read, the job's first.
func runPatches(ws string, r *event.Run, s Stamp) []Patch {
	id := NewID(Job, ws, r.ID)
	p := Patch{Asset: id, Stamp: s}
	p.text("status", r.Status)
	p.text("type", r.Type)
	p.text("experiment", r.ExperimentName)
	p.object("tags", r.Tags)
	p.object("properties", r.Properties)
	p.text("owner", ownerOf(r.Tags, r.Properties))
	p.text("origin", r.Origin)
	out := []Patch{{}}
	for _, in := range r.Inputs {
		data := NewID(Data, ws, in.Name, in.Version)
		p.Edges = append(p.Edges, Edge{Type: Input, Other: data})
		out = append(out, Patch{Asset: data, Stamp: s, Mention: true, Edges: []Edge{{Out: true, Type: Input, Other: id}}})
	}
	p.facts(r)
	out[0] = p
	return out
}

// Measured is one window of a monitor in the set "measured".
type Measured struct {
	Window   string         `json:"window"`
	Signal   string         `json:"signal,omitempty"`
	Breached bool           `json:"breached"`
	Run      string         `json:"run,omitempty"`
	Breaches []event.Breach `json:"breaches,omitempty"`
	// More counts the breaches beyond the ten that are kept here.
	More int         `json:"more,omitempty"`
	Loss *event.Loss `json:"loss,omitempty"`
}

const maxBreachesKept = 10

func monitorPatches(ev *event.Event, s Stamp) []Patch {
	ws, m := ev.Workspace.Alias, ev.Monitor
	id := NewID(Monitor, ws, m.Name)
	p := Patch{Asset: id, Stamp: s}
	run := ""
	if ev.Run != nil {
		run = ev.Run.ID
	}
	if ev.Kind == event.MonitorPassed {
		p.member("measured", m.Window, Measured{Window: m.Window, Run: run})
	} else {
		for _, measured := range bySignal(ev, run) {
			p.member("measured", m.Window+"/"+measured.Signal, measured)
		}
	}
	p.schedule(m.Schedule)
	if m.Model == "" {
		return []Patch{p}
	}
	model := NewID(Model, ws, m.Model)
	p.Edges = []Edge{{Out: true, Type: Watches, Other: model}}
	return []Patch{p, {Asset: model, Stamp: s, Mention: true, Edges: []Edge{{Type: Watches, Other: id}}}}
}

// bySignal groups an event's breaches by signal, in order of appearance. An
// event that lost all of its breaches still measured something.
func bySignal(ev *event.Event, run string) []Measured {
	var out []Measured
	index := map[string]int{}
	at := func(signal string) *Measured {
		i, ok := index[signal]
		if !ok {
			i = len(out)
			index[signal] = i
			out = append(out, Measured{Window: ev.Monitor.Window, Signal: signal, Breached: true, Run: run, Loss: ev.Loss})
		}
		return &out[i]
	}
	if ev.Loss != nil {
		for _, signal := range ev.Loss.Signals {
			at(signal)
		}
	}
	for _, b := range ev.Breaches {
		m := at(b.Signal)
		if len(m.Breaches) < maxBreachesKept {
			m.Breaches = append(m.Breaches, b)
		} else {
			m.More++
		}
	}
	return out
}

func alertPatches(ev *event.Event, s Stamp) []Patch {
	a := ev.Alert
	p := Patch{Asset: alertAsset(ev.Workspace.Alias, a), Stamp: s}
	state := "fired"
	if ev.Kind == event.AlertResolved {
		state = "resolved"
	}
	p.value("alert:"+a.Rule, map[string]any{"state": state, "severity": a.Severity, "description": a.Description, "id": a.ID})
	return []Patch{p}
}

func deploymentID(ws string, d *event.Deployment) ID {
	name := d.Name
	if name == "" {
		name = "default"
	}
	return NewID(Deployment, ws, d.Endpoint, name)
}

// alertAsset is what an alert speaks of: the endpoint's deployment, the
// endpoint, or the rule itself as a monitor.
func alertAsset(ws string, a *event.Alert) ID {
	switch {
	case a.Endpoint != "" && a.Deployment != "":
		return NewID(Deployment, ws, a.Endpoint, a.Deployment)
	case a.Endpoint != "":
		return NewID(Endpoint, ws, a.Endpoint)
	default:
		return NewID(Monitor, ws, a.Rule)
	}
}

const timeLayout = "2006-01-02T15:04:05.999999999Z07:00"

// ownerOf reads who answers for an asset, from the usual keys.
func ownerOf(maps ...map[string]string) string {
	for _, m := range maps {
		for _, k := range []string{"owner", "Owner", "owners", "team", "contact"} {
			if v := m[k]; v != "" {
				return v
			}
		}
	}
	return ""
}

// Bounds of one register. Azure's own are far below (50 tags of 1,000
// characters); the event log keeps what is cut here.
const (
	maxText    = 4 << 10
	maxEntries = 256
	maxMember  = 16 << 10
)

// text sets a register to a string; nothing when the event did not say.
func (p *Patch) text(name, v string) {
	if v != "" {
		p.value(name, clip(v))
	}
}

// object sets a register to a map; nothing when the event had none.
func (p *Patch) object(name string, v map[string]string) {
	if len(v) == 0 {
		return
	}
	clipped := make(map[string]string, min(len(v), maxEntries))
	for _, k := range slices.Sorted(maps.Keys(v))[:min(len(v), maxEntries)] {
		clipped[clip(k)] = clip(v[k])
	}
	p.value(name, clipped)
}

// clip cuts a text at a rune boundary and says so.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "… (cut)"
}

func (p *Patch) value(name string, v any) {
	if b, err := json.Marshal(v); err == nil {
		p.Fields = append(p.Fields, FieldPatch{Name: name, Value: b})
	}
}

func (p *Patch) member(set, key string, v any) {
	if b, err := json.Marshal(v); err == nil && len(b) <= maxMember {
		p.Sets = append(p.Sets, SetPatch{Set: set, Key: key, Value: b})
	}
}

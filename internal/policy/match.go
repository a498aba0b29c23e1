package policy

import (
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// matchKey is one key of `match`: its patterns, and the values that an event
// has for it.
type matchKey struct {
	name     string
	patterns func(*Match) *Patterns
	values   func(*event.Event, *View, []string) []string
	fold     bool
	slot     int // its place in facets
}

// selectsBreaches reports whether the key chooses among an event's breaches;
// a monitor that passed has none, and passed all of its signals.
func (k *matchKey) selectsBreaches() bool { return k.name == "signal" || k.name == "signalType" }

// matchKeys are all keys with patterns, the most telling first: by the first
// one that a policy uses, the index finds it.
var matchKeys = []matchKey{
	{slot: 0, name: "job", patterns: func(m *Match) *Patterns { return &m.Job }, values: jobOf},
	{slot: 1, name: "monitor", patterns: func(m *Match) *Patterns { return &m.Monitor }, values: monitorOf},
	{slot: 2, name: "asset", patterns: func(m *Match) *Patterns { return &m.Asset }, values: assetOf},
	{slot: 3, name: "model", patterns: func(m *Match) *Patterns { return &m.Model }, values: modelsOf},
	{slot: 4, name: "endpoint", patterns: func(m *Match) *Patterns { return &m.Endpoint }, values: endpointOf, fold: true},
	{slot: 5, name: "experiment", patterns: func(m *Match) *Patterns { return &m.Experiment }, values: experimentOf},
	{slot: 6, name: "workspace", patterns: func(m *Match) *Patterns { return &m.Workspace }, values: workspaceOf, fold: true},
	{slot: 7, name: "signal", patterns: func(m *Match) *Patterns { return &m.Signal }, values: signalsOf},
	{slot: 8, name: "signalType", patterns: func(m *Match) *Patterns { return &m.SignalType }, values: signalTypesOf},
	{slot: 9, name: "severity", patterns: func(m *Match) *Patterns { return &m.Severity }, values: severityOf, fold: true},
}

func jobOf(ev *event.Event, _ *View, out []string) []string {
	if ev.Run != nil {
		return text(out, ev.Run.ID)
	}
	return out
}

func experimentOf(ev *event.Event, _ *View, out []string) []string {
	if ev.Run != nil {
		return text(out, ev.Run.ExperimentName)
	}
	return out
}

func monitorOf(ev *event.Event, _ *View, out []string) []string {
	if ev.Monitor != nil {
		return text(out, ev.Monitor.Name)
	}
	return out
}

func assetOf(ev *event.Event, view *View, out []string) []string {
	if view.Asset != "" {
		return append(out, view.Asset)
	}
	return text(out, string(lineage.PrimaryAsset(ev)))
}

func endpointOf(ev *event.Event, _ *View, out []string) []string {
	switch {
	case ev.Deployment != nil:
		return text(out, ev.Deployment.Endpoint)
	case ev.Alert != nil:
		return text(out, ev.Alert.Endpoint)
	}
	return out
}

func workspaceOf(ev *event.Event, _ *View, out []string) []string {
	return text(out, ev.Workspace.Alias)
}

func severityOf(ev *event.Event, _ *View, out []string) []string {
	if ev.Alert != nil {
		return text(out, ev.Alert.Severity)
	}
	return out
}

// modelsOf are the names of all models that an event concerns.
func modelsOf(ev *event.Event, view *View, out []string) []string {
	if ev.Deployment != nil && len(ev.Deployment.Models) > 0 {
		for _, m := range ev.Deployment.Models {
			out = text(out, m.Name)
		}
		return out
	}
	if ev.Model != nil {
		return text(out, ev.Model.Name)
	}
	if ev.Monitor != nil && ev.Monitor.Model != "" {
		return append(out, ev.Monitor.Model)
	}
	return text(out, modelOf(ev, view).Name())
}

// modelOf is the id of the model concerned: what the lineage says, else what
// the event says, else "".
func modelOf(ev *event.Event, view *View) lineage.ID {
	if view.Model != "" {
		return lineage.ID(view.Model)
	}
	return lineage.ModelOf(ev)
}

func signalsOf(ev *event.Event, _ *View, out []string) []string {
	for i := range ev.Breaches {
		out = text(out, ev.Breaches[i].Signal)
	}
	if ev.Loss != nil {
		for _, s := range ev.Loss.Signals {
			out = text(out, s)
		}
	}
	return out
}

func signalTypesOf(ev *event.Event, _ *View, out []string) []string {
	for i := range ev.Breaches {
		out = text(out, ev.Breaches[i].SignalType)
	}
	return out
}

// text adds a value that is there and not yet listed.
func text(out []string, v string) []string {
	if v == "" || slices.Contains(out, v) {
		return out
	}
	return append(out, v)
}

// tagsOf are the tags that match.tags looks at.
func tagsOf(ev *event.Event) map[string]string {
	switch {
	case ev.Model != nil:
		return ev.Model.Tags
	case ev.Deployment != nil:
		return ev.Deployment.Tags
	case ev.Alert != nil:
		return ev.Alert.Custom
	case ev.Run != nil:
		return ev.Run.Tags
	}
	return nil
}

// matcher is a Match made ready.
type matcher struct {
	keys []keyMatcher
	tags []tagMatcher
	// signal and signalType select breaches; nil selects all.
	signal, signalType []glob
}

type keyMatcher struct {
	key   *matchKey
	globs []glob
	raw   Patterns // as written, to tell people
}

type tagMatcher struct {
	tag   string
	globs []glob
}

func newMatcher(m Match) matcher {
	var out matcher
	for i := range matchKeys {
		k := &matchKeys[i]
		raw := *k.patterns(&m)
		if len(raw) == 0 {
			continue
		}
		gs := newGlobs(raw, k.fold)
		out.keys = append(out.keys, keyMatcher{key: k, globs: gs, raw: raw})
		switch k.name {
		case "signal":
			out.signal = gs
		case "signalType":
			out.signalType = gs
		}
	}
	for tag, raw := range m.Tags {
		out.tags = append(out.tags, tagMatcher{tag: tag, globs: newGlobs(raw, false)})
	}
	slices.SortFunc(out.tags, func(a, b tagMatcher) int { return strings.Compare(a.tag, b.tag) })
	return out
}

func newGlobs(ps Patterns, fold bool) []glob {
	out := make([]glob, len(ps))
	for i, p := range ps {
		if fold {
			p = strings.ToLower(p)
		}
		out[i] = newGlob(p)
	}
	return out
}

func anyGlob(gs []glob, s string) bool {
	for _, g := range gs {
		if g.match(s) {
			return true
		}
	}
	return false
}

// match reports whether the event is selected; failed names the first key
// that does not match otherwise. Keys that select breaches are left out for a
// monitor that passed.
func (m *matcher) match(f *facets) (failed string, ok bool) {
	for i := range m.keys {
		k := &m.keys[i]
		if f.event.Kind == event.MonitorPassed && k.key.selectsBreaches() {
			continue
		}
		if !k.match(f) {
			return k.key.name, false
		}
	}
	tags := tagsOf(f.event)
	for _, t := range m.tags {
		if v, has := tags[t.tag]; !has || !anyGlob(t.globs, v) {
			return "tags." + t.tag, false
		}
	}
	return "", true
}

func (k *keyMatcher) match(f *facets) bool {
	for _, v := range f.values(k.key) {
		if anyGlob(k.globs, v) {
			return true
		}
	}
	return false
}

// breach reports whether a breach is one of those selected.
func (m *matcher) breach(b *event.Breach) bool {
	return (m.signal == nil || anyGlob(m.signal, b.Signal)) &&
		(m.signalType == nil || anyGlob(m.signalType, b.SignalType))
}

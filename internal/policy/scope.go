package policy

import (
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// scope is what the variables of a condition are bound to, for one event and
// one of its breaches. It implements cel.Activation.
type scope struct {
	event    *event.Event
	breach   *event.Breach
	view     *View
	now      time.Time
	asset    *assetFacts
	model    *assetFacts
	champion *championFacts
}

func newScope(ev *event.Event, view *View, now time.Time) *scope {
	return &scope{event: ev, view: view, now: now}
}

// absentError says that a variable has nothing to be bound to in this event.
type absentError string

// Error implements error.
func (e absentError) Error() string { return string(e) + " is not known for this event" }

// Parent implements cel.Activation.
func (s *scope) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation. A variable without a value is an
// error that || and && absorb where the other side decides.
func (s *scope) ResolveName(name string) (any, bool) {
	if _, known := variables[name]; !known {
		return nil, false
	}
	v, ok := s.lookup(name)
	if !ok {
		return types.WrapErr(absentError(name)), true
	}
	return v, true
}

// lookup is a variable's value; false where this event has none.
func (s *scope) lookup(name string) (any, bool) {
	switch name {
	case "event":
		return s.event, true
	case "breach":
		return s.breach, s.breach != nil
	case "run":
		return s.event.Run, s.event.Run != nil
	case "alert":
		return s.event.Alert, s.event.Alert != nil
	case "asset":
		return s.assetFacts(), true
	case "model":
		m := s.modelFacts()
		return m, m.id != ""
	case "champion":
		if s.champion == nil {
			s.champion = &championFacts{metrics: s.view.ChampionMetrics}
		}
		return s.champion, true
	case "metrics":
		return s.view.Metrics, true
	case "history":
		return s.view.History, true
	case "now":
		return s.now, true
	}
	return nil, false
}

func (s *scope) assetFacts() *assetFacts {
	if s.asset == nil {
		s.asset = factsOf(lineage.ID(subject(s.event, s.view)))
	}
	return s.asset
}

// modelFacts joins what the lineage knows of the model with what the event
// itself says.
func (s *scope) modelFacts() *assetFacts {
	if s.model != nil {
		return s.model
	}
	m := factsOf(modelOf(s.event, s.view))
	if em := s.event.Model; em != nil {
		m.tags, m.properties = em.Tags, em.Properties
	}
	f := s.view.ModelFields
	m.stage, m.owner = textOr(f["stage"], ""), textOr(f["owner"], "")
	m.name, m.version = textOr(f["name"], m.name), textOr(f["version"], m.version)
	m.tags, m.properties = mapOr(f["tags"], m.tags), mapOr(f["properties"], m.properties)
	s.model = m
	return m
}

func factsOf(id lineage.ID) *assetFacts {
	if strings.Count(string(id), "/") < 2 {
		return &assetFacts{id: string(id)}
	}
	return &assetFacts{id: string(id), kind: string(id.Kind()), workspace: id.Workspace(), name: id.Name(), version: id.Version()}
}

func textOr(v any, other string) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	return other
}

func mapOr(v any, other map[string]string) map[string]string {
	switch m := v.(type) {
	case map[string]string:
		return m
	case map[string]any:
		out := make(map[string]string, len(m))
		for k, v := range m {
			if s, ok := v.(string); ok {
				out[k] = s
			}
		}
		return out
	}
	return other
}

// subject is the asset that an event is decided for: its primary asset, else
// the partition that the event belongs to.
func subject(ev *event.Event, view *View) string {
	if view.Asset != "" {
		return view.Asset
	}
	return lineage.Home(ev)
}

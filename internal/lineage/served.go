package lineage

import (
	"encoding/json"
	"slices"
	"time"
)

// Served is one entry of a deployment's history: what it served from then on.
type Served struct {
	Since  time.Time
	Models []ID
}

// ServedHistory is what a deployment served, oldest first.
func (a *Asset) ServedHistory() []Served {
	var out []Served
	for _, m := range a.Sets["served"] {
		var models []ID
		if json.Unmarshal(m.V, &models) == nil {
			out = append(out, Served{Since: m.S.At, Models: models})
		}
	}
	return out
}

// Routed is one entry of an endpoint's history: how its traffic was spread from
// then on, in percent by deployment.
type Routed struct {
	Since   time.Time
	Traffic map[string]int
}

// RoutedHistory is how an endpoint's traffic was spread, oldest first.
func (a *Asset) RoutedHistory() []Routed {
	var out []Routed
	for _, m := range a.Sets["routed"] {
		var traffic map[string]int
		if json.Unmarshal(m.V, &traffic) == nil {
			out = append(out, Routed{Since: m.S.At, Traffic: traffic})
		}
	}
	return out
}

// deploymentHistory ends the `deployed` arcs of models that were replaced and
// draws superseded_by between versions of one model that followed each other.
func (w *walk) deploymentHistory(d *Asset) {
	history := d.ServedHistory()
	for i, served := range history {
		if i+1 == len(history) || (!w.o.AsOf.IsZero() && history[i+1].Since.After(w.o.AsOf)) {
			break
		}
		next := history[i+1]
		for _, m := range served.Models {
			if slices.Contains(next.Models, m) {
				continue
			}
			w.end(m, d.ID, next.Since, history[i+1:])
			w.supersede(m, next)
		}
	}
}

func (w *walk) end(m, deployment ID, at time.Time, later []Served) {
	key := string(m) + " " + string(Deployed) + " " + string(deployment)
	arc, ok := w.arcs[key]
	if !ok {
		return
	}
	for _, s := range later {
		if slices.Contains(s.Models, m) && (w.o.AsOf.IsZero() || !s.Since.After(w.o.AsOf)) {
			return
		}
	}
	arc.Until = at
	w.arcs[key] = arc
}

func (w *walk) supersede(m ID, next Served) {
	for _, n := range next.Models {
		if n.Name() != m.Name() || n == m {
			continue
		}
		if w.seen[m] == nil || w.seen[n] == nil {
			continue
		}
		key := string(m) + " " + string(SupersededBy) + " " + string(n)
		w.arcs[key] = Arc{From: m, To: n, Type: SupersededBy, Since: next.Since}
	}
}

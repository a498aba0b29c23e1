package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// stages are offered by completion; the server knows what is right.
var stages = []string{"candidate", "evaluated", "approved", "deployed", "monitored", "deprecated", "retired"}

func (p *program) modelCommand() *cobra.Command {
	list := listCommand(p, listing[lineage.InventoryItem]{
		use:   "list",
		short: "List model versions",
		example: `  modelwarden model list
  modelwarden model list --workspace contoso-ml --stage deployed
  modelwarden model list -q churn -o json`,
		path: "models",
		filters: []filter{
			{flag: "workspace", param: "workspace", usage: "only of this `WORKSPACE`"},
			{flag: "stage", param: "stage", usage: "only at this `STAGE`", values: stages},
			{flag: "query", short: "q", param: "q", usage: "only with this `TEXT` in name, version or owner"},
		},
		columns: modelColumns,
	})
	show := p.assetShow("MODEL", "Show one model version: stage, owner, edges, last breaches",
		"  modelwarden model show model/contoso-ml/churn/12\n  modelwarden model show model/contoso-ml/churn/12 -o json")
	show.ValidArgsFunction = p.completeModel
	return group("model", "List and show models", "", list, show)
}

func modelColumns(o *output) []column[lineage.InventoryItem] {
	type item = lineage.InventoryItem
	return []column[item]{
		{"model", func(m item) cell { return text(string(m.ID)) }},
		{"stage", func(m item) cell { return text(m.Stage) }},
		{"owner", func(m item) cell { return text(m.Owner) }},
		{"job", func(m item) cell { return text(string(m.Job)) }},
		{"deployments", func(m item) cell { return places(m.Deployments) }},
		{"registered", func(m item) cell { return o.when(m.Registered) }},
		{"updated", func(m item) cell { return o.when(m.Updated) }},
	}
}

// places shows people the first place by its name, and scripts the ids of all.
func places(all []lineage.ID) cell {
	parts := make([]string, len(all))
	for i, id := range all {
		parts[i] = string(id)
	}
	c := text(strings.Join(parts, ","))
	if len(all) > 0 {
		c.human = all[0].Name() + "/" + all[0].Version()
	}
	if len(all) > 1 {
		c.human += fmt.Sprintf(" +%d", len(all)-1)
	}
	return c
}

func (p *program) assetCommand() *cobra.Command {
	show := p.assetShow("ASSET", "Show one asset of any kind",
		"  modelwarden asset show deployment/contoso-ml/churn-ep/blue\n  modelwarden asset show job/contoso-ml/sincere_yak_7f3 -o tsv")
	show.ValidArgsFunction = p.completeAsset
	return group("asset", "Show assets: data, jobs, models, endpoints, deployments, monitors", "", show)
}

func (p *program) assetShow(argument, short, example string) *cobra.Command {
	return showCommand(p, showing[assetDoc]{
		use: "show " + argument, short: short, example: example, argument: argument,
		path: assetPath("assets/"), page: assetPage,
	})
}

// assetDoc is what is printed of the API's asset.
type assetDoc struct {
	ID           lineage.ID                 `json:"id"`
	Stage        string                     `json:"stage"`
	Status       string                     `json:"status"`
	Owner        string                     `json:"owner"`
	Tags         map[string]string          `json:"tags"`
	Properties   map[string]string          `json:"properties"`
	Facts        map[string]json.RawMessage `json:"facts"`
	Completeness *lineage.Completeness      `json:"completeness"`
	Served       []servedModels             `json:"served"`
	Edges        []lineage.Arc              `json:"edges"`
	LastBreaches []measuredWindow           `json:"lastBreaches"`
	Events       []lineage.EventLine        `json:"events"`
	FirstSeen    time.Time                  `json:"firstSeen"`
	LastSeen     time.Time                  `json:"lastSeen"`
}

type servedModels struct {
	Since  time.Time `json:"since"`
	Models []string  `json:"models"`
}

type measuredWindow struct {
	Monitor  lineage.ID     `json:"monitor"`
	At       time.Time      `json:"at"`
	Window   string         `json:"window"`
	Signal   string         `json:"signal"`
	Breaches []event.Breach `json:"breaches"`
	More     int            `json:"more"`
}

func assetPage(o *output, a assetDoc) error {
	facts := []fact{
		{"asset", text(string(a.ID))},
		{"stage", text(a.Stage)},
		{"status", text(a.Status)},
		{"owner", text(a.Owner)},
		{"first seen", o.when(a.FirstSeen)},
		{"last seen", o.when(a.LastSeen)},
		{"tags", text(pairs(a.Tags))},
		{"properties", text(pairs(a.Properties))},
	}
	facts = append(facts, completenessFacts(a.Completeness)...)
	for _, name := range slices.Sorted(maps.Keys(a.Facts)) {
		facts = append(facts, fact{name, text(factText(a.Facts[name]))})
	}
	for _, s := range a.Served {
		facts = append(facts, fact{"served", text("from " + shownTime(s.Since) + ": " + strings.Join(s.Models, ", "))})
	}
	for _, e := range a.Edges {
		facts = append(facts, fact{"edge", text(arcText(e))})
	}
	for _, w := range a.LastBreaches {
		facts = append(facts, windowFacts(w)...)
	}
	return o.facts(append(facts, eventFacts(o, a)...))
}

// completenessFacts are the score of a model version, and a line for each gap.
func completenessFacts(c *lineage.Completeness) []fact {
	if c == nil {
		return nil
	}
	share := cell{fmt.Sprintf("%.0f%%", math.Floor(c.Score*100)), strconv.FormatFloat(c.Score, 'f', -1, 64)}
	facts := []fact{{"completeness", share}}
	for _, gap := range c.Missing {
		facts = append(facts, fact{"missing", text(gap.What + ": " + gap.Why)})
	}
	return facts
}

// factText writes text as it is and everything else as JSON.
func factText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// eventFacts are the newest few events; scripts get all that came.
func eventFacts(o *output, a assetDoc) []fact {
	var facts []fact
	for i, e := range a.Events {
		if i == 5 && o.format == formatTable {
			more := fmt.Sprintf("and %d more: modelwarden event list --asset %s", len(a.Events)-i, a.ID)
			return append(facts, fact{"event", text(more)})
		}
		facts = append(facts, fact{"event", text(shownTime(e.Time) + " " + string(e.Kind) + " " + e.Key)})
	}
	return facts
}

func windowFacts(w measuredWindow) []fact {
	var facts []fact
	for _, b := range w.Breaches {
		facts = append(facts, fact{"breach", text(shownTime(w.At) + " " + breachText(b))})
	}
	if len(w.Breaches) == 0 {
		facts = append(facts, fact{"breach", text(shownTime(w.At) + " " + cmp.Or(w.Signal, w.Window) + " (no details)")})
	}
	if w.More > 0 {
		facts = append(facts, fact{"breach", text(fmt.Sprintf("and %d more in the same window", w.More))})
	}
	return facts
}

// breachText says which feature's metric crossed which threshold.
func breachText(b event.Breach) string {
	subject := cmp.Or(b.Signal, b.Monitor, "a signal")
	if b.Feature != "" {
		subject += " of " + b.Feature
	}
	return fmt.Sprintf("%s: %s is %s, threshold %s", subject, cmp.Or(b.Metric, "the metric"), known(b.Value), known(b.Threshold))
}

func known(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.4g", *v)
}

func arcText(e lineage.Arc) string {
	s := fmt.Sprintf("%s -%s-> %s", e.From, e.Type, e.To)
	if !e.Until.IsZero() {
		s += " until " + shownTime(e.Until)
	}
	return s
}

// pairs writes a map as "k=v, k=v", sorted.
func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ", ")
}

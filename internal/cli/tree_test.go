package cli

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// graph builds a graph around its first node from "a -type-> b" lines.
func graph(root string, edges ...string) *lineage.Graph {
	g := &lineage.Graph{Root: lineage.ID(root), Nodes: []lineage.Node{{ID: lineage.ID(root)}}}
	for _, e := range edges {
		from, rest, _ := strings.Cut(e, " -")
		kind, to, _ := strings.Cut(rest, "-> ")
		g.Edges = append(g.Edges, lineage.Arc{From: lineage.ID(from), To: lineage.ID(to), Type: lineage.EdgeType(kind)})
	}
	return g
}

func drawn(t interface{ Fatal(...any) }, g *lineage.Graph) string {
	var b strings.Builder
	if err := drawTree(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTree(t *testing.T) {
	for name, tt := range map[string]struct {
		graph *lineage.Graph
		want  string
	}{
		"alone": {graph("m"), `
m
`},
		"chain in both directions": {graph("m", "d -input-> j", "j -produced-> m", "m -deployed-> dep", "dep -serves-> ep"), `
m
comes from
└─ ← produced j
   └─ ← input d
leads to
└─ → deployed dep
   └─ → serves ep
`},
		"a shared cause is drawn once with its own causes": {graph("m", "a -input-> j", "b -input-> j", "j -produced-> a2", "j -produced-> b2", "a2 -input-> k", "b2 -input-> k", "k -produced-> m"), `
m
comes from
└─ ← produced k
   ├─ ← input a2
   │  └─ ← produced j
   │     ├─ ← input a
   │     └─ ← input b
   └─ ← input b2
      └─ ← produced j  (see above)
`},
		"a shared leaf needs no mark": {graph("d", "d -input-> j", "d -input-> k", "j -produced-> m", "k -produced-> m"), `
d
leads to
├─ → input j
│  └─ → produced m
└─ → input k
   └─ → produced m
`},
		"a cycle ends": {graph("m1", "m1 -superseded_by-> m2", "m2 -superseded_by-> m1"), `
m1
comes from
└─ ← superseded_by m2
   └─ ← superseded_by m1  (see above)
leads to
└─ → superseded_by m2
   └─ → superseded_by m1  (see above)
`},
		"an edge to itself ends": {graph("m", "m -retrains-> m"), `
m
comes from
└─ ← retrains m  (see above)
leads to
└─ → retrains m  (see above)
`},
		"monitors are shown beside what they watch, on the way down too": {graph("j", "j -produced-> m", "mon -watches-> m"), `
j
leads to
└─ → produced m
   └─ ← watches mon
`},
		"what neither half reaches is still told": {graph("m", "x -input-> y"), `
m
also
   x -input-> y
`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := "\n" + drawn(t, tt.graph); got != tt.want {
				t.Errorf("got%s\nwant%s", got, tt.want)
			}
		})
	}
}

// Whatever the graph, drawing ends, every edge is told, and none twice in one
// half.
func TestTreeTellsEveryEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := graph("n0")
		types := []lineage.EdgeType{lineage.Input, lineage.Produced, lineage.Watches, lineage.SupersededBy}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 30).Draw(t, "edges") {
			node := func(label string) lineage.ID {
				return lineage.ID(fmt.Sprintf("n%d", rapid.IntRange(0, 9).Draw(t, label)))
			}
			e := lineage.Arc{From: node("from"), To: node("to"), Type: rapid.SampledFrom(types).Draw(t, "type")}
			if !seen[arcKey(e)] {
				seen[arcKey(e)] = true
				g.Edges = append(g.Edges, e)
			}
		}
		text := drawn(t, g)
		lines := strings.Count(text, "─ ") + strings.Count(text, "\n   n")
		if lines < len(g.Edges) || lines > 2*len(g.Edges) {
			t.Fatalf("%d edges in %d lines:\n%s", len(g.Edges), lines, text)
		}
		for _, e := range g.Edges {
			if !strings.Contains(text, string(e.Type)+" "+string(e.From)) &&
				!strings.Contains(text, string(e.Type)+" "+string(e.To)) && !strings.Contains(text, arcText(e)) {
				t.Fatalf("edge %s is not told:\n%s", arcText(e), text)
			}
		}
	})
}

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// tree draws a lineage graph as an indented tree around its root: what led to
// it in the first half, what came of it in the second. Each half draws an
// edge once. An asset that more than one path reaches has its branches at the
// first place and a mark at the others, so shared assets stay short and
// cycles end.
type tree struct {
	w     io.Writer
	nodes map[lineage.ID]lineage.Node
	// in and out are the edges by their ends.
	in, out map[lineage.ID][]lineage.Arc
	// drawn edges and expanded nodes of each half.
	drawn    map[lineage.Direction]map[string]bool
	expanded map[lineage.Direction]map[lineage.ID]bool
	err      error
}

// heading of the two halves of a tree.
const (
	headCauses  = "comes from"
	headEffects = "leads to"
)

// drawTree writes the tree of a graph.
func drawTree(w io.Writer, g *lineage.Graph) error {
	t := &tree{
		w: w, nodes: map[lineage.ID]lineage.Node{},
		in: map[lineage.ID][]lineage.Arc{}, out: map[lineage.ID][]lineage.Arc{},
		drawn:    map[lineage.Direction]map[string]bool{lineage.Up: {}, lineage.Down: {}},
		expanded: map[lineage.Direction]map[lineage.ID]bool{lineage.Up: {}, lineage.Down: {}},
	}
	for _, n := range g.Nodes {
		t.nodes[n.ID] = n
	}
	for _, e := range g.Edges {
		t.out[e.From] = append(t.out[e.From], e)
		t.in[e.To] = append(t.in[e.To], e)
	}
	for _, ends := range []map[lineage.ID][]lineage.Arc{t.in, t.out} {
		for _, edges := range ends {
			slices.SortFunc(edges, compareArcs)
		}
	}
	t.line("", t.label(g.Root))
	t.halves(g.Root)
	t.rest(g)
	return t.err
}

func compareArcs(a, b lineage.Arc) int {
	return strings.Compare(arcKey(a), arcKey(b))
}

func arcKey(e lineage.Arc) string {
	return string(e.Type) + " " + string(e.From) + " " + string(e.To)
}

// halves draws causes, then effects.
func (t *tree) halves(root lineage.ID) {
	if len(t.in[root]) > 0 {
		t.line("", headCauses)
		t.branches(root, "", lineage.Up)
	}
	if len(t.undrawn(root, lineage.Down)) > 0 {
		t.line("", headEffects)
		t.branches(root, "", lineage.Down)
	}
}

// branches draws the edges of a node in one direction.
func (t *tree) branches(id lineage.ID, indent string, way lineage.Direction) {
	t.expanded[way][id] = true
	edges := t.undrawn(id, way)
	for _, e := range edges {
		t.drawn[way][arcKey(e)] = true
	}
	for i, e := range edges {
		fork, below := "├─ ", "│  "
		if i == len(edges)-1 {
			fork, below = "└─ ", "   "
		}
		other, outward := e.From, way == lineage.Down && e.From == id
		if outward {
			other = e.To
		}
		branch := edgeLabel(e, outward) + " " + t.label(other)
		if t.expanded[way][other] {
			t.line(indent+fork, branch+t.seen(other, way))
			continue
		}
		t.line(indent+fork, branch)
		t.branches(other, indent+below, way)
	}
}

// seen marks an asset whose branches are elsewhere, if it has any.
func (t *tree) seen(id lineage.ID, way lineage.Direction) string {
	if way == lineage.Up && len(t.in[id]) == 0 || way == lineage.Down && len(t.out[id]) == 0 {
		return ""
	}
	return "  (see above)"
}

// undrawn are the edges to follow from a node. On the way down, the monitors
// that watch the node belong to it, although they point at it.
func (t *tree) undrawn(id lineage.ID, way lineage.Direction) []lineage.Arc {
	edges := slices.Clone(t.in[id])
	if way == lineage.Down {
		edges = slices.DeleteFunc(edges, func(e lineage.Arc) bool {
			return e.Type != lineage.Watches || t.drawn[lineage.Up][arcKey(e)]
		})
		edges = append(slices.Clone(t.out[id]), edges...)
	}
	return slices.DeleteFunc(edges, func(e lineage.Arc) bool { return t.drawn[way][arcKey(e)] })
}

// edgeLabel names an edge; the arrow points to the effect.
func edgeLabel(e lineage.Arc, outward bool) string {
	label := "← " + string(e.Type)
	if outward {
		label = "→ " + string(e.Type)
	}
	if !e.Until.IsZero() {
		label += fmt.Sprintf(" (until %s)", shownTime(e.Until))
	}
	return label
}

// label is an asset with what is worth knowing of it.
func (t *tree) label(id lineage.ID) string {
	n := t.nodes[id]
	s := string(id)
	for _, about := range []string{n.Stage, n.Status} {
		if about != "" {
			s += "  " + about
		}
	}
	if n.Owner != "" {
		s += "  owner " + n.Owner
	}
	if n.More {
		s += "  … more edges: look from here"
	}
	return s
}

// rest draws the edges that neither half reached, so that nothing the server
// said is left out.
func (t *tree) rest(g *lineage.Graph) {
	heading := "also"
	for _, e := range g.Edges {
		if t.drawn[lineage.Up][arcKey(e)] || t.drawn[lineage.Down][arcKey(e)] {
			continue
		}
		if heading != "" {
			t.line("", heading)
			heading = ""
		}
		t.line("   ", arcText(e))
	}
	if g.Truncated {
		t.line("", fmt.Sprintf("The graph is larger than one answer: %d assets are shown. Look from one of them, or with less --depth.", len(g.Nodes)))
	}
}

func (t *tree) line(indent, s string) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, "%s%s\n", indent, printable(s))
	}
}

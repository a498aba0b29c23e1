package lineage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Direction of a walk: up is towards causes, down towards effects.
type Direction string

// Directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
	Both Direction = "both"
)

// ParseDirection reads a direction; "" is both.
func ParseDirection(s string) (Direction, error) {
	switch d := Direction(s); d {
	case "":
		return Both, nil
	case Up, Down, Both:
		return d, nil
	}
	return "", fmt.Errorf("direction %q: want up, down or both", s)
}

// Limits of a walk. MaxDepth is the farthest a caller may ask for; MaxNodes
// bounds one answer: a wider neighbourhood is cut and says so.
const (
	DefaultDepth = 8
	MaxDepth     = 32
	MaxNodes     = 500
)

// Node is one asset of a graph.
type Node struct {
	ID        ID        `json:"id"`
	Kind      AssetKind `json:"kind"`
	Workspace string    `json:"workspace"`
	Name      string    `json:"name"`
	Version   string    `json:"version,omitempty"`
	// Stage, Status and Owner are set where the kind has them.
	Stage  string    `json:"stage,omitempty"`
	Status string    `json:"status,omitempty"`
	Owner  string    `json:"owner,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Depth is the number of edges from the walk's start.
	Depth int `json:"depth"`
	// More is true when the walk did not follow all of the node's edges:
	// depth or size ended it there. Walk from this node to go on.
	More bool `json:"more,omitempty"`
}

// Arc is one edge of a graph.
type Arc struct {
	From ID       `json:"from"`
	To   ID       `json:"to"`
	Type EdgeType `json:"type"`
	// Since is the event time at which the edge began, Until at which it
	// ended (a deployment that serves something else now); zero is not yet.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// Graph is the answer of a walk. Nodes are ordered by depth and id, edges by
// their ends: the same store gives the same bytes.
type Graph struct {
	Root      ID     `json:"root"`
	Nodes     []Node `json:"nodes"`
	Edges     []Arc  `json:"edges"`
	Truncated bool   `json:"truncated,omitempty"`
	// NextCursor goes on with the edges of the root that did not fit: give it
	// as WalkOptions.Cursor. "" when all of the root's edges were followed.
	NextCursor string `json:"nextCursor,omitempty"`
}

// WalkOptions bound a walk. Depth 0 is DefaultDepth. AsOf shows the graph as
// it was at that event time; zero is now.
type WalkOptions struct {
	Direction Direction
	Depth     int
	AsOf      time.Time
	MaxNodes  int
	// Cursor is a Graph's NextCursor: the walk leaves out the root's edges up
	// to there. With it a fan-out of any width can be read page by page.
	Cursor string
}

// Walk follows edges from root, breadth first, each asset once, so cycles end.
// It returns ErrNotFound when nothing is known of root.
func Walk(ctx context.Context, store Store, root ID, o WalkOptions) (*Graph, error) {
	if o.Depth <= 0 {
		o.Depth = DefaultDepth
	}
	o.Depth = min(o.Depth, MaxDepth)
	if o.MaxNodes <= 0 || o.MaxNodes > MaxNodes {
		o.MaxNodes = MaxNodes
	}
	if o.Cursor != "" && !strings.HasPrefix(o.Cursor, "edge/") {
		return nil, ErrBadCursor
	}
	root, err := resolveModel(ctx, store, root)
	if err != nil {
		return nil, err
	}
	w := &walk{store: store, o: o, graph: &Graph{Root: root}, depth: map[ID]int{root: 0}, arcs: map[string]Arc{}}
	frontier := []step{{id: root}}
	for len(frontier) > 0 {
		next, err := w.level(ctx, frontier)
		if err != nil {
			return nil, err
		}
		frontier = next
	}
	if len(w.graph.Nodes) == 0 {
		return nil, fmt.Errorf("asset %s: %w", root, ErrNotFound)
	}
	w.finish()
	return w.graph, nil
}

// step is one asset to visit. `dir` is the way the walk came, for walks in
// both directions: siblings of an ancestor are not relatives.
type step struct {
	id    ID
	depth int
	dir   Direction
}

type walk struct {
	store Store
	o     WalkOptions
	graph *Graph
	depth map[ID]int
	arcs  map[string]Arc
	seen  map[ID]*Asset
}

func (w *walk) level(ctx context.Context, frontier []step) ([]step, error) {
	var next []step
	for _, st := range frontier {
		a, edges, err := w.load(ctx, st)
		if err != nil {
			return nil, err
		}
		if a == nil {
			w.stranger(st)
			continue
		}
		node := nodeOf(a, st.depth)
		steps, more := w.follow(st, a.ID, edges)
		node.More = more
		next = append(next, steps...)
		w.graph.Nodes = append(w.graph.Nodes, node)
	}
	return next, nil
}

// follow draws an asset's edges and returns where they lead; more is true
// when some had to be left out.
func (w *walk) follow(st step, at ID, edges []Edge) (next []step, more bool) {
	last := w.o.Cursor
	for _, e := range edges {
		way, ok := w.follows(st, e)
		if !ok {
			continue
		}
		if _, known := w.depth[e.Other]; !known {
			full := len(w.depth) >= w.o.MaxNodes
			if full || st.depth >= w.o.Depth {
				more, w.graph.Truncated = true, w.graph.Truncated || full
				if full && st.depth == 0 {
					w.graph.NextCursor = last
					return next, true
				}
				continue
			}
			w.depth[e.Other] = st.depth + 1
			next = append(next, step{id: e.Other, depth: st.depth + 1, dir: way})
		}
		w.arc(at, e)
		last = e.RecordID()
	}
	return next, more || (st.depth == 0 && w.graph.NextCursor != "")
}

// stranger is an asset that others name and of which no event spoke yet.
func (w *walk) stranger(st step) {
	if st.depth > 0 && w.o.AsOf.IsZero() {
		w.graph.Nodes = append(w.graph.Nodes, nodeOf(&Asset{ID: st.id}, st.depth))
	}
}

// resolveModel turns a model without a version into the version that serves,
// else the latest.
func resolveModel(ctx context.Context, store Store, id ID) (ID, error) {
	if id.Kind() != Model || id.Version() != "" {
		return id, nil
	}
	name, err := Load(ctx, store, id)
	if err != nil || name == nil {
		return id, err
	}
	for _, field := range []string{"serving", "latest"} {
		if v := name.Text(field); v != "" {
			return NewID(Model, id.Workspace(), id.Name(), v), nil
		}
	}
	return id, nil
}

// follows says whether the walk takes an edge, and in which direction it goes
// on from there. From the root of a walk in both directions it goes either
// way; farther on it keeps going the way it went.
func (w *walk) follows(st step, e Edge) (Direction, bool) {
	if !w.o.AsOf.IsZero() && e.Since.At.After(w.o.AsOf) {
		return "", false
	}
	way := Up
	if e.Out {
		way = Down
	}
	want := w.o.Direction
	if want == Both && st.dir != "" {
		want = st.dir
	}
	if e.Type == Watches && !e.Out {
		// The monitor of something on the path belongs to the picture in
		// every direction.
		return Up, true
	}
	return way, want == Both || want == way
}

func (w *walk) arc(at ID, e Edge) {
	arc := Arc{From: e.Other, To: at, Type: e.Type, Since: e.Since.At}
	if e.Out {
		arc.From, arc.To = at, e.Other
	}
	key := string(arc.From) + " " + string(arc.Type) + " " + string(arc.To)
	if old, ok := w.arcs[key]; ok && !arc.Since.Before(old.Since) {
		return
	}
	w.arcs[key] = arc
}

// load reads an asset and its edges, overflowed ones included, in the order of
// their record ids. A model version also has the monitors that watch its model
// as such.
func (w *walk) load(ctx context.Context, st step) (*Asset, []Edge, error) {
	a, err := Load(ctx, w.store, st.id)
	if err != nil || a == nil {
		return nil, nil, err
	}
	if !w.o.AsOf.IsZero() && a.First.At.After(w.o.AsOf) {
		return nil, nil, nil
	}
	if w.seen == nil {
		w.seen = map[ID]*Asset{}
	}
	w.seen[st.id] = a
	edges := slices.Clone(a.Edges)
	switch {
	case st.id.Kind() == Model && st.id.Version() != "":
		more, err := w.watchers(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		edges = append(edges, more...)
	case st.id.Kind() == Monitor:
		if edges, err = w.watched(ctx, edges); err != nil {
			return nil, nil, err
		}
	}
	return w.page(ctx, st, a, edges)
}

// page joins an asset's edges with those that overflowed, sorted. Of the root
// it takes what comes after the cursor, and sets the next one where the store
// has more than one walk can hold.
func (w *walk) page(ctx context.Context, st step, a *Asset, edges []Edge) (*Asset, []Edge, error) {
	after, until := "", ""
	if st.depth == 0 {
		after = w.o.Cursor
	}
	if a.Overflow {
		more, end, err := overflowed(ctx, w.store, st.id, after, w.o.MaxNodes)
		if err != nil {
			return nil, nil, err
		}
		edges, until = append(edges, more...), end
	}
	edges = slices.DeleteFunc(edges, func(e Edge) bool {
		id := e.RecordID()
		return (after != "" && id <= after) || (until != "" && id > until)
	})
	slices.SortFunc(edges, func(x, y Edge) int { return strings.Compare(x.RecordID(), y.RecordID()) })
	if st.depth == 0 {
		w.graph.NextCursor = until
	}
	return a, edges, nil
}

// watched points a monitor's edges at the version that serves, where one does:
// a monitor watches a model as such, people ask about versions.
func (w *walk) watched(ctx context.Context, edges []Edge) ([]Edge, error) {
	out := make([]Edge, len(edges))
	for i, e := range edges {
		out[i] = e
		if e.Type != Watches || !e.Out {
			continue
		}
		name, err := Load(ctx, w.store, e.Other)
		if err != nil {
			return nil, err
		}
		if name == nil || name.Text("serving") == "" {
			continue
		}
		out[i].Other = NewID(Model, e.Other.Workspace(), e.Other.Name(), name.Text("serving"))
		if since := name.Fields["serving"].S; since.Compare(e.Since) > 0 {
			out[i].Since = since
		}
	}
	return out, nil
}

// watchers are the monitors of a version: those of its model, while the
// version is the one that serves.
func (w *walk) watchers(ctx context.Context, version *Asset) ([]Edge, error) {
	name, err := Load(ctx, w.store, NewID(Model, version.ID.Workspace(), version.ID.Name()))
	if err != nil || name == nil || name.Text("serving") != version.ID.Version() {
		return nil, err
	}
	var out []Edge
	since := name.Fields["serving"].S
	for _, e := range name.Edges {
		if e.Type != Watches || e.Out {
			continue
		}
		if e.Since.Compare(since) < 0 {
			e.Since = since
		}
		out = append(out, e)
	}
	return out, nil
}

// finish closes what ended, adds what follows from deployments' histories and
// sorts.
func (w *walk) finish() {
	for _, a := range w.seen {
		if a.ID.Kind() == Deployment {
			w.deploymentHistory(a)
		}
	}
	g := w.graph
	drawn := make(map[ID]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		drawn[n.ID] = true
	}
	for _, arc := range w.arcs {
		if drawn[arc.From] && drawn[arc.To] {
			g.Edges = append(g.Edges, arc)
		}
	}
	sort.Slice(g.Nodes, func(i, j int) bool {
		if g.Nodes[i].Depth != g.Nodes[j].Depth {
			return g.Nodes[i].Depth < g.Nodes[j].Depth
		}
		return g.Nodes[i].ID < g.Nodes[j].ID
	})
	sort.Slice(g.Edges, func(i, j int) bool {
		a, b := g.Edges[i], g.Edges[j]
		return string(a.From)+" "+string(a.To)+" "+string(a.Type) < string(b.From)+" "+string(b.To)+" "+string(b.Type)
	})
}

func nodeOf(a *Asset, depth int) Node {
	n := Node{
		ID: a.ID, Kind: a.ID.Kind(), Workspace: a.ID.Workspace(), Name: a.ID.Name(), Version: a.ID.Version(),
		Status: a.Status(), Owner: a.Text("owner"), Since: a.First.At, Depth: depth,
	}
	if n.Kind == Model && n.Version != "" {
		n.Stage = a.Stage()
	}
	return n
}

// overflowed reads the edges that did not fit the document, from behind a
// record id. end is the last one read when there are more than limit.
func overflowed(ctx context.Context, store Store, id ID, after string, limit int) (edges []Edge, end string, err error) {
	q := Query{Partition: string(id), Prefix: "edge/", Limit: 1000}
	if after != "" {
		q.From = after + "\x00"
	}
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, "", err
		}
		for _, r := range page.Records {
			if len(edges) >= limit {
				return edges, edges[len(edges)-1].RecordID(), nil
			}
			var e Edge
			if err := json.Unmarshal(r.Body, &e); err != nil {
				return nil, "", fmt.Errorf("stored edge %s of %s: %w", strings.TrimPrefix(r.ID, "edge/"), id, err)
			}
			edges = append(edges, e)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return edges, "", nil
		}
	}
}

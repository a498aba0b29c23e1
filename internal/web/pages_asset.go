package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of the asset page.
const (
	assetRows    = 10
	stripWindows = 40
	graphNodes   = 120
)

type assetData struct {
	Asset     Asset
	Graph     graphData
	Decisions []policy.Decision
	Actions   []policy.Action
	Reviews   []review.Review
	// Strip are the newest windows, oldest first.
	Strip []MonitorWindow
}

// graphData is the lineage picture: where the script gets it, and the same
// as a list for whoever has no script.
type graphData struct {
	Source    string
	Nodes     []lineage.Node
	Edges     []lineage.Arc
	Truncated bool
	Direction string
	AsOf      string
}

func (s *server) assetPage(r *http.Request) (view, error) {
	ctx := r.Context()
	a, err := s.getAsset(ctx, &AssetInput{Asset: r.PathValue("asset")})
	if err != nil {
		return view{}, err
	}
	d := assetData{Asset: a, Strip: a.Windows[max(0, len(a.Windows)-stripWindows):]}
	if d.Graph, err = s.graph(ctx, a.ID, r.URL.Query()); err != nil {
		return view{}, err
	}
	about := DecisionFilter{Asset: a.ID}
	if a.Kind == lineage.Model {
		about.Model, about.Related = a.ID, true
	}
	decisions, err := s.decisions(ctx, about, "", assetRows)
	if err != nil {
		return view{}, err
	}
	actions, err := s.actions(ctx, ActionFilter{Asset: a.ID}, "", assetRows)
	if err != nil {
		return view{}, err
	}
	d.Decisions, d.Actions = decisions.Items, actions.Items
	if d.Reviews, err = s.openReviews(ctx, a.ID); err != nil {
		return view{}, err
	}
	return view{Template: "asset", Title: linkTo(string(a.ID)).Name, Section: "models", Data: d}, nil
}

// graph walks for the list below the picture; the script asks the API for
// the same walk.
func (s *server) graph(ctx context.Context, id lineage.ID, q url.Values) (graphData, error) {
	in := LineageInput{Asset: string(id), Direction: q.Get("direction"), Depth: lineage.DefaultDepth, AsOf: q.Get("asOf")}
	direction, err := lineage.ParseDirection(in.Direction)
	if err != nil {
		return graphData{}, badInput("query.direction", in.Direction, "%s", err.Error())
	}
	in.Direction = string(direction)
	params := url.Values{"direction": {in.Direction}}
	if in.AsOf != "" {
		params.Set("asOf", in.AsOf)
	}
	d := graphData{Source: "/api/v1/lineage/" + string(id) + "?" + params.Encode(), Direction: in.Direction, AsOf: in.AsOf}
	g, err := s.walk(ctx, &in)
	if errors.Is(err, lineage.ErrNotFound) {
		return d, nil
	}
	d.Nodes, d.Edges = g.Nodes[:min(len(g.Nodes), graphNodes)], g.Edges[:min(len(g.Edges), graphNodes)]
	d.Truncated = g.Truncated || len(d.Nodes) < len(g.Nodes)
	return d, err
}

// openReviews are the unresolved reviews of an asset; a version's are those
// of its model as well.
func (s *server) openReviews(ctx context.Context, id lineage.ID) ([]review.Review, error) {
	ids := []lineage.ID{id}
	if id.Kind() == lineage.Model && id.Version() != "" {
		ids = append(ids, modelName(id))
	}
	var out []review.Review
	for _, id := range ids {
		found, _, err := s.Desk.List(ctx, review.Filter{Unresolved: true, Asset: string(id)}, "", assetRows)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if !slices.ContainsFunc(out, func(o review.Review) bool { return o.ID == r.ID }) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

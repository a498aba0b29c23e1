package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// LineageInput bounds a walk over the graph.
type LineageInput struct {
	Asset     string `path:"asset" doc:"Where the walk begins; a model without a version means the version that serves. As printed, or percent-escaped as one segment" example:"model/contoso-ml/churn/12"`
	Direction string `query:"direction" enum:"up,down,both" default:"both" doc:"up: towards causes; down: towards effects"`
	Depth     int    `query:"depth" minimum:"1" maximum:"32" default:"8" doc:"How many edges away"`
	Cursor    string `query:"cursor" maxLength:"2048" doc:"nextCursor of the answer before: goes on with the asset's own edges"`
	AsOf      string `query:"asOf" maxLength:"64" doc:"The graph as it was then: an RFC 3339 time, a date, or an age such as 2d"`
}

func (s *server) lineageRoutes(a huma.API) {
	register(a, s, spanning(get("get-lineage", "/api/v1/lineage/{asset}", "Assets",
		"Walk the graph of causes and effects around an asset"), "asset"), s.walk)
}

func (s *server) walk(ctx context.Context, in *LineageInput) (lineage.Graph, error) {
	id, err := assetParam("path.asset", in.Asset)
	if err != nil {
		return lineage.Graph{}, err
	}
	at, err := s.instant("asOf", in.AsOf)
	if err != nil {
		return lineage.Graph{}, err
	}
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return lineage.Graph{}, err
	}
	g, err := lineage.Walk(ctx, s.Store, id, lineage.WalkOptions{
		Direction: lineage.Direction(in.Direction), Depth: in.Depth, AsOf: at, Cursor: cursor,
	})
	if err != nil {
		return lineage.Graph{}, err
	}
	g.NextCursor = sealCursor(g.NextCursor)
	if g.Edges == nil {
		g.Edges = []lineage.Arc{}
	}
	return *g, nil
}

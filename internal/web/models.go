package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// ModelsInput selects model versions.
type ModelsInput struct {
	Workspace string `query:"workspace" maxLength:"200" doc:"Only this workspace's alias"`
	Stage     string `query:"stage" maxLength:"64" doc:"Only versions at this stage" example:"deployed"`
	Q         string `query:"q" maxLength:"200" doc:"Text in name, version or owner, without case"`
	Paging
}

func (s *server) modelRoutes(a huma.API) {
	register(a, s, get("list-models", "/api/v1/models", "Assets", "List model versions, by workspace"), s.listModels)
}

func (s *server) listModels(ctx context.Context, in *ModelsInput) (List[lineage.InventoryItem], error) {
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return List[lineage.InventoryItem]{}, err
	}
	f := lineage.ModelFilter{Workspace: in.Workspace, Stage: in.Stage, Text: in.Q}
	items, next, err := lineage.ListModels(ctx, s.Store, f, cursor, in.Limit)
	if err != nil {
		return List[lineage.InventoryItem]{}, err
	}
	return page(items, next), nil
}

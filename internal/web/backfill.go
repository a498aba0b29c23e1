package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// WorkspaceInput names a workspace.
type WorkspaceInput struct {
	Alias string `path:"alias" maxLength:"200" doc:"The workspace's alias" example:"contoso-ml"`
}

// BackfillInput asks for a backfill.
type BackfillInput struct {
	WorkspaceInput
	Body *BackfillBody
}

// BackfillBody says how far back a backfill goes.
type BackfillBody struct {
	Since string `json:"since,omitempty" maxLength:"64" doc:"Not before: an RFC 3339 time, a date, or an age such as 6h or 2d. Without it, to the beginning"`
}

// Backfill is a walk over a workspace's history that completes the lineage and
// causes nothing.
type Backfill struct {
	ID        string                `json:"id"`
	Workspace string                `json:"workspace"`
	State     lineage.BackfillState `json:"state" enum:"requested,running,done,failed,cancelled" doc:"The last three are final"`
	Since     time.Time             `json:"since,omitzero" doc:"How far back it goes; absent: to the beginning"`
	Requested time.Time             `json:"requested"`
	Updated   time.Time             `json:"updated" doc:"When it came on last"`
	Ended     time.Time             `json:"ended,omitzero"`
	Phase     string                `json:"phase,omitempty" doc:"What it is walking over: models, deployments, jobs"`
	Progress  float64               `json:"progress" minimum:"0" maximum:"1" doc:"A guess of how much is done"`
	Seen      int                   `json:"seen" doc:"Models, endpoints and jobs looked at"`
	Told      int                   `json:"told" doc:"Events sent for what lineage did not know"`
	Problem   string                `json:"problem,omitempty" doc:"Why it failed, or what holds it up"`
	Created   bool                  `json:"created,omitempty" doc:"In answer to a POST: this request began it; otherwise it was under way"`
}

func backfillOf(b lineage.Backfill) Backfill {
	return Backfill{
		ID: b.ID, Workspace: b.Workspace, State: b.State, Since: b.Since, Requested: b.Requested, Updated: b.Updated,
		Ended: b.Ended, Phase: b.Phase, Progress: b.Progress, Seen: b.Seen, Told: b.Told, Problem: b.Problem,
	}
}

func (s *server) backfillRoutes(a huma.API) {
	const path, tag = "/api/v1/workspaces/{alias}/backfill", "Workspaces"
	register(a, s, get("get-backfill", path, tag, "How far a workspace's latest backfill is"), s.getBackfill)
	register(a, s, post("start-backfill", path, tag,
		"Walk over a workspace's history to complete the lineage; one that is under way goes on"), s.startBackfill)
	cancel := post("cancel-backfill", path, tag, "End a workspace's backfill before its time; what it did stays")
	cancel.Method = http.MethodDelete
	register(a, s, cancel, s.cancelBackfill)
}

func (s *server) getBackfill(ctx context.Context, in *WorkspaceInput) (Backfill, error) {
	b, _, err := lineage.GetBackfill(ctx, s.Store, in.Alias)
	return backfillOf(b), err
}

func (s *server) startBackfill(ctx context.Context, in *BackfillInput) (Backfill, error) {
	if !slices.Contains(s.Workspaces(), in.Alias) {
		return Backfill{}, problem(http.StatusNotFound,
			"workspace %q is none that this service may ask Azure Machine Learning about: see the configuration", in.Alias)
	}
	var since time.Time
	if in.Body != nil {
		var err error
		if since, err = s.instant("since", in.Body.Since); err != nil {
			return Backfill{}, badInput("body.since", in.Body.Since, "%s", err.Error())
		}
	}
	if since.After(s.Now()) {
		return Backfill{}, badInput("body.since", in.Body.Since, "since %q is in the future", in.Body.Since)
	}
	b, created, err := lineage.RequestBackfill(ctx, s.Store, in.Alias, since, s.Now())
	out := backfillOf(b)
	out.Created = created
	return out, err
}

func (s *server) cancelBackfill(ctx context.Context, in *WorkspaceInput) (Backfill, error) {
	b, err := lineage.CancelBackfill(ctx, s.Store, in.Alias, s.Now())
	return backfillOf(b), err
}

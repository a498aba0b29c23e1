package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// ResumeInput names a policy that suspended itself.
type ResumeInput struct {
	Name string `path:"name" maxLength:"64" doc:"The policy's name"`
	Body ResumeBody
}

// ResumeBody says for what, by whom and why.
type ResumeBody struct {
	Asset string `json:"asset" maxLength:"1000" doc:"The asset that the policy suspended itself for: the monitor" example:"monitor/contoso-ml/churn_monitor"`
	By    string `json:"by" minLength:"1" maxLength:"200" doc:"Who does this"`
	Why   string `json:"why,omitempty" maxLength:"1000" doc:"The reason, for the review's history"`
}

// Resumed is the answer to a resumption.
type Resumed struct {
	Policy string     `json:"policy"`
	Asset  lineage.ID `json:"asset"`
	// Action closes the review that told of the suspension.
	Action string `json:"action" doc:"Id of the action that closes the review of the suspension"`
}

func (s *server) policyRoutes(a huma.API) {
	register(a, s, get("get-policies", "/api/v1/policies", "Service", "The policies in force"),
		func(context.Context, *struct{}) (Policies, error) { return s.policies(), nil })
	register(a, s, post("resume-policy", "/api/v1/policies/{name}/resume", "Service",
		"Let a policy that suspended itself ask for retrains of an asset again"), s.resumePolicy)
}

// resumePolicy forgives the retrains that did not help, then wakes a worker to
// close the review. When the wake can't be sent the policy is resumed all the
// same; the action is found when a worker starts.
func (s *server) resumePolicy(ctx context.Context, in *ResumeInput) (Resumed, error) {
	asset, err := assetParam("body.asset", in.Body.Asset)
	if err != nil {
		return Resumed{}, err
	}
	if asset == "" {
		return Resumed{}, badInput("body.asset", "", "asset is missing: name the monitor")
	}
	now := s.Now().UTC()
	a, err := policy.Resume(ctx, s.Store, in.Name, string(asset), in.Body.By, in.Body.Why, now)
	if err != nil {
		return Resumed{}, err
	}
	return Resumed{Policy: in.Name, Asset: asset, Action: a.ID}, s.Queue.Send(ctx, []lineage.Message{policy.WakeMessage(a.ID, now)})
}

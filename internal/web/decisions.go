package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// DecisionsInput selects decisions.
type DecisionsInput struct {
	Asset   string `query:"asset" maxLength:"1000" doc:"Only decisions on events of this asset"`
	Model   string `query:"model" maxLength:"1000" doc:"Only decisions that concern this model; a version means its model's decisions too"`
	Policy  string `query:"policy" maxLength:"200" doc:"Only this policy's"`
	Verdict string `query:"verdict" enum:"act,hold,observe" doc:"Only this verdict"`
	Reason  string `query:"reason" maxLength:"64" doc:"Only this reason, of the decision or of one of its actions" example:"cooldown"`
	Window
	Paging
}

// DecisionFilter selects decisions; empty fields select all.
type DecisionFilter struct {
	Asset, Model    lineage.ID
	Policy, Verdict string
	Reason          string
	Span            lineage.Span
	// Related takes Asset or Model as one of two ways to concern an asset,
	// where both are set.
	Related bool
}

func (f *DecisionFilter) keeps(d *policy.Decision) bool {
	return f.concerns(d) && (f.Policy == "" || d.Policy == f.Policy) &&
		(f.Verdict == "" || string(d.Verdict) == f.Verdict) && (f.Reason == "" || hasReason(d, f.Reason)) &&
		within(f.Span, d.At)
}

// hint is text that the stored form of any decision which concerns the
// filter's asset or model holds; most lines of a long journal don't, and need
// not be read.
func hint(id lineage.ID) []byte {
	if id.Kind() == lineage.Model {
		id = modelName(id)
	}
	b, _ := json.Marshal(id)
	return b[1 : len(b)-1]
}

// concerns reports whether the decision is about the filter's asset or model.
func (f *DecisionFilter) concerns(d *policy.Decision) bool {
	asset := f.Asset == "" || d.Asset == string(f.Asset)
	model := f.Model == "" || sameModel(lineage.ID(d.Model), f.Model)
	if f.Related {
		return asset || model
	}
	return asset && model
}

// sameModel reports whether two ids are one model version, or one of them is
// the other's model as such.
func sameModel(a, b lineage.ID) bool {
	if a == b {
		return true
	}
	if a.Kind() != lineage.Model || b.Kind() != lineage.Model {
		return false
	}
	return a == modelName(b) || b == modelName(a)
}

func hasReason(d *policy.Decision, reason string) bool {
	if d.Reason == reason {
		return true
	}
	for _, a := range d.Actions {
		if a.Reason == reason {
			return true
		}
	}
	return false
}

func (s *server) decisionRoutes(a huma.API) {
	register(a, s, get("list-decisions", "/api/v1/decisions", "Decisions",
		"List what policies decided and why, the newest first"), s.listDecisions)
}

func (s *server) listDecisions(ctx context.Context, in *DecisionsInput) (List[policy.Decision], error) {
	var none List[policy.Decision]
	f := DecisionFilter{Policy: in.Policy, Verdict: in.Verdict, Reason: in.Reason}
	var err error
	if f.Asset, err = assetParam("query.asset", in.Asset); err != nil {
		return none, err
	}
	if f.Model, err = assetParam("query.model", in.Model); err != nil {
		return none, err
	}
	if f.Span, err = s.span(in.Window); err != nil {
		return none, err
	}
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return none, err
	}
	return s.decisions(ctx, f, cursor, in.Limit)
}

func (s *server) decisions(ctx context.Context, f DecisionFilter, cursor string, limit int) (List[policy.Decision], error) {
	var items []policy.Decision
	asset, model := hint(f.Asset), hint(f.Model)
	next, err := lineage.DecisionJournal.List(ctx, s.Store, f.Span, cursor, limit, func(e lineage.JournalEntry) (bool, error) {
		if !bytes.Contains(e.Body, asset) && !(f.Related && bytes.Contains(e.Body, model)) {
			return false, nil
		}
		var d policy.Decision
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return false, fmt.Errorf("decision line %s: %w", e.Key, err)
		}
		if !f.keeps(&d) {
			return false, nil
		}
		items = append(items, d)
		return true, nil
	})
	return page(items, next), err
}

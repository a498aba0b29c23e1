package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// ActionsInput selects actions.
type ActionsInput struct {
	Asset  string `query:"asset" maxLength:"1000" doc:"Only actions decided for this asset or, for a model, that concern it"`
	Policy string `query:"policy" maxLength:"200" doc:"Only this policy's"`
	Type   string `query:"type" enum:"retrain,review,rollback,notify,resolve" doc:"Only this type"`
	State  string `query:"state" enum:"pending,claimed,running,succeeded,failed,suppressed" doc:"Only actions that stand so now"`
	Target string `query:"target" maxLength:"200" doc:"Only those for this target"`
	Window
	Paging
}

// ActionFilter selects actions; empty fields select all.
type ActionFilter struct {
	Asset                       lineage.ID
	Policy, Type, State, Target string
	Span                        lineage.Span
}

func (f *ActionFilter) keeps(a *policy.Action) bool {
	return (f.Asset == "" || a.Asset == string(f.Asset) || sameModel(lineage.ID(a.Model), f.Asset)) &&
		(f.Policy == "" || a.Policy == f.Policy) && (f.Type == "" || string(a.Type) == f.Type) &&
		(f.State == "" || string(a.State) == f.State) && (f.Target == "" || a.Target == f.Target)
}

// ActionInput names an action.
type ActionInput struct {
	ID string `path:"id" doc:"The action's id, <key>@<asset>. As printed, or percent-escaped as one segment"`
}

func (s *server) actionRoutes(a huma.API) {
	register(a, s, get("list-actions", "/api/v1/actions", "Actions", "List actions and what became of them, the newest first"), s.listActions)
	register(a, s, spanning(get("get-action", "/api/v1/actions/{id}", "Actions", "One action"), "id"), s.getAction)
	register(a, s, spanning(post("retry-action", "/api/v1/actions/{id}/retry", "Actions",
		"Try a failed or suppressed action again"), "id"), s.retryAction)
}

func (s *server) listActions(ctx context.Context, in *ActionsInput) (List[policy.Action], error) {
	var none List[policy.Action]
	f := ActionFilter{Policy: in.Policy, Type: in.Type, State: in.State, Target: in.Target}
	var err error
	if f.Asset, err = assetParam("query.asset", in.Asset); err != nil {
		return none, err
	}
	if f.Span, err = s.span(in.Window); err != nil {
		return none, err
	}
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return none, err
	}
	return s.actions(ctx, f, cursor, in.Limit)
}

// Bounds of one listing of actions: the journal names them, and each is read
// from its own partition, a few at a time.
const (
	maxActionReads = 2000
	actionReaders  = 8
)

// actions lists actions as they stand now. It fetches as many ids as are
// still wanted, so that the journal's cursor always fits what was returned.
func (s *server) actions(ctx context.Context, f ActionFilter, cursor string, limit int) (List[policy.Action], error) {
	var items []policy.Action
	for reads := 0; ; {
		ids, next, err := s.actionIDs(ctx, &f, cursor, limit-len(items))
		if err != nil {
			return page(items, ""), err
		}
		loaded, err := s.loadActions(ctx, ids)
		if err != nil {
			return page(items, ""), err
		}
		for _, a := range loaded {
			if f.keeps(&a) {
				items = append(items, a)
			}
		}
		reads, cursor = reads+len(ids), next
		if cursor == "" || len(items) >= limit || reads >= maxActionReads {
			return page(items, cursor), nil
		}
	}
}

// mayKeep tells by the id alone what keeps can't want: an action's id ends with
// its asset, and only models are concerned by actions of other assets.
func (f *ActionFilter) mayKeep(id string) bool {
	return f.Asset == "" || f.Asset.Kind() == lineage.Model || strings.HasSuffix(id, "@"+string(f.Asset))
}

func (s *server) actionIDs(ctx context.Context, f *ActionFilter, cursor string, limit int) (ids []string, next string, err error) {
	next, err = lineage.ActionJournal.List(ctx, s.Store, f.Span, cursor, limit, func(e lineage.JournalEntry) (bool, error) {
		var line struct {
			ID      string    `json:"id"`
			Created time.Time `json:"created"`
		}
		if err := json.Unmarshal(e.Body, &line); err != nil {
			return false, fmt.Errorf("action line %s: %w", e.Key, err)
		}
		if !within(f.Span, line.Created) || !f.mayKeep(line.ID) {
			return false, nil
		}
		ids = append(ids, line.ID)
		return true, nil
	})
	return ids, next, err
}

// loadActions reads actions as they stand now, in the order of the ids. One
// that is no more is left out.
func (s *server) loadActions(ctx context.Context, ids []string) ([]policy.Action, error) {
	all := make([]policy.Action, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(actionReaders)
	for i, id := range ids {
		g.Go(func() error {
			a, _, err := policy.GetAction(gctx, s.Store, id)
			if errors.Is(err, lineage.ErrNotFound) {
				return nil
			}
			all[i] = a
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]policy.Action, 0, len(all))
	for _, a := range all {
		if a.ID != "" {
			out = append(out, a)
		}
	}
	return out, nil
}

func (s *server) getAction(ctx context.Context, in *ActionInput) (policy.Action, error) {
	a, _, err := policy.GetAction(ctx, s.Store, in.ID)
	return a, err
}

// retryAction makes the action due again, then wakes a worker. When the wake
// can't be sent the action is pending all the same and asking again helps.
func (s *server) retryAction(ctx context.Context, in *ActionInput) (policy.Action, error) {
	now := s.Now().UTC()
	a, err := policy.RetryAction(ctx, s.Store, in.ID, now)
	if errors.Is(err, policy.ErrNotRetryable) && a.State == policy.Pending && !a.NextAttempt.After(now) {
		err = nil
	}
	if err != nil {
		return policy.Action{}, err
	}
	return a, s.Queue.Send(ctx, []lineage.Message{policy.WakeMessage(a.ID, now)})
}

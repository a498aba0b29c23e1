package oncall

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const (
	// maxChoices bounds the targets that are offered for one order.
	maxChoices = 20
	// maxOrders bounds the orders of one type to one target from one review.
	maxOrders = 50
	// repeatWithin is how long the same order is taken for the same press of the
	// button, although what it started has ended: a double click, or a request
	// whose answer was lost.
	repeatWithin = time.Minute
	// announceAhead is when a worker looks for an order that was about to be
	// committed, whatever became of the process that did it.
	announceAhead = 2 * time.Minute
	// orderTries bounds how often an order starts over because the asset changed.
	orderTries = 20

	maxBy, maxWhy = 200, 2000
)

// sender takes the messages that wake workers.
type sender interface {
	Send(ctx context.Context, messages []lineage.Message) error
}

// Orders turn what a person asks for from a review (retrain now, roll back)
// into actions, which go the way of every other action: claimed by a worker,
// within budgets, one retrain of a model at a time, followed until it is known
// whether it helped. Cooldowns, freezes and storms hold policies, not people.
type Orders struct {
	Store lineage.Store
	Queue sender
	// Set gives the policies in force.
	Set func() *policy.Set
	// Inform adds a line to the history of the newest review of a cause; that of
	// a review.Desk.
	Inform func(ctx context.Context, cause, key, text string) (bool, error)
	// Now is the clock.
	Now func() time.Time
}

// Targets are where a retrain or a rollback that is asked for from a review can
// go: first where the policies that fed the review would send it, then where
// other policies would, then whatever else can do it.
func (o *Orders) Targets(r review.Review) (retrain, rollback []string) {
	f := o.Set().File()
	first, rest := choices(f, &r, policy.Retrain)
	retrain = bounded(first, rest)
	first, rest = choices(f, &r, policy.Rollback)
	return retrain, bounded(first, rest)
}

func bounded(first, rest []string) []string {
	all := append(first, rest...)
	return all[:min(len(all), maxChoices)]
}

// choices are the targets of the review's own policies, and the others.
func choices(f *policy.File, r *review.Review, t policy.ActionType) (own, rest []string) {
	add := func(to *[]string, target string) {
		if !slices.Contains(own, target) && !slices.Contains(rest, target) {
			*to = append(*to, target)
		}
	}
	for _, mine := range []bool{true, false} {
		for _, p := range f.Policies {
			if slices.Contains(r.Policies, p.Name) != mine {
				continue
			}
			for _, target := range targetsOf(p, t) {
				if mine {
					add(&own, target)
				} else {
					add(&rest, target)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Targets)) {
		if f.Targets[name].Performs(t) {
			add(&rest, name)
		}
	}
	return own, rest
}

func targetsOf(p policy.Policy, t policy.ActionType) (out []string) {
	for _, s := range p.Then {
		switch {
		case t == policy.Retrain && s.Retrain != nil:
			out = append(out, s.Retrain.Target)
		case t == policy.Rollback && s.Rollback != nil:
			out = append(out, s.Rollback.Target)
		}
	}
	return out
}

// Place makes an action of what a person asks for, and wakes a worker for it.
// Asking again while it is under way, or just after it ended, gives the same
// action. Without a target it goes to the first that the review's own policies
// name; where they name none and there is a choice, the person has to choose.
// The error is a *review.CommandError or a *review.TransitionError when no
// repeat helps. With any other error the order may have been placed all the
// same: asking again finds out.
func (o *Orders) Place(ctx context.Context, r review.Review, t policy.ActionType, target, by, why string) (policy.Action, error) {
	target, err := o.check(&r, t, target, by, why)
	if err != nil {
		return policy.Action{}, err
	}
	like, err := o.source(ctx, &r)
	if err != nil {
		return policy.Action{}, err
	}
	a, err := o.place(ctx, like, order{review: &r, t: t, target: target, by: strings.TrimSpace(by), why: strings.TrimSpace(why)})
	if err != nil {
		return policy.Action{}, err
	}
	return a, o.tell(ctx, &r, a)
}

// order is what was asked for.
type order struct {
	review          *review.Review
	t               policy.ActionType
	target, by, why string
}

func (o *Orders) check(r *review.Review, t policy.ActionType, target, by, why string) (string, error) {
	switch {
	case t != policy.Retrain && t != policy.Rollback:
		return "", fmt.Errorf("an order for a %s: only %s and %s can be asked for", t, policy.Retrain, policy.Rollback)
	case r.State == review.Resolved:
		return "", &review.TransitionError{ID: r.ID, From: r.State, Verb: review.Verb(t)}
	case strings.TrimSpace(by) == "":
		return "", &review.CommandError{Field: "by", Problem: "say who does this"}
	case len(by) > maxBy:
		return "", &review.CommandError{Field: "by", Problem: fmt.Sprintf("%d bytes: at most %d", len(by), maxBy)}
	case strings.TrimSpace(why) == "":
		return "", &review.CommandError{Field: "why", Problem: fmt.Sprintf("say why: whoever looks into the %s asks for it", t)}
	case len(why) > maxWhy:
		return "", &review.CommandError{Field: "why", Problem: fmt.Sprintf("%d bytes: at most %d", len(why), maxWhy)}
	}
	f := o.Set().File()
	if f.Mode == policy.ModeObserve {
		return "", &review.CommandError{Field: "target", Problem: "the policy file says mode: observe, so nothing is done: set it to enforce first"}
	}
	return chosen(f, r, t, target)
}

// chosen is the target that is meant, if it can do it.
func chosen(f *policy.File, r *review.Review, t policy.ActionType, target string) (string, error) {
	own, rest := choices(f, r, t)
	all := bounded(slices.Clone(own), rest)
	if known, ok := f.Target(target); ok && target != "" {
		if !known.Performs(t) {
			return "", &review.CommandError{Field: "target", Problem: fmt.Sprintf("target %s is a %s, which can't perform a %s%s", target, known.Kind(), t, instead(all))}
		}
		return target, nil
	}
	switch {
	case target != "":
		return "", &review.CommandError{Field: "target", Problem: fmt.Sprintf("unknown target %q%s", clip(target, 64), instead(all))}
	case len(all) == 0:
		return "", &review.CommandError{Field: "target", Problem: fmt.Sprintf("no target of the policy file can perform a %s", t)}
	case len(own) == 0 && len(all) > 1:
		return "", &review.CommandError{Field: "target", Problem: fmt.Sprintf("the review's policies name no target for a %s%s", t, instead(all))}
	}
	return all[0], nil
}

func instead(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return ": choose from " + strings.Join(all, ", ")
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// source is the action that brought the newest signal which still has one; the
// order is about the same. Where none is left, it is about what the review
// names.
func (o *Orders) source(ctx context.Context, r *review.Review) (policy.Action, error) {
	for _, n := range r.Signals {
		_, partition, ok := policy.SplitID(n.Event)
		if !ok {
			continue
		}
		a, _, err := policy.GetAction(ctx, o.Store, policy.ActionID(n.Key, partition))
		if errors.Is(err, lineage.ErrNotFound) {
			continue
		}
		if err == nil {
			a.Model = cmp.Or(a.Model, r.Model)
		}
		return a, err
	}
	asset := r.Model
	if len(r.Assets) > 0 {
		asset = r.Assets[0]
	}
	if _, err := lineage.ParseID(asset); err != nil {
		return policy.Action{}, &review.CommandError{Field: "target", Problem: "the review is about no model and no asset, so there is nothing to retrain or to roll back"}
	}
	return policy.Action{ID: policy.ActionID("none", asset), Asset: asset, Model: r.Model, Occurred: r.LastSignal,
		Inputs: map[string]any{"workspace": r.Workspace, "model": r.Model}}, nil
}

// place finds the order's action, or makes it.
func (o *Orders) place(ctx context.Context, like policy.Action, asked order) (policy.Action, error) {
	_, partition, _ := policy.SplitID(like.ID)
	for range orderTries {
		found, free, err := o.earlier(ctx, partition, &asked)
		if err != nil || free == "" {
			return found, err
		}
		a := asked.action(like, free, partition, o.Now().UTC())
		if err := o.Queue.Send(ctx, []lineage.Message{policy.WakeMessage(a.ID, a.Created.Add(announceAhead))}); err != nil {
			return policy.Action{}, fmt.Errorf("announce the %s: %w", a.Type, err)
		}
		err = o.commit(ctx, partition, a)
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return a, err
		}
	}
	return policy.Action{}, fmt.Errorf("order a %s: %w", asked.t, lineage.ErrConflict)
}

// earlier looks through the same order's earlier actions, which are numbered.
// It returns the one that is still the answer, or the key of the next.
func (o *Orders) earlier(ctx context.Context, partition string, asked *order) (found policy.Action, free string, err error) {
	for n := range maxOrders {
		key := event.Digest("manual", asked.review.ID, string(asked.t), asked.target, fmt.Sprint(n))
		a, _, err := policy.GetAction(ctx, o.Store, policy.ActionID(key, partition))
		if errors.Is(err, lineage.ErrNotFound) {
			return policy.Action{}, key, nil
		}
		if err != nil || !ended(&a) || o.Now().Sub(a.Created) < repeatWithin {
			return a, "", err
		}
	}
	return policy.Action{}, "", &review.CommandError{Field: "target",
		Problem: fmt.Sprintf("%d times a %s to %s was asked for from this review: that does not help", maxOrders, asked.t, asked.target)}
}

func ended(a *policy.Action) bool {
	return a.State == policy.Succeeded || a.State == policy.Failed || a.State == policy.Suppressed
}

// action is what the order becomes.
func (o *order) action(like policy.Action, key, partition string, now time.Time) policy.Action {
	inputs := maps.Clone(like.Inputs)
	if inputs == nil {
		inputs = map[string]any{}
	}
	inputs[policy.ReviewInput] = o.review.ID
	return policy.Action{
		ID: policy.ActionID(key, partition), Key: key, Type: o.t, Target: o.target, Policy: policy.Manual,
		Event: like.Event, Asset: like.Asset, Model: like.Model, Window: like.Window, Cause: o.review.Cause,
		Title:  fmt.Sprintf("%s %s asked for by %s", subject(like), o.t, o.by),
		Reason: fmt.Sprintf("%s asked for it from review %s: %s", o.by, o.review.ID, o.why),
		Inputs: inputs, Occurred: like.Occurred, State: policy.Pending, Created: now, Updated: now,
		// A storm holds what many policies ask for at once; a person has looked.
		Overridden: policy.ReasonStorm,
	}
}

// subject is what an action is about, in a word.
func subject(a policy.Action) string {
	return cmp.Or(lineage.ID(a.Model).Name(), lineage.ID(a.Asset).Name(), a.Asset)
}

// commit writes the action, and with a retrain what policies are to know of it.
// The asset's document is then written along, unchanged: whoever decides with
// what it remembers from before must fail, and read again.
func (o *Orders) commit(ctx context.Context, partition string, a policy.Action) error {
	planned, err := policy.ActionChange(a, "")
	if err != nil {
		return err
	}
	changes := []lineage.Change{planned}
	if a.Type == policy.Retrain {
		remembered, err := o.remembered(ctx, partition, a)
		if err != nil {
			return err
		}
		changes = append(changes, remembered...)
	}
	_, err = o.Store.Commit(ctx, partition, changes)
	return err
}

func (o *Orders) remembered(ctx context.Context, partition string, a policy.Action) ([]lineage.Change, error) {
	got, err := o.Store.Get(ctx, partition, lineage.MemoryRecord, lineage.AssetRecord)
	if err != nil || got[1].Version == "" {
		return nil, err
	}
	memory, op := map[string]policy.Memory{}, lineage.Create
	if got[0].Version != "" {
		op = lineage.Replace
		if err := json.Unmarshal(got[0].Body, &memory); err != nil {
			return nil, fmt.Errorf("stored policy memory of %s: %w", partition, err)
		}
	}
	memory[policy.Manual] = memory[policy.Manual].Ordered(a, a.Created)
	body, err := json.Marshal(memory)
	if err != nil {
		return nil, err
	}
	return []lineage.Change{
		{Op: op, Record: lineage.Record{ID: lineage.MemoryRecord, Version: got[0].Version, Body: body}},
		{Op: lineage.Replace, Record: lineage.Record{ID: lineage.AssetRecord, Version: got[1].Version, Body: got[1].Body}},
	}, nil
}

// tell lists the action, notes it in the review's history, and wakes a worker.
// Each may be repeated; a worker that was only announced to does the first.
func (o *Orders) tell(ctx context.Context, r *review.Review, a policy.Action) error {
	if err := policy.ListAction(ctx, o.Store, a); err != nil {
		return fmt.Errorf("list the %s: %w", a.Type, err)
	}
	text := fmt.Sprintf("%s to %s (%s): %s", a.Type, a.Target, a.ID, a.Reason)
	if _, err := o.Inform(ctx, r.Cause, event.Digest("order", a.Key), text); err != nil {
		return fmt.Errorf("tell review %s: %w", r.ID, err)
	}
	if a.State != policy.Pending {
		return nil
	}
	return o.Queue.Send(ctx, []lineage.Message{policy.WakeMessage(a.ID, a.NextAttempt)})
}

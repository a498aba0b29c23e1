package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// maxActionsPerEvent keeps what one event writes within one commit. What goes
// beyond is withheld and says so.
const maxActionsPerEvent = 60

// decide asks the policies, remembers what they remember, and plans actions,
// claimed by this worker from the start. It reports whether memory changed.
func (w *Worker) decide(ctx context.Context, b *batch, st *partitionState, it *item) (remembered bool, err error) {
	var planned []policy.Action
	if it.later == nil {
		planned = builtin(it.ev, st, it.job.delivery.Properties[lineage.PropSubscription])
	}
	if b.policies.Selects(it.ev) {
		var asked []policy.Action
		if asked, remembered, err = w.consult(ctx, b, st, it); err != nil {
			return false, err
		}
		planned = append(planned, asked...)
	} else if it.ev.Monitor != nil && !it.fenced() {
		// No policy asks, but a retrain that a person ordered may be waiting.
		if err := w.remember(ctx, st); err != nil {
			return false, err
		}
		it.trials = unsettled(st, it.ev.Time)
	}
	if it.fenced() {
		planned = nil
	}
	if len(planned) > maxActionsPerEvent {
		withhold(it.decisions, planned[maxActionsPerEvent:])
		planned = planned[:maxActionsPerEvent]
	}
	if !it.fenced() {
		planned = append(planned, w.decisionsMade(st, it)...)
	}
	for _, a := range planned {
		if a.Inputs, err = asStored(a.Inputs); err != nil {
			return false, err
		}
		a.ID = policy.ActionID(a.Key, st.home)
		a.Event, a.Occurred = it.logKey(), it.ev.Time.UTC()
		a.TraceParent = it.job.delivery.Properties[lineage.PropTraceParent]
		a.Created = st.now
		w.claim(&a, st.now)
		it.actions = append(it.actions, claimedAction{action: a})
	}
	return remembered, w.forgetKnown(ctx, st, it)
}

// consult lets the policies decide. What they remember is brought up to date
// first: the window at hand may tell whether the last retrain helped.
func (w *Worker) consult(ctx context.Context, b *batch, st *partitionState, it *item) (planned []policy.Action, remembered bool, err error) {
	if err := w.remember(ctx, st); err != nil {
		return nil, false, err
	}
	if it.ev.Monitor != nil && !it.fenced() {
		it.trials = unsettled(st, it.ev.Time)
		if remembered, err = w.judge(ctx, st, it); err != nil {
			return nil, false, err
		}
	}
	view, err := w.view(ctx, b, st, it)
	if err != nil {
		return nil, false, err
	}
	result := b.policies.Decide(it.ev, view, st.now)
	for name, m := range result.Memory {
		st.memory[name] = m
		remembered = true
	}
	it.decisions = result.Decisions
	return result.Actions, remembered, nil
}

// unsettled are the latest retrains of which a window may be news that was
// measured at a time.
func unsettled(st *partitionState, at time.Time) (ids []string) {
	for _, m := range st.memory {
		for _, key := range m.Unsettled(at) {
			ids = append(ids, policy.ActionID(key, st.home))
		}
	}
	return ids
}

// asStored gives inputs the form they have when they come back from the store,
// so that a target sees the same bytes on the first attempt and on any later.
func asStored(inputs map[string]any) (map[string]any, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(inputs)
	if err != nil {
		return nil, fmt.Errorf("inputs of an action: %w", err)
	}
	var out map[string]any
	return out, json.Unmarshal(b, &out)
}

// withhold marks planned actions that do not fit one commit.
func withhold(decisions []policy.Decision, surplus []policy.Action) {
	drop := map[string]bool{}
	for _, a := range surplus {
		drop[a.Key] = true
	}
	for i := range decisions {
		for k := range decisions[i].Actions {
			if p := &decisions[i].Actions[k]; drop[p.Key] {
				p.Verdict, p.Reason = policy.Hold, policy.ReasonCap
				p.Detail = fmt.Sprintf("more than %d actions on one event", maxActionsPerEvent)
			}
		}
	}
}

// forgetKnown drops actions that exist already: the same decision was reached
// by another event. That is rare, because policies remember what they decided:
// the hopeful way leaves it to the commit to find out.
func (w *Worker) forgetKnown(ctx context.Context, st *partitionState, it *item) error {
	if len(it.actions) == 0 {
		return nil
	}
	if !st.careful {
		it.actions = slices.DeleteFunc(it.actions, func(a claimedAction) bool { return st.creates(lineage.ActionRecord(a.action.Key)) })
		return nil
	}
	ids := make([]string, len(it.actions))
	for i, a := range it.actions {
		ids[i] = lineage.ActionRecord(a.action.Key)
	}
	got, err := w.o.Store.Get(ctx, st.home, ids...)
	if err != nil {
		return err
	}
	var fresh []claimedAction
	for i, a := range it.actions {
		if got[i].Version == "" && !st.creates(ids[i]) {
			fresh = append(fresh, a)
		}
	}
	it.actions = fresh
	return nil
}

// creates says whether the commit in the making creates the record already.
func (st *partitionState) creates(id string) bool {
	for _, c := range st.changes {
		if c.Record.ID == id {
			return true
		}
	}
	return false
}

// view is what the lineage knows for the policies to see.
func (w *Worker) view(ctx context.Context, b *batch, st *partitionState, it *item) (policy.View, error) {
	v := policy.View{
		Asset: string(lineage.PrimaryAsset(it.ev)), Memory: st.memory,
		History: history(st, it.ev.Time),
		Fenced:  it.fenced(),
	}
	if it.ev.Monitor != nil {
		v.LastPassed = lastPassed(st.asset)
	}
	w.stageView(&v, it)
	model := lineage.ModelOf(it.ev)
	if model == "" {
		return v, nil
	}
	version, doc, err := w.modelVersion(ctx, st, model)
	if err != nil {
		return v, err
	}
	v.Model, v.ModelFields = string(version), modelFields(version, doc)
	if !b.policies.MayRetrain(it.ev) {
		return v, nil
	}
	if policy.TellsOfBadData(it.ev) {
		data, err := w.upstream(ctx, version)
		if err != nil {
			return v, err
		}
		for _, d := range data {
			v.Upstream = append(v.Upstream, string(d))
		}
	}
	v.InFlight, err = w.inFlight(ctx, model, st.now)
	return v, err
}

// modelVersion finds the version that is meant: the one named, else the one
// that serves, else the latest.
func (w *Worker) modelVersion(ctx context.Context, st *partitionState, id lineage.ID) (lineage.ID, *lineage.Asset, error) {
	if id.Version() == "" {
		name, err := lineage.Load(ctx, w.o.Store, id)
		if err != nil || name == nil {
			return id, nil, err
		}
		v := name.Text("serving")
		if v == "" {
			v = name.Text("latest")
		}
		if v == "" {
			return id, nil, nil
		}
		id = lineage.NewID(lineage.Model, id.Workspace(), id.Name(), v)
	}
	if string(id) == st.home {
		return id, st.asset, nil
	}
	doc, err := lineage.Load(ctx, w.o.Store, id)
	return id, doc, err
}

func modelFields(id lineage.ID, doc *lineage.Asset) map[string]any {
	f := map[string]any{"id": string(id), "workspace": id.Workspace(), "name": id.Name()}
	if id.Version() != "" {
		f["version"] = id.Version()
	}
	if doc == nil {
		return f
	}
	f["stage"], f["tags"], f["properties"] = doc.Stage(), anyMap(doc.Map("tags")), anyMap(doc.Map("properties"))
	if owner := doc.Text("owner"); owner != "" {
		f["owner"] = owner
	}
	return f
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// history counts what the asset's own past says, up to the event's time.
func history(st *partitionState, at time.Time) map[string]any {
	counts := map[string]int64{"breaches_24h": 0, "breaches_7d": 0, "windows_7d": 0, "retrains_24h": 0, "retrains_7d": 0}
	count := func(name string, t time.Time, days int) {
		if age := at.Sub(t); age >= 0 && age < time.Duration(days)*24*time.Hour {
			counts[name]++
		}
	}
	for _, m := range st.asset.Sets["measured"] {
		count("windows_7d", m.S.At, 7)
		var measured lineage.Measured
		if json.Unmarshal(m.V, &measured) == nil && measured.Breached {
			count("breaches_24h", m.S.At, 1)
			count("breaches_7d", m.S.At, 7)
		}
	}
	for _, memory := range st.memory {
		for _, f := range memory.Fired {
			if f.Type == policy.Retrain {
				count("retrains_24h", f.At, 1)
				count("retrains_7d", f.At, 7)
			}
		}
	}
	out := make(map[string]any, len(counts))
	for k, n := range counts {
		out[k] = n
	}
	return out
}

// builtin plans what no policy has to ask for: a passed monitor and a
// resolved alert close the reviews of their cause, and a cut wire is a review.
func builtin(ev *event.Event, st *partitionState, subscription string) []policy.Action {
	switch {
	case ev.Kind == event.SubscriptionDeleted:
		return []policy.Action{cutWire(ev, st.home, subscription)}
	case ev.Kind == event.MonitorPassed && breachedBeside(ev, st.asset):
		return nil
	case ev.Kind == event.MonitorPassed:
		return []policy.Action{resolves(ev, st.home, ev.Monitor.Window)}
	case ev.Kind == event.AlertResolved:
		return []policy.Action{resolves(ev, st.home, "")}
	}
	return nil
}

// passPolicy plans what closes the reviews of a cause that passed.
const passPolicy = "builtin/resolve"

func resolves(ev *event.Event, home, window string) policy.Action {
	cause := policy.CauseOf(ev)
	return policy.Action{
		Key:  event.Digest("resolve", cause, string(ev.Key())),
		Type: policy.Resolve, Target: policy.Desk, Policy: passPolicy, Asset: home, Window: window,
		Cause: cause, Title: "Passed", Reason: passedText(ev), Model: string(lineage.ModelOf(ev)),
	}
}

func cutWire(ev *event.Event, home, subscription string) policy.Action {
	subscription = cmp.Or(subscription, ev.Subject, "(unnamed)")
	return policy.Action{
		Key:  event.Digest("cut", home, ev.ID),
		Type: policy.Review, Target: policy.Desk, Policy: "builtin/subscription-deleted", Asset: home, Window: ev.ID,
		Cause: policy.CauseOf(ev), Severity: "critical",
		Title:  "An Event Grid subscription was deleted",
		Reason: fmt.Sprintf("Event Grid says that the subscription %q of %s was deleted: no events come from it any more. Create it again, or resolve this if it was meant.", subscription, ev.Source),
	}
}

// breachedBeside says whether the window that claims to have passed had a
// breach; see lineage.Window.Around.
func breachedBeside(ev *event.Event, monitor *lineage.Asset) bool {
	w := lineage.Window{ID: ev.Monitor.Window, Ended: ev.Time, Root: ev.Run.ID}
	return w.Around(lineage.WindowsOf(monitor), "")
}

func passedText(ev *event.Event) string {
	if ev.Kind == event.AlertResolved {
		return "Azure Monitor resolved the alert " + ev.Alert.Rule
	}
	return "the monitor " + ev.Monitor.Name + " passed in window " + ev.Monitor.Window
}

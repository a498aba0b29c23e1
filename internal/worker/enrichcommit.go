package worker

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// enrichmentOf is how a new entry says that there is more to ask.
func (w *Worker) enrichmentOf(b *batch, it *item) *lineage.Enrichment {
	if !w.o.Enrich.Wants(it.ev) {
		return nil
	}
	return &lineage.Enrichment{State: lineage.EnrichmentPending, Waiting: b.policies.Awaits(it.ev)}
}

// stageView says which policies are to decide, and gives them what they waited
// for.
func (w *Worker) stageView(v *policy.View, it *item) {
	l := it.later
	if l == nil {
		if w.o.Enrich.Wants(it.ev) {
			v.Turn = policy.AtOnce
		}
		return
	}
	v.Turn, v.Missing = policy.Afterwards, l.missing
	v.Metrics, v.ChampionMetrics = l.metrics, l.champion
	for _, d := range l.decided {
		v.Decided = append(v.Decided, d.Policy)
	}
}

// takeUp finds out what is left to do about an entry that was just read; first
// is false for a repeat within the commit.
func (w *Worker) takeUp(ctx context.Context, it *item, first bool, version string) (err error) {
	l, n := it.later, it.entry.Enrichment
	l.version = version
	it.fresh = first && n != nil && n.State == lineage.EnrichmentPending && (l.answered || l.final || n.Waiting)
	if it.fresh && it.entry.Decisions > 0 {
		l.decided, err = policy.DecisionsOn(ctx, w.o.Store, it.logKey())
	}
	return err
}

// recordLater adds what enrichment brought to the event's own records.
func (w *Worker) recordLater(b *batch, st *partitionState, it *item) error {
	l, e := it.later, &it.entry
	n := *e.Enrichment
	n.Waiting = false
	switch {
	case l.answered:
		n.State, n.Ended, n.Detail = lineage.EnrichmentDone, st.now, l.missing
		e.Loss, e.Breaches = it.ev.Loss, len(it.ev.Breaches)
	case l.final:
		n.State, n.Ended, n.Detail = lineage.EnrichmentFailed, st.now, "gave up: "+l.err.Error()
	}
	for _, d := range it.decisions {
		if !slices.Contains(n.Policies, d.Policy) {
			n.Policies = append(n.Policies, d.Policy)
		}
	}
	for _, a := range it.actions {
		n.Actions = append(n.Actions, a.action.ID)
		e.Actions = append(e.Actions, a.action.ID)
	}
	if n.Page == "" && len(n.Policies)+len(n.Actions) > 0 {
		n.Page = b.page
	}
	e.Enrichment, e.Decisions = &n, e.Decisions+len(it.decisions)
	if err := st.rewrite(it); err != nil {
		return err
	}
	if len(it.decisions) == 0 {
		return st.outcome(it, nil)
	}
	return st.outcome(it, slices.Concat(l.decided, it.decisions))
}

// rewrite puts the entry back as it is now.
func (st *partitionState) rewrite(it *item) error {
	var loss []byte
	if it.entry.Loss != nil {
		var err error
		if loss, err = json.Marshal(it.entry.Loss); err != nil {
			return err
		}
	}
	st.changes = append(st.changes, lineage.Change{Op: lineage.Replace, Record: lineage.Record{
		ID: lineage.EventRecord(it.key), Version: it.later.version, Sort: lineage.EventSort(it.ev.Time, it.key),
		Body: it.entry.AppendJSON(make([]byte, 0, len(it.entry.Event)+800), loss),
	}})
	return nil
}

// page is the journal page on which what belongs to the item is listed; "" is
// none.
func (it *item) page() string {
	if it.later == nil {
		return it.entry.Page
	}
	if n := it.entry.Enrichment; n != nil {
		return n.Page
	}
	return ""
}

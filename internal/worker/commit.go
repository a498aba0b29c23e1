package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Bounds of the commit step.
const (
	// maxEventsPerCommit keeps a commit well below the Store's 100 changes.
	maxEventsPerCommit = 15
	maxConflicts       = 20
	// enoughChanges ends a commit early: no event adds more than what is left
	// of the Store's 100, see maxActionsPerEvent.
	enoughChanges = 30
	// enoughBytes ends a commit early, too: an event and the documents that
	// it changes add less than what is left of the Store's bound.
	enoughBytes = 384 << 10
	// maxInlineEvent is the largest event that is kept within its log entry.
	maxInlineEvent = 256 << 10
	// partitionsAtOnce bounds the goroutines of one step of one batch.
	partitionsAtOnce = 256
)

// commit writes, for each partition that events of the batch belong to, log
// entries, the primary asset, decisions, policy memory and intents in one
// atomic write.
func (w *Worker) commit(ctx context.Context, b *batch) {
	groups := map[string][]*item{}
	for _, it := range b.items {
		if !it.finished && it.job.failure() == nil {
			groups[it.home] = append(groups[it.home], it)
		}
	}
	var g errgroup.Group
	g.SetLimit(partitionsAtOnce)
	for home, items := range groups {
		g.Go(func() error {
			w.commitPartition(ctx, b, home, items)
			return nil
		})
	}
	for _, j := range b.jobs {
		w.quarantine(ctx, b, j)
	}
	_ = g.Wait()
}

func (w *Worker) commitPartition(ctx context.Context, b *batch, home string, items []*item) {
	defer w.locks.lock(home)()
	slices.SortStableFunc(items, func(x, y *item) int { return x.stamp.Compare(y.stamp) })
	for len(items) > 0 {
		chunk := items[:min(len(items), maxEventsPerCommit)]
		n, err := w.commitChunk(ctx, b, home, chunk)
		if errors.Is(err, lineage.ErrTooLarge) && len(chunk) > 1 {
			n, err = w.commitChunk(ctx, b, home, chunk[:1])
			chunk = chunk[:1]
		}
		if err != nil {
			n = len(chunk)
			for _, it := range chunk {
				it.fail(fmt.Errorf("commit to %s: %w", home, err))
			}
		}
		items = items[n:]
	}
}

// commitChunk reads, reduces, decides and writes until nobody interferes. It
// returns how many of the items it got through.
func (w *Worker) commitChunk(ctx context.Context, b *batch, home string, items []*item) (int, error) {
	for try := range maxConflicts {
		n, err := w.tryCommit(ctx, b, home, items, try > 0 || b.later)
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return n, err
		}
		if !errors.Is(err, lineage.ErrExists) {
			w.metrics.conflicts.Inc()
		}
	}
	return 0, errConflicts
}

func (w *Worker) tryCommit(ctx context.Context, b *batch, home string, items []*item, careful bool) (int, error) {
	st, err := w.read(ctx, home, items, careful)
	if err != nil {
		return 0, err
	}
	assetChanged, memoryChanged, stage := false, false, st.stage()
	for i, it := range items {
		if len(st.changes) > enoughChanges || st.bytes() > enoughBytes {
			items = items[:i]
			break
		}
		if !it.fresh {
			continue
		}
		changed, err := w.reduce(ctx, st, it)
		if err != nil {
			return 0, err
		}
		remembered, err := w.decide(ctx, b, st, it)
		if err != nil {
			return 0, err
		}
		assetChanged, memoryChanged = assetChanged || changed, memoryChanged || remembered
		if err := w.record(ctx, b, st, it); err != nil {
			return 0, err
		}
	}
	published, err := w.stageChanged(ctx, st, stage)
	if err != nil {
		return 0, err
	}
	if err := st.finish(assetChanged, memoryChanged); err != nil {
		return 0, err
	}
	if len(st.changes) > 0 {
		versions, err := w.o.Store.Commit(ctx, home, st.changes)
		if err != nil {
			return 0, err
		}
		w.stored(st, versions)
		w.committed(b, st, items, versions)
		published(ctx)
	}
	w.documents.put(st)
	return len(items), nil
}

// read gets the partition's document and finds out which events are new. The
// hopeful way takes every event for new, but for repeats within the batch: a
// commit of one that is not will fail, and then the careful way looks.
func (w *Worker) read(ctx context.Context, home string, items []*item, careful bool) (*partitionState, error) {
	inBatch := make(map[event.Key]bool, len(items))
	for _, it := range items {
		it.fresh = !inBatch[it.key]
		inBatch[it.key] = true
		it.decisions, it.actions, it.trials, it.entry = nil, nil, nil, lineage.Entry{}
	}
	if careful {
		w.documents.drop(home)
		if err := w.lookUp(ctx, home, items); err != nil {
			return nil, err
		}
	}
	return w.stateOf(ctx, home, careful)
}

// lookUp reads the log entries of events that were there before.
func (w *Worker) lookUp(ctx context.Context, home string, items []*item) error {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = lineage.EventRecord(it.key)
	}
	got, err := w.o.Store.Get(ctx, home, ids...)
	if err != nil {
		return err
	}
	for i, it := range items {
		if got[i].Version == "" {
			it.fresh = it.fresh && it.later == nil
			continue
		}
		first := it.fresh
		it.fresh = false
		if err := json.Unmarshal(got[i].Body, &it.entry); err != nil {
			return fmt.Errorf("stored event %s: %w", it.key, err)
		}
		if it.later == nil {
			it.asFirstSeen()
		} else if err := w.takeUp(ctx, it, first, got[i].Version); err != nil {
			return err
		}
	}
	return nil
}

// asFirstSeen gives a repeat the time that its first delivery was kept with:
// where an event carries no usable time, each delivery brings another.
func (it *item) asFirstSeen() {
	parts, err := event.Split("", nil, it.entry.Event)
	if err != nil || len(parts) != 1 || parts[0].Problem != nil || parts[0].Envelope.Time.Equal(it.ev.Time) {
		return
	}
	it.ev.Time = parts[0].Envelope.Time
	it.stamp, it.patches = lineage.StampOf(it.ev), lineage.Patches(it.ev)
}

// reduce joins what the event says about its primary asset.
func (w *Worker) reduce(ctx context.Context, st *partitionState, it *item) (changed bool, err error) {
	for _, p := range it.patches {
		if string(p.Asset) != st.home {
			continue
		}
		c, overflow := st.asset.Apply(p)
		changed = changed || c
		if err := w.overflow(ctx, st.home, overflow); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// record adds the event's own records: log entry, decisions, intents.
func (w *Worker) record(ctx context.Context, b *batch, st *partitionState, it *item) error {
	if it.later != nil {
		return w.recordLater(b, st, it)
	}
	it.entry = w.entryOf(b, st, it)
	if len(it.canonical) > maxInlineEvent {
		n, err := lineage.WriteBlob(ctx, w.o.Store, st.home, string(it.key), it.canonical)
		if err != nil {
			return err
		}
		it.entry.Chunks, it.entry.Event = n, nil
	}
	var loss []byte
	if it.entry.Loss != nil {
		var err error
		if loss, err = json.Marshal(it.entry.Loss); err != nil {
			return err
		}
	}
	body := it.entry.AppendJSON(make([]byte, 0, len(it.entry.Event)+600), loss)
	st.changes = append(st.changes, lineage.Change{Op: lineage.Create, Record: lineage.Record{
		ID: lineage.EventRecord(it.key), Sort: lineage.EventSort(it.ev.Time, it.key), Body: body,
	}})
	return st.outcome(it, it.decisions)
}

// outcome adds the event's decisions, and the intents that are new.
func (st *partitionState) outcome(it *item, decisions []policy.Decision) error {
	if len(decisions) > 0 {
		body, err := json.Marshal(decisions)
		if err != nil {
			return err
		}
		st.changes = append(st.changes, lineage.Change{Op: lineage.Upsert, Record: lineage.Record{
			ID: lineage.DecisionRecord(it.key), Sort: "decision/" + lineage.SortTime(it.ev.Time) + "/" + string(it.key), Body: body,
		}})
	}
	for _, a := range it.actions {
		c, err := policy.ActionChange(a.action, "")
		if err != nil {
			return err
		}
		st.changes = append(st.changes, c)
	}
	return nil
}

func (w *Worker) entryOf(b *batch, st *partitionState, it *item) lineage.Entry {
	p := it.job.delivery.Properties
	e := lineage.Entry{
		ID: it.logKey(), Kind: it.ev.Kind, Asset: lineage.PrimaryAsset(it.ev), Workspace: it.ev.Workspace.Alias,
		Received: it.job.received().UTC(), Queued: it.job.delivery.Enqueued.UTC(), Committed: st.now,
		Via: p[lineage.PropVia], Subscription: p[lineage.PropSubscription], DeliveryCount: p[lineage.PropDeliveryCount],
		TraceParent: p[lineage.PropTraceParent], Fenced: it.fenced(), Notes: it.notes,
		Page: b.page, Decisions: len(it.decisions), Breaches: len(it.ev.Breaches), Loss: it.ev.Loss,
		Enrichment: w.enrichmentOf(b, it),
		Event:      it.canonical,
	}
	for _, a := range it.actions {
		e.Actions = append(e.Actions, a.action.ID)
	}
	return e
}

// committed notes what the commit made: versions of the intents to dispatch,
// and the model version for the inventory.
func (w *Worker) committed(b *batch, st *partitionState, items []*item, versions []string) {
	byID := make(map[string]string, len(versions))
	for i, c := range st.changes {
		byID[c.Record.ID] = versions[i]
	}
	for _, it := range items {
		if !it.fresh {
			continue
		}
		for i, a := range it.actions {
			it.actions[i].version = byID[lineage.ActionRecord(a.action.Key)]
		}
		w.metrics.decided(it.decisions)
		w.logDecisions(it)
	}
	if st.asset.ID != "" {
		b.note(st.asset)
	}
}

func (w *Worker) logDecisions(it *item) {
	for _, d := range it.decisions {
		w.o.Logger.Info("decision", it.logFields(
			zap.String("policy", d.Policy), zap.String("verdict", string(d.Verdict)), zap.String("reason", d.Reason),
			zap.String("asset", d.Asset), zap.String("detail", d.Detail))...)
	}
}

// quarantine keeps what could not be understood.
func (w *Worker) quarantine(ctx context.Context, b *batch, j *job) {
	for i, q := range j.quarantine {
		m := j.delivery.Message
		m.Body = q.body
		stored, err := lineage.Quarantine(ctx, w.o.Store, m, q.problem, j.received(), b.page)
		if err != nil {
			j.fail(fmt.Errorf("quarantine: %w", err))
			return
		}
		j.quarantine[i].stored = stored
		w.metrics.quarantined(q.problem.Reason)
		w.o.Logger.Warn("kept in quarantine", zap.String("id", stored.ID), zap.String("reason", stored.Reason), zap.String("detail", stored.Detail))
	}
}

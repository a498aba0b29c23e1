package worker

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// batch is what was received together.
type batch struct {
	jobs  []*job
	items []*item
	// quiet are the jobs that cause no effect, see takeActing.
	quiet []*job
	// later is true where the batch is of enrichments, whose events are
	// committed already; see enrichAside.
	later bool
	// page is the journal page on which this batch's new entries are listed.
	page string
	// policies is the set in force for the whole batch.
	policies *policy.Set

	mu        sync.Mutex
	inventory map[lineage.ID]lineage.InventoryItem
	// origins are the actions that asked for the jobs that the batch touched.
	origins map[lineage.ID]string
}

// job is one delivery; it is done when all its items are.
type job struct {
	delivery lineage.Delivery
	items    []*item
	// wake is the id of an action to look at, for messages of that kind;
	// enrich the log key of an event to ask about, remind what time may have
	// changed.
	wake, enrich, remind string
	// quarantine is what could not be understood.
	quarantine []quarantined

	settled atomic.Bool
	mu      sync.Mutex
	err     error
}

// acts says whether there is something to perform for the delivery.
func (j *job) acts() bool {
	if j.wake != "" || j.remind != "" {
		return true
	}
	for _, it := range j.items {
		open := len(it.actions) > 0 || (!it.fresh && len(it.entry.Actions) > 0)
		ended := it.ev.Run != nil && it.ev.Run.Origin != "" && it.later == nil
		if !it.finished && !it.fenced() && (open || ended) {
			return true
		}
	}
	return false
}

// takeActing divides the batch's jobs: those that act are returned, the
// others are quiet.
func (b *batch) takeActing() (acting []*job) {
	for _, j := range b.jobs {
		if j.acts() {
			acting = append(acting, j)
		} else {
			b.quiet = append(b.quiet, j)
		}
	}
	return acting
}

// unsettled are the leases that still matter.
func (b *batch) unsettled() []lineage.Lease {
	var out []lineage.Lease
	for _, j := range b.jobs {
		if !j.settled.Load() {
			out = append(out, j.delivery.Lease)
		}
	}
	return out
}

type quarantined struct {
	body    []byte
	problem event.Problem
	stored  lineage.Quarantined
}

// fail makes the delivery come again. The first error is kept.
func (j *job) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
}

func (j *job) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// item is one event on its way.
type item struct {
	job       *job
	ev        *event.Event
	key       event.Key
	stamp     lineage.Stamp
	home      string
	canonical json.RawMessage
	// patches are what the event says about assets, its own first.
	patches []lineage.Patch

	// notes are what was assumed about the event, see Entry.Notes.
	notes []string
	// entry is the log entry, new or found.
	entry lineage.Entry
	// fresh is true when this batch created the entry, false when the event
	// was there before: then everything is repeated, to be sure, but nothing
	// is decided again.
	fresh bool
	// finished is true when this process has seen the event through already.
	finished bool
	// later is set on an event that is in the log and comes again for what
	// enrichment adds.
	later     *enriched
	decisions []policy.Decision
	actions   []claimedAction
	// trials are the ids of the retrains that a monitor's event may be news of.
	trials []string
}

// claimedAction is an action that this worker holds, with the version of its
// record.
type claimedAction struct {
	action  policy.Action
	version string
}

// fenced is true for a replay that may rebuild lineage and must not act.
func (it *item) fenced() bool { return it.job.delivery.Properties[lineage.PropFenced] == "true" }

func (it *item) fail(err error) { it.job.fail(err) }

func (it *item) logKey() string { return lineage.LogKey(it.key, it.home) }

// note keeps what of a touched asset later steps need: a model version for the
// inventory, the origin of a job.
func (b *batch) note(a *lineage.Asset) {
	if a.ID.Kind() == lineage.Job {
		b.noteOrigin(a)
		return
	}
	if a.ID.Kind() != lineage.Model || a.ID.Version() == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inventory == nil {
		b.inventory = map[lineage.ID]lineage.InventoryItem{}
	}
	if old, ok := b.inventory[a.ID]; !ok || old.Rev < a.Rev {
		b.inventory[a.ID] = lineage.InventoryOf(a)
	}
}

func (b *batch) noteOrigin(job *lineage.Asset) {
	origin := job.Text("origin")
	if origin == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.origins == nil {
		b.origins = map[lineage.ID]string{}
	}
	b.origins[job.ID] = origin
}

// originOf is the action that asked for a job that the batch touched.
func (b *batch) originOf(job lineage.ID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.origins[job]
}

// keyLocks keep two batches of one process from working on the same partition
// at once, which would only make them conflict.
type keyLocks struct{ stripes [512]sync.Mutex }

func (l *keyLocks) lock(partition string) (unlock func()) {
	h := uint32(2166136261)
	for i := range len(partition) {
		h = (h ^ uint32(partition[i])) * 16777619
	}
	m := &l.stripes[h%uint32(len(l.stripes))]
	m.Lock()
	return m.Unlock
}

// recent remembers the keys of the events that this process has seen through,
// so that a repeat costs nothing. It forgets the oldest half when full.
type recent struct {
	mu       sync.Mutex
	limit    int
	new, old map[string]struct{}
}

func newRecent(limit int) *recent {
	return &recent{limit: limit, new: map[string]struct{}{}, old: map[string]struct{}{}}
}

func (r *recent) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.new) >= r.limit/2 {
		r.old, r.new = r.new, make(map[string]struct{}, r.limit/2)
	}
	r.new[key] = struct{}{}
}

func (r *recent) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.new[key]; ok {
		return true
	}
	_, ok := r.old[key]
	return ok
}

// pageNumbers makes journal page ids.
type pageNumbers struct{ n atomic.Uint64 }

func (p *pageNumbers) next(now time.Time, name string) string {
	return lineage.PageID(now, name, p.n.Add(1))
}

var errConflicts = errors.New("the asset keeps changing under our hands")

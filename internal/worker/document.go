package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// partitionState is what a commit starts from, and what it adds.
type partitionState struct {
	home         string
	asset        *lineage.Asset
	assetVersion string
	// guessed is set when nothing was read and the partition was taken for
	// empty. The commit proves it, by creating the asset, or fails.
	guessed bool
	// careful is set after a commit failed: nothing is taken for granted.
	careful bool
	// memory is read only when a policy wants it.
	remembered    bool
	memory        map[string]policy.Memory
	memoryVersion string

	changes []lineage.Change
	now     time.Time
}

// stateOf gets a partition's state: the one at hand, else, where that mostly
// turns out right, an empty one, else from the store. It belongs to the
// caller, who holds the partition's lock, until put back. The careful way does
// not guess.
func (w *Worker) stateOf(ctx context.Context, home string, careful bool) (*partitionState, error) {
	now := w.o.Now().UTC()
	if st := w.documents.take(home); st != nil {
		st.now, st.careful = now, careful
		return st, nil
	}
	if !careful && w.newcomers.likely(home) {
		return &partitionState{home: home, asset: &lineage.Asset{}, guessed: true, remembered: true, memory: map[string]policy.Memory{}, now: now}, nil
	}
	st, err := w.readState(ctx, home, now)
	if err == nil {
		st.careful = careful
		w.newcomers.note(home, st.assetVersion == "")
	}
	return st, err
}

func (w *Worker) readState(ctx context.Context, home string, now time.Time) (*partitionState, error) {
	got, err := w.o.Store.Get(ctx, home, lineage.AssetRecord)
	if err != nil {
		return nil, err
	}
	st := &partitionState{home: home, asset: &lineage.Asset{}, assetVersion: got[0].Version, now: now}
	if st.assetVersion != "" {
		if st.asset, err = lineage.DecodeAsset(got[0].Body); err != nil {
			return nil, fmt.Errorf("%s: %w", home, err)
		}
	}
	return st, nil
}

// remember reads what policies remember about the asset.
func (w *Worker) remember(ctx context.Context, st *partitionState) error {
	if st.remembered {
		return nil
	}
	got, err := w.o.Store.Get(ctx, st.home, lineage.MemoryRecord)
	if err != nil {
		return err
	}
	st.memory = map[string]policy.Memory{}
	if got[0].Version != "" {
		if err := json.Unmarshal(got[0].Body, &st.memory); err != nil {
			return fmt.Errorf("stored policy memory of %s: %w", st.home, err)
		}
	}
	st.memoryVersion, st.remembered = got[0].Version, true
	return nil
}

// finish adds the documents that changed.
func (st *partitionState) finish(assetChanged, memoryChanged bool) error {
	if assetChanged {
		st.asset.Rev++
		st.asset.Recorded = st.now
		st.put(lineage.AssetRecord, st.assetVersion, st.asset.AppendJSON(make([]byte, 0, 1024)))
	}
	if memoryChanged {
		body, err := json.Marshal(st.memory)
		if err != nil {
			return err
		}
		st.put(lineage.MemoryRecord, st.memoryVersion, body)
	}
	return nil
}

// bytes is how much the commit in the making holds.
func (st *partitionState) bytes() (n int) {
	for _, c := range st.changes {
		n += len(c.Record.Body)
	}
	return n
}

func (st *partitionState) put(id, version string, body []byte) {
	c := lineage.Change{Op: lineage.Create, Record: lineage.Record{ID: id, Body: body}}
	if version != "" {
		c.Op, c.Record.Version = lineage.Replace, version
	}
	st.changes = append(st.changes, c)
}

// stored notes the versions that a commit gave to the documents.
func (w *Worker) stored(st *partitionState, versions []string) {
	if st.guessed {
		w.newcomers.note(st.home, true)
		st.guessed = false
	}
	for i, c := range st.changes {
		switch c.Record.ID {
		case lineage.AssetRecord:
			st.assetVersion = versions[i]
		case lineage.MemoryRecord:
			st.memoryVersion = versions[i]
		}
	}
}

// documents keeps the partition states last worked on. A state is taken out
// while it is in use and comes back only after a commit that succeeded, so
// what is here is what the store has, unless another process changed it; then
// the commit's expected version fails and the careful way reads again.
type documents struct {
	mu       sync.Mutex
	limit    int
	new, old map[string]*partitionState
}

func newDocuments(limit int) *documents {
	return &documents{limit: limit, new: map[string]*partitionState{}}
}

func (d *documents) take(home string) *partitionState {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.new[home]
	if st == nil {
		st = d.old[home]
	}
	delete(d.new, home)
	delete(d.old, home)
	return st
}

// put keeps a state for the next event; the half not used for longest goes
// when there are too many.
func (d *documents) put(st *partitionState) {
	if st.assetVersion == "" {
		return
	}
	st.changes = nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.new) >= d.limit/2 {
		d.old, d.new = d.new, make(map[string]*partitionState, d.limit/2)
	}
	d.new[st.home] = st
}

func (d *documents) drop(home string) { _ = d.take(home) }

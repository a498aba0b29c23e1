package review_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

var errFault = errors.New("injected fault")

// memory is a lineage.Store in memory whose commits can be made to fail,
// before or after they take effect.
type memory struct {
	mu         sync.Mutex
	partitions map[string]map[string]lineage.Record
	versions   int
	commits    int
	// failBefore and failAfter name commits (counted from 1) that return
	// errFault without, or with, their effect.
	failBefore, failAfter map[int]bool
}

func newMemory() *memory {
	return &memory{partitions: map[string]map[string]lineage.Record{}}
}

func (m *memory) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.commits++
	if m.failBefore[m.commits] {
		return nil, errFault
	}
	for i, c := range changes {
		if err := m.allowed(partition, c); err != nil {
			return nil, &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: err}
		}
	}
	versions := make([]string, len(changes))
	for i, c := range changes {
		versions[i] = m.apply(partition, c)
	}
	if m.failAfter[m.commits] {
		return nil, errFault
	}
	return versions, nil
}

func (m *memory) allowed(partition string, c lineage.Change) error {
	was, exists := m.partitions[partition][c.Record.ID]
	switch {
	case c.Op == lineage.Create && exists:
		return lineage.ErrExists
	case c.Op == lineage.Replace && (!exists || was.Version != c.Record.Version):
		return lineage.ErrConflict
	case c.Op == lineage.Delete && c.Record.Version != "" && was.Version != c.Record.Version:
		return lineage.ErrConflict
	}
	return nil
}

func (m *memory) apply(partition string, c lineage.Change) string {
	if m.partitions[partition] == nil {
		m.partitions[partition] = map[string]lineage.Record{}
	}
	if c.Op == lineage.Delete {
		delete(m.partitions[partition], c.Record.ID)
		return ""
	}
	m.versions++
	r := c.Record
	r.Partition, r.Version, r.Body = partition, strconv.Itoa(m.versions), slices.Clone(r.Body)
	m.partitions[partition][r.ID] = r
	return r.Version
}

func (m *memory) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]lineage.Record, len(ids))
	for i, id := range ids {
		out[i] = m.partitions[partition][id]
		out[i].Body = slices.Clone(out[i].Body)
	}
	return out, ctx.Err()
}

// List supports what the desk asks for: by id, bounds, both directions. Its
// pages hold at most three records, so that every caller must page.
func (m *memory) List(ctx context.Context, q lineage.Query) (lineage.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []lineage.Record
	for id, r := range m.partitions[q.Partition] {
		beyond := q.Cursor != "" && (q.Descending && id >= q.Cursor || !q.Descending && id <= q.Cursor)
		if id < q.From || q.Until != "" && id >= q.Until || !strings.HasPrefix(id, q.Prefix) || beyond {
			continue
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b lineage.Record) int {
		if q.Descending {
			return cmp.Compare(b.ID, a.ID)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	if limit := min(q.Limit, 3); len(rows) > limit {
		return lineage.Page{Records: rows[:limit], Next: rows[limit-1].ID}, ctx.Err()
	}
	return lineage.Page{Records: rows}, ctx.Err()
}

// ids lists a partition, sorted.
func (m *memory) ids(partition string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for id := range m.partitions[partition] {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// rewrite takes a field out of a record's body, as older versions wrote it.
func (m *memory) rewrite(partition, id, field string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.partitions[partition][id]
	var body map[string]any
	if err := json.Unmarshal(r.Body, &body); err != nil {
		panic(err)
	}
	delete(body, field)
	r.Body, _ = json.Marshal(body)
	m.partitions[partition][id] = r
}

package web_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// memory is a lineage.Store for tests: all records in a map.
type memory struct {
	mu      sync.Mutex
	version int
	records map[string]map[string]lineage.Record
	// fail, when set, is what every call returns.
	fail error
}

func newMemory() *memory { return &memory{records: map[string]map[string]lineage.Record{}} }

func (m *memory) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	rows := m.records[partition]
	if rows == nil {
		rows = map[string]lineage.Record{}
		m.records[partition] = rows
	}
	for i, c := range changes {
		old, exists := rows[c.Record.ID]
		switch {
		case c.Op == lineage.Create && exists:
			return nil, &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: lineage.ErrExists}
		case c.Op == lineage.Replace && old.Version != c.Record.Version:
			return nil, &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: lineage.ErrConflict}
		}
	}
	versions := make([]string, len(changes))
	for i, c := range changes {
		if c.Op == lineage.Delete {
			delete(rows, c.Record.ID)
			continue
		}
		m.version++
		c.Record.Partition, c.Record.Version = partition, fmt.Sprint(m.version)
		c.Record.Body = slices.Clone(c.Record.Body)
		rows[c.Record.ID], versions[i] = c.Record, c.Record.Version
	}
	return versions, nil
}

func (m *memory) Get(_ context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]lineage.Record, len(ids))
	for i, id := range ids {
		out[i] = m.records[partition][id]
	}
	return out, m.fail
}

func (m *memory) List(_ context.Context, q lineage.Query) (lineage.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return lineage.Page{}, m.fail
	}
	key := func(r lineage.Record) string {
		if q.Order == lineage.BySort {
			return r.Sort
		}
		return r.ID
	}
	var all []lineage.Record
	for _, r := range m.records[q.Partition] {
		k := key(r)
		if k != "" && strings.HasPrefix(k, q.Prefix) && k >= q.From && (q.Until == "" || k < q.Until) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b lineage.Record) int { return strings.Compare(key(a), key(b)) })
	if q.Descending {
		slices.Reverse(all)
	}
	from := 0
	if q.Cursor != "" {
		_, _ = fmt.Sscan(q.Cursor, &from)
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	end := min(from+limit, len(all))
	page := lineage.Page{Records: slices.Clone(all[min(from, end):end])}
	if end < len(all) {
		page.Next = fmt.Sprint(end)
	}
	return page, nil
}

// mailbox is a queue that remembers what was sent, and dead letters.
type mailbox struct {
	mu   sync.Mutex
	sent []lineage.Message
	dead []lineage.DeadMessage
	// replayed are the properties each replay added, by id.
	replayed map[string]map[string]string
	fail     error
}

func (b *mailbox) Send(_ context.Context, messages []lineage.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, messages...)
	return b.fail
}

func (b *mailbox) Depth(context.Context) (lineage.Depth, error) {
	return lineage.Depth{Ready: 3, Leased: 1, Delayed: -1, Dead: int64(len(b.dead))}, b.fail
}

func (b *mailbox) ListDead(_ context.Context, cursor string, limit int) ([]lineage.DeadMessage, string, error) {
	from := 0
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from); err != nil {
			return nil, "", lineage.ErrBadCursor
		}
	}
	end := min(from+limit, len(b.dead))
	next := ""
	if end < len(b.dead) {
		next = fmt.Sprint(end)
	}
	return b.dead[from:end], next, b.fail
}

func (b *mailbox) GetDead(_ context.Context, id string) (lineage.DeadMessage, error) {
	for _, d := range b.dead {
		if d.ID == id {
			return d, nil
		}
	}
	return lineage.DeadMessage{}, fmt.Errorf("dead letter %q: %w", id, lineage.ErrNotFound)
}

func (b *mailbox) Replay(ctx context.Context, id string, properties map[string]string) error {
	if _, err := b.GetDead(ctx, id); err != nil {
		return err
	}
	if b.replayed == nil {
		b.replayed = map[string]map[string]string{}
	}
	b.replayed[id] = properties
	return b.Discard(ctx, id)
}

func (b *mailbox) Discard(ctx context.Context, id string) error {
	if _, err := b.GetDead(ctx, id); err != nil {
		return err
	}
	b.dead = slices.DeleteFunc(b.dead, func(d lineage.DeadMessage) bool { return d.ID == id })
	return nil
}

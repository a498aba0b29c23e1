package embedded

import (
	"time"

	"zombiezen.com/go/sqlite"
)

// Bounds of what one group moves from the delayed messages to the ready ones.
const (
	promoteCount = 1000
	promoteBytes = 4 << 20
)

// dueMillis rounds up: a message is never early.
func dueMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// delay writes a message that is deliverable later.
func (q *queue) delay(entry []byte, attempt int, due time.Time) error {
	ms := dueMillis(due)
	if at := time.UnixMilli(ms); q.nextDue.IsZero() || at.Before(q.nextDue) {
		q.nextDue = at
	}
	q.counts.delayed++
	return q.w.write("INSERT INTO delayed (due, attempt, data) VALUES (?, ?, ?)", func(st *sqlite.Stmt) {
		st.BindInt64(1, ms)
		st.BindInt64(2, int64(attempt))
		st.BindBytes(3, entry)
	})
}

// promote moves messages that are due into segments, a bounded number each
// time; nextDue stays in the past while there are more.
func (q *queue) promote() error {
	if q.nextDue.IsZero() || q.now.Before(q.nextDue) {
		return nil
	}
	due, err := q.takeDue()
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := q.put(d.entry, []int{len(d.entry)}, d.attempt); err != nil {
			return err
		}
		q.counts.delayed--
		err := q.w.write("DELETE FROM delayed WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, d.key) })
		if err != nil {
			return err
		}
	}
	return q.findDue()
}

type dueEntry struct {
	key     int64
	attempt int
	entry   []byte
}

func (q *queue) takeDue() (due []dueEntry, err error) {
	const query = "SELECT key, attempt, data FROM delayed WHERE due <= ? ORDER BY due LIMIT ?"
	size := 0
	err = q.w.conn.query(query, func(st *sqlite.Stmt) {
		st.BindInt64(1, q.now.UnixMilli())
		st.BindInt64(2, promoteCount)
	}, func(st *sqlite.Stmt) error {
		if size > promoteBytes {
			return nil
		}
		d := dueEntry{st.ColumnInt64(0), int(st.ColumnInt64(1)), columnBytes(st, 2)}
		size += len(d.entry)
		due = append(due, d)
		return nil
	})
	return due, err
}

func (q *queue) findDue() error {
	q.nextDue = time.Time{}
	return q.w.conn.query("SELECT due FROM delayed ORDER BY due LIMIT 1", nil, func(st *sqlite.Stmt) error {
		q.nextDue = time.UnixMilli(st.ColumnInt64(0))
		return nil
	})
}

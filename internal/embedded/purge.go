package embedded

import (
	"time"

	"zombiezen.com/go/sqlite"
)

// Expired records go a few at a time, so that no caller waits for it.
const (
	purgeEvery = 30 * time.Second
	purgeCount = 500
)

// purgeJob removes expired records. The next purge takes what is left.
type purgeJob struct{}

func (*purgeJob) size() int    { return 0 }
func (*purgeJob) answer(error) {}

func (*purgeJob) apply(w *writer) error {
	now := w.queue.now.UnixMilli()
	due, err := w.conn.expiredKeys(now)
	if err != nil {
		return err
	}
	for _, key := range due {
		err := w.write("DELETE FROM records WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, key) })
		if err != nil {
			return err
		}
	}
	if len(due) == purgeCount {
		w.purge.Reset(time.Second)
	} else {
		w.purge.Reset(purgeEvery)
	}
	return nil
}

func (c *conn) expiredKeys(now int64) (keys []int64, err error) {
	const query = "SELECT key FROM records WHERE expires IS NOT NULL AND expires <= ? LIMIT ?"
	err = c.query(query, func(st *sqlite.Stmt) {
		st.BindInt64(1, now)
		st.BindInt64(2, purgeCount)
	}, func(st *sqlite.Stmt) error {
		keys = append(keys, st.ColumnInt64(0))
		return nil
	})
	return keys, err
}

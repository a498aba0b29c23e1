package embedded

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// deadPageBytes ends a page of dead letters early.
const deadPageBytes = 8 << 20

// bury moves a message to the dead letters.
func (q *queue) bury(at ref, entry []byte, reason, description string) error {
	attempt := at.attempts()
	q.finish(at)
	q.counts.dead++
	return q.w.write("INSERT INTO dead (attempt, died, reason, description, data) VALUES (?, ?, ?, ?, ?)",
		func(st *sqlite.Stmt) {
			st.BindInt64(1, int64(attempt))
			st.BindInt64(2, q.now.UnixNano())
			st.BindText(3, reason)
			st.BindText(4, description)
			st.BindBytes(5, entry)
		})
}

const deadColumns = "SELECT key, attempt, died, reason, description, data FROM dead "

func readDead(st *sqlite.Stmt) (d lineage.DeadMessage, err error) {
	d.Message, d.Enqueued, err = decodeEntry(columnBytes(st, 5))
	d.ID = strconv.FormatInt(st.ColumnInt64(0), 10)
	d.Attempt = int(st.ColumnInt64(1))
	d.Died = time.Unix(0, st.ColumnInt64(2)).UTC()
	d.Reason, d.Description = st.ColumnText(3), st.ColumnText(4)
	return d, err
}

// deadKey reads a dead letter's id; 0, which none has, for what is not one.
func deadKey(id string) int64 {
	key, err := strconv.ParseInt(id, 10, 64)
	if err != nil || key < 1 || strconv.FormatInt(key, 10) != id {
		return 0
	}
	return key
}

// ListDead implements lineage.DeadLetters. A page ends early at about 8 MiB.
func (q *Queue) ListDead(ctx context.Context, cursor string, limit int) (dead []lineage.DeadMessage, next string, err error) {
	if limit < 1 || limit > 1000 {
		return nil, "", fmt.Errorf("list dead letters: limit %d, give 1 to 1000", limit)
	}
	after := deadKey(cursor)
	if cursor != "" && after == 0 {
		return nil, "", fmt.Errorf("list dead letters: %w", lineage.ErrBadCursor)
	}
	size := 0
	err = q.db.readers.read(ctx, func(c *conn) error {
		return c.query(deadColumns+"WHERE key > ? ORDER BY key LIMIT ?", func(st *sqlite.Stmt) {
			st.BindInt64(1, after)
			st.BindInt64(2, int64(limit)+1)
		}, func(st *sqlite.Stmt) error {
			if len(dead) == limit || size > deadPageBytes {
				next = dead[len(dead)-1].ID
				return nil
			}
			d, err := readDead(st)
			size += len(d.Body)
			dead = append(dead, d)
			return err
		})
	})
	return dead, next, err
}

// GetDead implements lineage.DeadLetters.
func (q *Queue) GetDead(ctx context.Context, id string) (d lineage.DeadMessage, err error) {
	found := false
	err = q.db.readers.read(ctx, func(c *conn) error {
		return c.query(deadColumns+"WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, deadKey(id)) },
			func(st *sqlite.Stmt) (err error) {
				found = true
				d, err = readDead(st)
				return err
			})
	})
	if err == nil && !found {
		err = noDead(id)
	}
	return d, err
}

func noDead(id string) error { return fmt.Errorf("dead letter %s: %w", id, lineage.ErrNotFound) }

// buriedJob is a Replay or a Discard.
type buriedJob struct {
	call
	id         string
	replay     bool
	properties map[string]string
	maxBytes   int
	refusal    error
}

func (j *buriedJob) size() int { return 64 << 10 }

func (j *buriedJob) apply(w *writer) error {
	found := false
	var m lineage.Message
	err := w.conn.query(deadColumns+"WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, deadKey(j.id)) },
		func(st *sqlite.Stmt) error {
			found = true
			d, err := readDead(st)
			m = d.Message
			return err
		})
	switch {
	case err != nil:
		return err
	case !found:
		j.refusal = noDead(j.id)
		return nil
	case j.replay:
		if err := j.send(w.queue, &m); err != nil || j.refusal != nil {
			return err
		}
	}
	w.queue.counts.dead--
	return w.write("DELETE FROM dead WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, deadKey(j.id)) })
}

// send puts the message back in circulation as a new one.
func (j *buriedJob) send(q *queue, m *lineage.Message) error {
	if m.Properties == nil {
		m.Properties = map[string]string{}
	}
	maps.Copy(m.Properties, j.properties)
	if err := admit(m, j.maxBytes); err != nil {
		j.refusal = fmt.Errorf("replay dead letter %s: %w", j.id, err)
		return nil
	}
	entry := appendEntry(nil, m, q.now)
	return q.put(entry, []int{len(entry)}, 0)
}

// Replay implements lineage.DeadLetters. Sending and removing are one
// transaction here.
func (q *Queue) Replay(ctx context.Context, id string, properties map[string]string) error {
	return q.exhume(ctx, &buriedJob{
		call: newCall(), id: id, replay: true, properties: maps.Clone(properties), maxBytes: q.db.options.MaxMessage,
	})
}

// Discard implements lineage.DeadLetters.
func (q *Queue) Discard(ctx context.Context, id string) error {
	return q.exhume(ctx, &buriedJob{call: newCall(), id: id})
}

func (q *Queue) exhume(ctx context.Context, j *buriedJob) error {
	if err := q.db.writer.submit(ctx, j); err != nil {
		return err
	}
	return j.refusal
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Limits of the Store, as its contract has them.
const (
	maxPartition   = 1000
	maxRecordID    = 900
	maxSort        = 200
	maxBody        = 3 << 19 // 1.5 MiB
	maxChanges     = 100
	maxCommitBytes = 19 << 20 / 10 // 1.9 MiB
)

// Store is the record store of a DB.
type Store struct {
	db *DB
}

var _ lineage.Store = (*Store)(nil)

// Commit implements lineage.Store.
func (s *Store) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	size, err := checkCommit(partition, changes)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	j := &commitJob{call: newCall(), partition: partition, changes: cloneChanges(changes, size), bytes: size}
	if err := s.db.writer.submit(ctx, j); err != nil {
		return nil, err
	}
	return j.versions, j.refusal
}

// cloneChanges copies what the caller may reuse when the call returns, which
// can be before the commit is done.
func cloneChanges(changes []lineage.Change, size int) []lineage.Change {
	bodies := make([]byte, 0, size)
	clone := slices.Clone(changes)
	for i := range clone {
		start := len(bodies)
		bodies = append(bodies, clone[i].Record.Body...)
		clone[i].Record.Body = bodies[start:len(bodies):len(bodies)]
	}
	return clone
}

func checkCommit(partition string, changes []lineage.Change) (size int, err error) {
	if err := checkKey("partition", partition, 1, maxPartition); err != nil {
		return 0, err
	}
	if len(changes) > maxChanges {
		return 0, fmt.Errorf("commit to %s: %w: %d changes, at most %d fit", partition, lineage.ErrTooLarge, len(changes), maxChanges)
	}
	for i := range changes {
		if err := checkChange(&changes[i]); err != nil {
			return 0, &lineage.ChangeError{Index: i, ID: changes[i].Record.ID, Err: err}
		}
		if repeated(changes[:i], changes[i].Record.ID) {
			return 0, fmt.Errorf("commit to %s: record %s is changed twice", partition, changes[i].Record.ID)
		}
		r := &changes[i].Record
		size += len(r.Body) + len(r.ID) + len(r.Sort)
	}
	if size > maxCommitBytes {
		return 0, fmt.Errorf("commit to %s: %w: %d bytes, at most %d fit", partition, lineage.ErrTooLarge, size, maxCommitBytes)
	}
	return size, nil
}

func repeated(changes []lineage.Change, id string) bool {
	return slices.ContainsFunc(changes, func(c lineage.Change) bool { return c.Record.ID == id })
}

func checkChange(c *lineage.Change) error {
	if c.Op < lineage.Create || c.Op > lineage.Delete {
		return fmt.Errorf("unknown operation %d", c.Op)
	}
	if err := checkKey("id", c.Record.ID, 1, maxRecordID); err != nil {
		return err
	}
	if err := checkKey("sort key", c.Record.Sort, 0, maxSort); err != nil {
		return err
	}
	if len(c.Record.Body) > maxBody {
		return fmt.Errorf("%w: its body has %d bytes, at most %d fit", lineage.ErrTooLarge, len(c.Record.Body), maxBody)
	}
	return nil
}

func checkKey(what, key string, least, most int) error {
	switch {
	case len(key) < least:
		return fmt.Errorf("the %s is empty", what)
	case len(key) > most:
		return fmt.Errorf("%w: the %s has %d bytes, at most %d fit", lineage.ErrTooLarge, what, len(key), most)
	case !utf8.ValidString(key):
		return fmt.Errorf("the %s %q is not UTF-8", what, key)
	}
	return nil
}

// commitJob is a Commit.
type commitJob struct {
	call
	partition string
	changes   []lineage.Change
	bytes     int
	versions  []string
	refusal   error
}

// size counts the pages that a change touches rather than its few bytes.
func (j *commitJob) size() int { return j.bytes + len(j.changes)*pageSize }

// apply looks first whether every change can be made, so that a refused
// commit has nothing to undo.
func (j *commitJob) apply(w *writer) error {
	found := make([]stored, len(j.changes))
	for i := range j.changes {
		c := &j.changes[i]
		err := found[i].find(w.conn, j.partition, c.Record.ID, w.queue.now)
		if err != nil {
			return err
		}
		if err := found[i].permits(c); err != nil {
			j.refusal = &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: err}
			return nil
		}
	}
	versions := make([]string, len(j.changes))
	for i := range j.changes {
		v, err := found[i].change(w, j.partition, &j.changes[i])
		if err != nil {
			return err
		}
		versions[i] = v
	}
	j.versions = versions
	return nil
}

// stored is what the file has of a record.
type stored struct {
	key     int64 // 0 when there is none
	version int64
	expires int64 // milliseconds since 1970; 0 is never
	sort    string
	expired bool
}

func (r *stored) find(c *conn, partition, id string, now time.Time) error {
	const query = "SELECT key, version, expires, sort FROM records WHERE partition = ? AND id = ?"
	return c.query(query, func(st *sqlite.Stmt) {
		st.BindText(1, partition)
		st.BindText(2, id)
	}, func(st *sqlite.Stmt) error {
		r.key, r.version, r.expires = st.ColumnInt64(0), st.ColumnInt64(1), st.ColumnInt64(2)
		r.sort = st.ColumnText(3)
		r.expired = r.expires != 0 && r.expires <= now.UnixMilli()
		return nil
	})
}

// exists is false for an expired record that was not removed yet.
func (r *stored) exists() bool { return r.key != 0 && !r.expired }

func (r *stored) permits(c *lineage.Change) error {
	switch {
	case c.Op == lineage.Create && r.exists():
		return lineage.ErrExists
	case c.Op == lineage.Replace || c.Op == lineage.Delete && c.Record.Version != "":
		if !r.exists() || r.version != parseVersion(c.Record.Version) {
			return lineage.ErrConflict
		}
	}
	return nil
}

// change writes one change and returns the record's new version.
func (r *stored) change(w *writer, partition string, c *lineage.Change) (string, error) {
	if err := w.begin(); err != nil {
		return "", err
	}
	if c.Op == lineage.Delete {
		return "", r.remove(w.conn)
	}
	version, err := w.versions.take(w.conn)
	if err != nil {
		return "", err
	}
	expires := expiryMillis(c.Record.Expires)
	switch {
	case r.key == 0:
		err = insertRecord(w.conn, partition, &c.Record, version, expires)
	case r.sort == c.Record.Sort && r.expires == expires:
		err = r.rewrite(w.conn, c.Record.Body, version)
	default:
		err = r.replace(w.conn, &c.Record, version, expires)
	}
	return formatVersion(version), err
}

func (r *stored) remove(c *conn) error {
	if r.key == 0 {
		return nil
	}
	return c.run("DELETE FROM records WHERE key = ?", func(st *sqlite.Stmt) { st.BindInt64(1, r.key) })
}

func insertRecord(c *conn, partition string, r *lineage.Record, version, expires int64) error {
	const query = "INSERT INTO records (partition, id, sort, version, expires, body) VALUES (?, ?, nullif(?, ''), ?, nullif(?, 0), ?)"
	return c.run(query, func(st *sqlite.Stmt) {
		st.BindText(1, partition)
		st.BindText(2, r.ID)
		st.BindText(3, r.Sort)
		st.BindInt64(4, version)
		st.BindInt64(5, expires)
		st.BindBytes(6, r.Body)
	})
}

// rewrite is the common replacement: no index knows what it changes.
func (r *stored) rewrite(c *conn, body []byte, version int64) error {
	return c.run("UPDATE records SET version = ?, body = ? WHERE key = ?", func(st *sqlite.Stmt) {
		st.BindInt64(1, version)
		st.BindBytes(2, body)
		st.BindInt64(3, r.key)
	})
}

func (r *stored) replace(c *conn, rec *lineage.Record, version, expires int64) error {
	const query = "UPDATE records SET sort = nullif(?, ''), version = ?, expires = nullif(?, 0), body = ? WHERE key = ?"
	return c.run(query, func(st *sqlite.Stmt) {
		st.BindText(1, rec.Sort)
		st.BindInt64(2, version)
		st.BindInt64(3, expires)
		st.BindBytes(4, rec.Body)
		st.BindInt64(5, r.key)
	})
}

// expiryMillis rounds up: a record is not forgotten early. Zero is never, so
// the first millisecond of 1970 stands for all before it.
func expiryMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, dueMillis(t))
}

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

// errCursor means that a cursor is not one of this listing.
var errCursor = errors.New("the cursor is not one of this listing")

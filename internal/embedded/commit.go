package embedded

import (
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

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
// commit has nothing to undo. Creates are the exception: to write one is the
// cheapest way to learn whether the record exists, which is rare.
func (j *commitJob) apply(w *writer) error {
	found, err := j.look(w)
	if err != nil || j.refusal != nil {
		return err
	}
	versions := make([]string, len(j.changes))
	if err := j.create(w, versions); err != nil || j.refusal != nil {
		return err
	}
	for i := range j.changes {
		if c := &j.changes[i]; c.Op != lineage.Create {
			if versions[i], err = found[i].change(w, j.partition, c); err != nil {
				return err
			}
		}
	}
	j.versions = versions
	return nil
}

// look checks every change but the creates; when one of them is refused,
// a create before it may still be the first that is.
func (j *commitJob) look(w *writer) ([]stored, error) {
	found := make([]stored, len(j.changes))
	for i := range j.changes {
		if j.changes[i].Op == lineage.Create {
			continue
		}
		refused, err := j.check(w, i, &found[i])
		if err != nil {
			return nil, err
		}
		if refused {
			return nil, j.lookBefore(w, i)
		}
	}
	return found, nil
}

func (j *commitJob) lookBefore(w *writer, refused int) error {
	for i := range j.changes[:refused] {
		if hit, err := j.check(w, i, &stored{}); hit || err != nil {
			return err
		}
	}
	return nil
}

// check looks one change's record up and refuses the commit if it must.
func (j *commitJob) check(w *writer, i int, r *stored) (refused bool, err error) {
	c := &j.changes[i]
	if err := r.find(w.conn, j.partition, c.Record.ID, w.queue.now); err != nil {
		return false, err
	}
	if err := r.permits(c); err != nil {
		j.refusal = &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: err}
		return true, nil
	}
	return false, nil
}

// create writes the creates. One that exists takes back those before it.
func (j *commitJob) create(w *writer, versions []string) error {
	var written []int64
	for i := range j.changes {
		c := &j.changes[i]
		if c.Op != lineage.Create {
			continue
		}
		version, key, err := j.insert(w, &c.Record)
		if err != nil {
			return err
		}
		versions[i] = formatVersion(version)
		if key == 0 {
			if versions[i], key, err = j.insertAgain(w, i); err != nil {
				return err
			}
		}
		if j.refusal != nil {
			return takeBack(w.conn, written)
		}
		written = append(written, key)
	}
	return nil
}

// insert writes a new record; key is 0 when there is one already.
func (j *commitJob) insert(w *writer, r *lineage.Record) (version, key int64, err error) {
	if err := w.begin(); err != nil {
		return 0, 0, err
	}
	if version, err = w.versions.take(w.conn); err != nil {
		return 0, 0, err
	}
	err = insertRecord(w.conn, j.partition, r, version, expiryMillis(r.Expires))
	if err == nil && w.conn.Changes() > 0 {
		key = w.conn.LastInsertRowID()
	}
	return version, key, err
}

// insertAgain finds out what stands in the way of a create: an expired record
// goes, any other refuses the commit.
func (j *commitJob) insertAgain(w *writer, i int) (version string, key int64, err error) {
	var r stored
	if refused, err := j.check(w, i, &r); refused || err != nil {
		return "", 0, err
	}
	if err := r.remove(w.conn); err != nil {
		return "", 0, err
	}
	v, key, err := j.insert(w, &j.changes[i].Record)
	return formatVersion(v), key, err
}

func takeBack(c *conn, keys []int64) error {
	for _, key := range keys {
		if err := (&stored{key: key}).remove(c); err != nil {
			return err
		}
	}
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
	const query = "INSERT INTO records (partition, id, sort, version, expires, body) VALUES (?, ?, nullif(?, ''), ?, nullif(?, 0), ?) ON CONFLICT (partition, id) DO NOTHING"
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

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// replay writes a trace with SQLite alone: the same library, schema and order
// of rows, blobs of the same sizes, as durable, group rows to a transaction,
// one connection, prepared statements, and nothing else in the process to do.
// What the product has to look up or to compute is not part of it.
func (t *trace) replay(dir string, group float64) (elapsed time.Duration, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := sqlite.OpenConn(filepath.Join(dir, "alone.db"), sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	setup := append([]string{
		"PRAGMA page_size=4096", "PRAGMA journal_mode=wal", "PRAGMA synchronous=full",
		"PRAGMA wal_autocheckpoint=8192", "PRAGMA cache_size=-65536",
	}, t.schema...)
	setup = append(setup, "INSERT INTO counters VALUES (1, 0, 0, 0, 0)")
	for _, sql := range setup {
		if err := sqlitex.ExecuteTransient(c, sql, nil); err != nil {
			return 0, fmt.Errorf("%s: %w", sql, err)
		}
	}
	r := &replayer{conn: c, noise: make([]byte, 1<<20)}
	_, _ = rand.Read(r.noise)
	start := time.Now()
	err = r.all(t.writes, group)
	return time.Since(start), err
}

// replayer performs the writes of a trace.
type replayer struct {
	conn    *sqlite.Conn
	noise   []byte
	version int64
}

// all commits each time that another group is full.
func (r *replayer) all(writes []write, group float64) error {
	boundary := 0.0
	for i := range writes {
		if float64(i) >= boundary {
			if i > 0 {
				if err := r.run("COMMIT", nil); err != nil {
					return err
				}
			}
			if err := r.run("BEGIN IMMEDIATE", nil); err != nil {
				return err
			}
			boundary += max(1, group)
		}
		if err := r.write(&writes[i]); err != nil {
			return fmt.Errorf("%s %s: %w", writes[i].op, writes[i].table, err)
		}
	}
	return r.run("COMMIT", nil)
}

func (r *replayer) run(sql string, bind func(*sqlite.Stmt)) error {
	st, err := r.conn.Prepare(sql)
	if err != nil {
		return err
	}
	if bind != nil {
		bind(st)
	}
	if _, err := st.Step(); err != nil {
		return errors.Join(err, st.Reset())
	}
	return st.Reset()
}

// blob is bytes of the right size that do not compress and do not repeat from
// row to row.
func (r *replayer) blob(w *write) []byte {
	n := min(w.bytes, len(r.noise))
	at := int(r.version*7919) % (len(r.noise) - n + 1)
	return r.noise[at : at+n]
}

// statements are those of the product, by table and operation.
var statements = map[string]string{
	"records insert":        "INSERT INTO records (key, partition, id, sort, version, expires, body) VALUES (?1, ?2, ?3, nullif(?4, ''), ?5, nullif(?6, 0), ?7)",
	"records update":        "UPDATE records SET version = ?5, body = ?7 WHERE key = ?1",
	"records replace":       "UPDATE records SET sort = nullif(?4, ''), version = ?5, expires = nullif(?6, 0), body = ?7 WHERE key = ?1",
	"records delete":        "DELETE FROM records WHERE key = ?1",
	"segments insert":       "INSERT INTO segments (seq, count, codec, data) VALUES (?1, ?6, 0, ?7)",
	"segments update":       "UPDATE segments SET data = ?7 WHERE seq = ?1",
	"segments delete":       "DELETE FROM segments WHERE seq = ?1",
	"segment_states insert": "INSERT OR REPLACE INTO segment_states (seq, state) VALUES (?1, ?7)",
	"segment_states delete": "DELETE FROM segment_states WHERE seq = ?1",
	"delayed insert":        "INSERT INTO delayed (key, due, attempt, data) VALUES (?1, ?6, 0, ?7)",
	"delayed delete":        "DELETE FROM delayed WHERE key = ?1",
	"counters update":       "UPDATE counters SET live = ?5 WHERE key = ?1",
}

func (r *replayer) write(w *write) error {
	sql, ok := statements[w.table+" "+w.op]
	if !ok {
		return errors.New("the trace has a kind of write that the replay does not know")
	}
	r.version++
	return r.run(sql, func(st *sqlite.Stmt) {
		last := st.BindParamCount()
		for i, bind := range []func(int){
			func(n int) { st.BindInt64(n, w.key) },
			func(n int) { st.BindText(n, w.texts[0]) },
			func(n int) { st.BindText(n, w.texts[1]) },
			func(n int) { st.BindText(n, w.texts[2]) },
			func(n int) { st.BindInt64(n, r.version) },
			func(n int) { st.BindInt64(n, w.number) },
			func(n int) { st.BindBytes(n, r.blob(w)) },
		} {
			if i < last {
				bind(i + 1)
			}
		}
	})
}

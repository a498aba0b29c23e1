package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// trace is every row that the product wrote for a load, in order: what
// SQLite alone has to write too to be compared.
type trace struct {
	events int
	schema []string
	writes []write
	kinds  map[string]int
}

// write is one row written. What is not recorded is the content of blobs, only
// their size.
type write struct {
	op     string // insert, update, replace or delete
	table  string
	key    int64
	texts  [3]string // partition, id, sort
	number int64     // expires, due or count
	bytes  int
}

// tracers log every row write within the product's own transactions. The
// product knows nothing of them; they are put into its database between two
// starts.
var tracers = []string{
	`CREATE TABLE bench_writes (n INTEGER PRIMARY KEY, op TEXT, tbl TEXT, key INTEGER, a TEXT, b TEXT, c TEXT, number INTEGER, bytes INTEGER)`,
	tracer("insert", "records", "INSERT", "NEW.key, NEW.partition, NEW.id, NEW.sort, NEW.expires, length(NEW.body)", ""),
	tracer("update", "records", "UPDATE", "NEW.key, NULL, NULL, NULL, NULL, length(NEW.body)",
		"WHEN NEW.sort IS OLD.sort AND NEW.expires IS OLD.expires"),
	tracer("replace", "records", "UPDATE", "NEW.key, NULL, NULL, NEW.sort, NEW.expires, length(NEW.body)",
		"WHEN NEW.sort IS NOT OLD.sort OR NEW.expires IS NOT OLD.expires"),
	tracer("delete", "records", "DELETE", "OLD.key, NULL, NULL, NULL, NULL, 0", ""),
	tracer("insert", "segments", "INSERT", "NEW.seq, NULL, NULL, NULL, NEW.count, length(NEW.data)", ""),
	tracer("update", "segments", "UPDATE", "NEW.seq, NULL, NULL, NULL, NEW.count, length(NEW.data)", ""),
	tracer("delete", "segments", "DELETE", "OLD.seq, NULL, NULL, NULL, NULL, 0", ""),
	tracer("insert", "segment_states", "INSERT", "NEW.seq, NULL, NULL, NULL, NULL, length(NEW.state)", ""),
	tracer("delete", "segment_states", "DELETE", "OLD.seq, NULL, NULL, NULL, NULL, 0", ""),
	tracer("insert", "delayed", "INSERT", "NEW.key, NULL, NULL, NULL, NEW.due, length(NEW.data)", ""),
	tracer("delete", "delayed", "DELETE", "OLD.key, NULL, NULL, NULL, NULL, 0", ""),
	tracer("update", "counters", "UPDATE", "1, NULL, NULL, NULL, NULL, 0", ""),
}

func tracer(op, table, event, values, when string) string {
	return fmt.Sprintf("CREATE TRIGGER bench_%s_%s AFTER %s ON %s %s BEGIN INSERT INTO bench_writes VALUES (NULL, '%s', '%s', %s); END",
		table, op, event, table, when, op, table, values)
}

// traceWrites runs the load once on a database with tracers. It is slower so,
// and not measured.
func (b *bench) traceWrites(ctx context.Context, events *arena) (*trace, error) {
	dir := b.folder()
	file := filepath.Join(dir, "data", "modelwarden.db")
	t := &trace{events: events.len(), kinds: map[string]int{}}
	p, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	if err := t.arm(file); err != nil {
		return nil, err
	}
	s, err := b.startService(ctx, dir, teamPolicies)
	if err != nil {
		return nil, err
	}
	_, err = s.drive(ctx, &load{events: events, batch: pipelineBatch, connections: pipelineConnections})
	if err = errors.Join(err, s.end()); err != nil {
		return nil, err
	}
	if err := t.read(file); err != nil {
		return nil, err
	}
	return t, os.RemoveAll(dir)
}

// arm notes the schema and adds the tracers.
func (t *trace) arm(file string) error {
	return open(file, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
			&sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
				t.schema = append(t.schema, st.ColumnText(0))
				return nil
			}})
		if err != nil {
			return err
		}
		for _, sql := range tracers {
			if err := sqlitex.ExecuteTransient(c, sql, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *trace) read(file string) error {
	return open(file, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT op, tbl, key, a, b, c, number, bytes FROM bench_writes ORDER BY n",
			&sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
				w := write{
					op: st.ColumnText(0), table: st.ColumnText(1), key: st.ColumnInt64(2),
					texts: [3]string{st.ColumnText(3), st.ColumnText(4), st.ColumnText(5)}, number: st.ColumnInt64(6), bytes: st.ColumnInt(7),
				}
				t.writes = append(t.writes, w)
				t.kinds[w.kind()]++
				return nil
			}})
	})
}

// kind is what the summary counts a write under.
func (w *write) kind() string {
	if w.table != "records" {
		return w.table
	}
	if w.op != "insert" {
		return w.op + " record"
	}
	what, _, _ := strings.Cut(w.texts[1], "/")
	return what
}

// open opens a database of the product for a moment.
func open(file string, do func(c *sqlite.Conn) error) (err error) {
	c, err := sqlite.OpenConn(file, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(c)
}

// summary says how many writes of which kind an event takes.
func (t *trace) summary() string {
	kinds := make([]string, 0, len(t.kinds))
	for k := range t.kinds {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b string) int { return t.kinds[b] - t.kinds[a] })
	var parts []string
	for _, k := range kinds {
		if share := float64(t.kinds[k]) / float64(t.events); share >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.2f", k, share))
		}
	}
	return strings.Join(parts, ", ")
}

// String is for the log of the run.
func (t *trace) String() string {
	return fmt.Sprintf("%.2f row writes an event: %s", float64(len(t.writes))/float64(t.events), t.summary())
}

// commits reads how many transactions a database in write-ahead mode has seen
// since it was opened: the field iChange of the index's header, which SQLite
// increments with every commit.
// https://www.sqlite.org/walformat.html#the_wal_index_file_format
func commits(shm string) (int64, error) {
	f, err := os.Open(shm)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var header [12]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return 0, fmt.Errorf("%s: %w", shm, err)
	}
	return int64(binary.NativeEndian.Uint32(header[8:])), nil
}

package embedded

import (
	"fmt"

	"zombiezen.com/go/sqlite"
)

// pageSize fits records of a kilobyte, the bulk of what is written: smaller
// pages mean less to log for each changed row, larger ones fewer writes for a
// queue segment. Measured from 1 to 32 KiB.
const pageSize = 4096

// conn is one SQLite connection. It belongs to one goroutine at a time.
type conn struct {
	*sqlite.Conn
}

// openConn opens a connection and applies the settings that every connection
// needs. cacheKiB bounds its page cache.
func openConn(path string, flags sqlite.OpenFlags, cacheKiB int) (*conn, error) {
	raw, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, explain(path, err)
	}
	c := &conn{raw}
	err = c.each(
		"PRAGMA temp_store=memory",
		fmt.Sprintf("PRAGMA cache_size=-%d", cacheKiB),
		"PRAGMA mmap_size=0",
		"PRAGMA trusted_schema=off",
	)
	if err != nil {
		_ = raw.Close() // the first error says more
		return nil, explain(path, err)
	}
	return c, nil
}

// each runs statements that are needed once.
func (c *conn) each(statements ...string) error {
	for _, s := range statements {
		if err := c.once(s, nil); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// once runs a statement without keeping it prepared.
func (c *conn) once(statement string, row func(*sqlite.Stmt) error) error {
	st, _, err := c.PrepareTransient(statement)
	if err != nil {
		return err
	}
	err = step(st, row)
	if e := st.Finalize(); err == nil {
		err = e
	}
	return err
}

// run executes a statement that returns no rows and keeps it prepared.
func (c *conn) run(statement string, bind func(*sqlite.Stmt)) error {
	return c.query(statement, bind, nil)
}

// query executes a statement, keeps it prepared and calls row for each row.
func (c *conn) query(statement string, bind func(*sqlite.Stmt), row func(*sqlite.Stmt) error) error {
	st, err := c.Prepare(statement)
	if err != nil {
		return err
	}
	if bind != nil {
		bind(st)
	}
	err = step(st, row)
	if e := st.Reset(); err == nil {
		err = e
	}
	return err
}

// number reads the single integer that a statement returns; 0 for none.
func (c *conn) number(statement string) (n int64, err error) {
	err = c.once(statement, func(st *sqlite.Stmt) error {
		n = st.ColumnInt64(0)
		return nil
	})
	return n, err
}

func step(st *sqlite.Stmt, row func(*sqlite.Stmt) error) error {
	for {
		more, err := st.Step()
		if err != nil || !more {
			return err
		}
		if row == nil {
			continue
		}
		if err := row(st); err != nil {
			return err
		}
	}
}

// columnBytes copies a column's bytes; never nil.
func columnBytes(st *sqlite.Stmt, col int) []byte {
	b := make([]byte, st.ColumnLen(col))
	st.ColumnBytes(col, b)
	return b
}

package embedded

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"
)

// Migrations is how many schema versions this program knows.
var Migrations = len(migrations)

// WindowBytes bounds what the queue keeps in memory.
const WindowBytes = windowBytes

// probe runs a function in the writer's goroutine.
type probe struct {
	call
	do func(w *writer) error
}

func (p *probe) size() int             { return 0 }
func (p *probe) apply(w *writer) error { return p.do(w) }

func (db *DB) probe(do func(w *writer) error) error {
	return db.writer.submit(context.Background(), &probe{newCall(), do})
}

// LimitPages lets the disk be full when the file has n pages; 0 takes the
// limit away.
func (db *DB) LimitPages(n int) error {
	return db.probe(func(w *writer) error {
		if n == 0 {
			n = 1 << 30
		}
		return w.conn.each(fmt.Sprintf("PRAGMA max_page_count=%d", n))
	})
}

// Number answers a query for one number, as the writer sees the file.
func (db *DB) Number(query string) (n int64, err error) {
	err = db.probe(func(w *writer) error {
		n, err = w.conn.number(query)
		return err
	})
	return n, err
}

// Memory tells how many bytes of messages and how many waiting receivers the
// queue has in memory.
func (db *DB) Memory() (bytes, waiting int, err error) {
	err = db.probe(func(w *writer) error {
		bytes, waiting = w.queue.resident, len(w.queue.waiting)
		return nil
	})
	return bytes, waiting, err
}

// Alter runs a statement on a database file that is not open.
func Alter(path, statement string) error {
	c, err := openConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.each(statement)
}

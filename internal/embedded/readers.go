package embedded

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// readers is a small pool of connections that only read. A read begins its
// snapshot when it gets its connection, so it sees everything that was
// answered before it was called.
type readers struct {
	path   string
	free   chan *conn
	closed chan struct{}
	count  int
}

func openReaders(path string, count int) (*readers, error) {
	r := &readers{path: path, free: make(chan *conn, count), closed: make(chan struct{})}
	for range count {
		c, err := openConn(path, sqlite.OpenReadWrite, readerCacheKiB)
		if err == nil {
			r.free <- c
			r.count++
			err = c.each("PRAGMA query_only=on")
		}
		if err != nil {
			_ = r.close() // the first error says more
			return nil, err
		}
	}
	return r, nil
}

// read runs do with a connection of its own, in one read transaction.
func (r *readers) read(ctx context.Context, do func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-r.closed:
		return lineage.ErrClosed
	default:
	}
	select {
	case c := <-r.free:
		defer func() { r.free <- c }()
		return explain(r.path, snapshot(c, do))
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closed:
		return lineage.ErrClosed
	}
}

func snapshot(c *conn, do func(*conn) error) error {
	if err := c.run("BEGIN", nil); err != nil {
		return err
	}
	err := do(c)
	if e := c.run("COMMIT", nil); err == nil {
		err = e
	}
	return err
}

// close waits for reads under way and closes all connections.
func (r *readers) close() error {
	close(r.closed)
	var errs []error
	for range r.count {
		c := <-r.free
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

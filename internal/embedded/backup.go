package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// backupPages is how much one step of a backup copies.
const backupPages = 1024

// Backup writes a copy of the database as of now to path while everything
// goes on. It refuses to overwrite, and path appears only when the copy is
// whole, verified (PRAGMA quick_check; ErrCorrupt otherwise) and durable.
// Closing the DB ends it with lineage.ErrClosed. progress, if not nil, is called with the pages done and in
// all. To restore, put the copy in an empty folder under the name FileName.
//
// The copy contains what was in the queue: a process started on it works on
// those messages again.
func (db *DB) Backup(ctx context.Context, path string, progress func(done, total int)) error {
	if !db.backups.TryRLock() {
		return lineage.ErrClosed
	}
	defer db.backups.RUnlock()
	if err := absent(path); err != nil {
		return err
	}
	partial := path + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("backup: %s exists: another backup writes it, or one was cut short; remove it then", partial)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_ = f.Close() // nothing was written
	if progress == nil {
		progress = func(int, int) {}
	}
	ctx, cancel := db.untilClosed(ctx)
	defer cancel()
	err = db.copyTo(ctx, partial, progress)
	if err == nil {
		err = publish(partial, path)
	}
	if err != nil {
		_ = os.Remove(partial) // the first error says more
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

func absent(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return fmt.Errorf("backup: %s exists; it is not overwritten, choose another name", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// copyTo copies page by page from one snapshot: an open read transaction
// keeps the copy from starting over when something is written meanwhile.
func (db *DB) copyTo(ctx context.Context, path string, progress func(done, total int)) error {
	src, err := openConn(db.path, sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		return err
	}
	err = snapshot(src, func(c *conn) error {
		if _, err := c.number("SELECT count(*) FROM counters"); err != nil {
			return err
		}
		return copyPages(ctx, dst, c, progress)
	})
	if err == nil {
		err = verify(ctx, dst, db.path)
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	return explain(path, err)
}

func copyPages(ctx context.Context, dst, src *conn, progress func(done, total int)) error {
	b, err := sqlite.NewBackup(dst.Conn, "main", src.Conn, "main")
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = context.Cause(ctx); err == nil {
			more, err = b.Step(backupPages)
			progress(b.PageCount()-b.Remaining(), b.PageCount())
		}
	}
	if e := b.Close(); err == nil {
		err = e
	}
	return err
}

// verify reads the whole copy and checks its structure. Pages are copied as
// they are, so what it finds is damage of the source.
func verify(ctx context.Context, copied *conn, source string) error {
	copied.SetInterrupt(ctx.Done())
	err := check(copied, source, "PRAGMA quick_check(3)")
	copied.SetInterrupt(nil) // closing must not be interrupted
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// untilClosed is the context until the DB closes. A folder that another
// process has open (see Backup) has no writer here.
func (db *DB) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if db.writer != nil {
		go func() {
			select {
			case <-db.writer.stop:
				cancel(lineage.ErrClosed)
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// publish makes the copy durable and gives it its name.
func publish(partial, path string) error {
	if err := syncFile(partial); err != nil {
		return err
	}
	if err := absent(path); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

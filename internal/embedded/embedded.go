package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// FileName is the database's name in Options.Dir. While it is open there are
// also a -wal and a -shm file beside it.
const FileName = "modelwarden.db"

// Options say where the database lives and how its queue behaves.
type Options struct {
	// Dir is the data folder; created, for its owner alone, if missing. It
	// must be on a local file system: write-ahead logging does not work over
	// network file systems.
	Dir string
	// Lease is how long a received message belongs to its receiver.
	// Defaults to one minute.
	Lease time.Duration
	// MaxDeliveries is how often a message is delivered before it becomes a
	// dead letter. Defaults to 10, at most 200.
	MaxDeliveries int
	// MaxLeased bounds the messages under lease at one time: Receive waits
	// above it. Defaults to 65,536.
	MaxLeased int
	// MaxMessage bounds a message's body and properties in bytes: Send
	// answers lineage.ErrTooLarge above it. Defaults to 10 MiB, at most 64 MiB.
	MaxMessage int
}

func (o *Options) complete() error {
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	if o.MaxDeliveries == 0 {
		o.MaxDeliveries = 10
	}
	if o.MaxLeased == 0 {
		o.MaxLeased = 65_536
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 10 << 20
	}
	switch {
	case o.Dir == "":
		return errors.New("embedded: no data folder given")
	case o.Lease < 0:
		return fmt.Errorf("embedded: lease %v is negative", o.Lease)
	case o.MaxDeliveries < 1 || o.MaxDeliveries > maxAttempts:
		return fmt.Errorf("embedded: %d deliveries at most; give 1 to %d", o.MaxDeliveries, maxAttempts)
	case o.MaxLeased < 1:
		return fmt.Errorf("embedded: %d leases at most; give 1 or more", o.MaxLeased)
	case o.MaxMessage < 1 || o.MaxMessage > 64<<20:
		return fmt.Errorf("embedded: messages of at most %d bytes; give 1 to %d", o.MaxMessage, 64<<20)
	}
	return nil
}

// DB is an open data folder. It is safe for concurrent use.
type DB struct {
	path    string
	options Options
	lock    *os.File
	writer  *writer
	readers *readers
	close   func() error
	// backups is read-locked by each backup under way; Close takes it for good.
	backups sync.RWMutex
}

// Open opens the data folder, creates or migrates its database and starts the
// writer. The context bounds nothing but the opening.
//
// Errors wrap ErrInUse, ErrCorrupt, ErrForeign or ErrNewer where they apply.
func Open(ctx context.Context, options Options) (*DB, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data folder: %w", err)
	}
	lock, err := lockFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	db := &DB{path: filepath.Join(options.Dir, FileName), options: options, lock: lock}
	if err := db.start(); err != nil {
		_ = lock.Close() // releases the folder; the first error says more
		return nil, err
	}
	db.close = sync.OnceValue(db.shut)
	return db, nil
}

// Sizes of the page caches: the writer's holds a whole group and the upper
// levels of every index.
const (
	writerCacheKiB = 16 << 10
	readerCacheKiB = 1 << 10
	readerCount    = 4
)

func (db *DB) start() error {
	if err := refuseLogAlone(db.path); err != nil {
		return err
	}
	if err := touch(db.path); err != nil {
		return err
	}
	c, err := openConn(db.path, sqlite.OpenReadWrite, writerCacheKiB)
	if err != nil {
		return err
	}
	if err = prepare(c, db.path); err == nil {
		db.readers, err = openReaders(db.path, readerCount)
	}
	if err == nil {
		if err = db.startWriter(c); err != nil {
			_ = db.readers.close()
		}
	}
	if err != nil {
		_ = c.Close()
	}
	return err
}

// touch creates the file for its owner alone: SQLite would ask the umask.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	return f.Close()
}

func (db *DB) startWriter(c *conn) error {
	w := &writer{
		path:    db.path,
		conn:    c,
		jobs:    make(chan job, waitingJobs),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		timer:   time.NewTimer(time.Hour),
		purge:   time.NewTicker(purgeEvery),
		stale:   true,
	}
	w.queue = newQueue(w, db.options)
	if err := w.refresh(); err != nil {
		return explain(db.path, err)
	}
	var err error
	if w.checkpoints, err = startCheckpointer(db.path); err != nil {
		return err
	}
	db.writer = w
	go w.run()
	return nil
}

// Close stops the writer after the group it is in, answers everybody who
// waits with lineage.ErrClosed, ends backups and releases the folder. Calls after the
// first return what the first did.
func (db *DB) Close() error { return db.close() }

func (db *DB) shut() error {
	close(db.writer.stop)
	<-db.writer.stopped
	db.backups.Lock()
	return errors.Join(
		db.readers.close(),
		db.writer.checkpoints.close(),
		explain(db.path, db.writer.conn.Close()),
		db.lock.Close(),
	)
}

// Queue is the event queue. The value also implements lineage.DeadLetters.
func (db *DB) Queue() lineage.Queue { return &Queue{db} }

// DeadLetters is the queue's second face.
func (db *DB) DeadLetters() lineage.DeadLetters { return &Queue{db} }

// Store is the record store.
func (db *DB) Store() lineage.Store { return &Store{db} }

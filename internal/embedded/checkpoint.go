package embedded

import (
	"fmt"
	"sync/atomic"

	"zombiezen.com/go/sqlite"
)

// The write-ahead log is copied into the file in two ways. A checkpointer of
// its own copies most of it while the writer goes on, each time the log has
// grown by checkpointBytes. It never catches up with a writer that is busy,
// so at logPages the writer itself copies the little that is left, after
// which SQLite begins the log anew: the log stays bounded and nobody waits
// for more than a few pages.
const (
	checkpointBytes = 8 << 20
	logPages        = 32 << 20 / pageSize
)

// checkpointer copies the log in the background.
type checkpointer struct {
	path    string
	conn    *conn
	wanted  chan struct{}
	stopped chan struct{}
	fault   atomic.Pointer[error]

	grown int // since the last wish; the writer's
}

func startCheckpointer(path string) (*checkpointer, error) {
	c, err := openConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	if err == nil {
		err = c.each("PRAGMA synchronous=full")
	}
	if err != nil {
		return nil, err
	}
	k := &checkpointer{path: path, conn: c, wanted: make(chan struct{}, 1), stopped: make(chan struct{})}
	go k.run()
	return k, nil
}

// log tells how much the writer has logged, by its own estimate.
func (k *checkpointer) log(bytes int) {
	k.grown += bytes
	if k.grown < checkpointBytes {
		return
	}
	k.grown = 0
	select {
	case k.wanted <- struct{}{}:
	default: // one is under way and another wanted: that one sees it all
	}
}

func (k *checkpointer) run() {
	defer close(k.stopped)
	for range k.wanted {
		err := k.conn.run("PRAGMA wal_checkpoint(PASSIVE)", nil)
		if err != nil {
			err = fmt.Errorf("copy the log into the file: %w", explain(k.path, err))
		}
		k.fault.Store(&err)
	}
}

// close ends the checkpointer when the writer has stopped.
func (k *checkpointer) close() error {
	close(k.wanted)
	<-k.stopped
	return k.conn.Close()
}

// lastFault is the error of the last copy, nil when it went well.
func (k *checkpointer) lastFault() error {
	if err := k.fault.Load(); err != nil {
		return *err
	}
	return nil
}

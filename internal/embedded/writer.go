package embedded

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds of one group commit, and of what may wait for the next.
const (
	groupJobs   = 512
	groupBytes  = 8 << 20
	waitingJobs = 1024
)

// job is one caller's part of a group commit. The writer owns it from submit
// until answer.
type job interface {
	// apply makes the job's changes in the group's transaction. An error is
	// the file's fault and fails the whole group; a refusal of this job alone
	// (a conflict, a lost lease) is kept by the job, which has then changed
	// nothing.
	apply(w *writer) error
	// size is about how many bytes the job adds to the transaction.
	size() int
	// answer ends the wait of the job's caller. err is nil when the group is
	// durable.
	answer(err error)
}

// call is the half of a job that waits.
type call struct {
	done chan struct{}
	err  error // readable when done is closed
}

func newCall() call { return call{done: make(chan struct{})} }

func (c *call) answer(err error) {
	c.err = err
	close(c.done)
}

func (c *call) wait() <-chan struct{} { return c.done }
func (c *call) result() error         { return c.err }

// waitingJob is a job with somebody waiting for it.
type waitingJob interface {
	job
	wait() <-chan struct{}
	result() error
}

// writer is the only goroutine that writes. It takes every job that waits,
// performs them in one transaction, commits once, and answers all: under load
// many callers share one fsync, and alone a caller waits for nobody.
type writer struct {
	path  string
	conn  *conn
	queue *queue

	jobs chan job
	stop chan struct{}
	// stopped is closed when nothing will be answered any more.
	stopped chan struct{}
	timer   *time.Timer
	purge   *time.Ticker

	group []job
	bytes int  // of the group, about
	open  bool // a transaction is open
	stale bool // what memory says of the file is in doubt: read it again

	checkpoints *checkpointer

	versions versions
	fault    atomic.Pointer[fault] // of the last group that wrote, for Healthy
}

// submit hands a job to the writer and waits for its answer. When the context
// ends first the job may still be performed.
func (w *writer) submit(ctx context.Context, j waitingJob) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.stop:
		return lineage.ErrClosed
	default:
	}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return lineage.ErrClosed
	}
	return w.await(ctx, j)
}

func (w *writer) await(ctx context.Context, j waitingJob) error {
	select {
	case <-j.wait():
		return j.result()
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		select {
		case <-j.wait():
			return j.result()
		default:
			return lineage.ErrClosed
		}
	}
}

// run is the writer's loop; it returns when stop is closed.
func (w *writer) run() {
	defer close(w.stopped)
	defer w.timer.Stop()
	defer w.purge.Stop()
	for {
		w.group, w.bytes = w.group[:0], 0
		select {
		case j := <-w.jobs:
			w.gather(j)
		case <-w.timer.C:
		case <-w.purge.C:
			w.group = append(w.group, &purgeJob{})
		case <-w.stop:
			w.drain()
			return
		}
		w.perform(time.Now())
	}
}

// gather adds what waits behind the first job, up to the group's bounds.
func (w *writer) gather(first job) {
	w.yield()
	w.group = append(w.group, first)
	w.bytes += first.size()
	for len(w.group) < groupJobs && w.bytes < groupBytes {
		select {
		case j := <-w.jobs:
			w.group = append(w.group, j)
			w.bytes += j.size()
		default:
			return
		}
	}
}

// yield lets callers that can run hand in their jobs before the group is
// closed: those whom the last group answered are about to ask again. Without
// it groups alternate between a few jobs and the rest, at twice the flushes.
// It waits for nobody who is not running; alone it takes no time.
func (w *writer) yield() {
	for range yields {
		before := len(w.jobs)
		runtime.Gosched()
		if len(w.jobs) == before {
			return
		}
	}
}

// yields bounds how often the writer steps back for others.
const yields = 3

// drain answers whoever was in the channel when the writer stopped.
func (w *writer) drain() {
	for {
		select {
		case j := <-w.jobs:
			j.answer(lineage.ErrClosed)
		default:
			w.queue.abandon(lineage.ErrClosed)
			return
		}
	}
}

// perform does one group: apply, commit, answer.
func (w *writer) perform(now time.Time) {
	err := w.transact(now)
	if err != nil {
		err = fmt.Errorf("embedded store: %w", explain(w.path, err))
	}
	if err != nil {
		w.fault.Store(&fault{err, now})
	}
	for i, j := range w.group {
		j.answer(err)
		w.group[i] = nil
	}
	w.queue.answer(err)
	w.queue.arm(w.timer, now, err)
}

func (w *writer) transact(now time.Time) error {
	err := w.refresh()
	if err == nil {
		err = w.apply(now)
	}
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.rollback()
	}
	return err
}

func (w *writer) apply(now time.Time) error {
	if err := w.queue.begin(now); err != nil {
		return err
	}
	for _, j := range w.group {
		if err := j.apply(w); err != nil {
			return err
		}
	}
	return w.queue.end()
}

// begin opens the group's transaction if it is not open: a group that only
// parks receivers or extends leases needs none.
func (w *writer) begin() error {
	if w.open {
		return nil
	}
	if err := w.conn.run("BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	w.open = true
	return nil
}

// write runs one changing statement in the group's transaction.
func (w *writer) write(statement string, bind func(*sqlite.Stmt)) error {
	if err := w.begin(); err != nil {
		return err
	}
	return w.conn.run(statement, bind)
}

func (w *writer) commit() error {
	if !w.open {
		return nil
	}
	if err := w.conn.run("COMMIT", nil); err != nil {
		return err
	}
	w.open = false
	w.fault.Store(nil)
	w.checkpoints.log(w.bytes + groupPages*pageSize)
	return nil
}

// groupPages is about how many pages every group writes for itself: counters
// and the inner pages of trees.
const groupPages = 4

// rollback undoes a failed group. Memory may be ahead of the file now, so the
// next group begins by reading it again.
func (w *writer) rollback() {
	w.stale = true
	if w.open && !w.conn.AutocommitEnabled() {
		if err := w.conn.run("ROLLBACK", nil); err != nil {
			return // still open: BEGIN will fail and say why
		}
	}
	w.open = false
}

// refresh reads the counters and positions that memory keeps of the file.
func (w *writer) refresh() error {
	if !w.stale {
		return nil
	}
	if err := w.versions.load(w.conn); err != nil {
		return err
	}
	if err := w.queue.load(); err != nil {
		return err
	}
	w.stale = false
	return nil
}

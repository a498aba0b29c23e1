package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fault is an error and when it happened.
type fault struct {
	err error
	at  time.Time
}

// faultFresh is how long a failed group speaks for itself. Later a write of
// our own finds out: there may be no traffic because nobody thinks us healthy.
const faultFresh = 5 * time.Second

// pingJob proves that the writer answers, and with probe that it can write.
type pingJob struct {
	call
	probe bool
}

func (*pingJob) size() int { return 0 }

func (j *pingJob) apply(w *writer) error {
	if !j.probe {
		return nil
	}
	return w.write("UPDATE counters SET live = live", nil)
}

// Healthy answers nil when the writer works: it takes jobs, and the last
// group that wrote was committed. After a fault it tries to write itself.
func (db *DB) Healthy(ctx context.Context) error {
	w := db.writer
	last := w.fault.Load()
	if last != nil && time.Since(last.at) < faultFresh {
		return last.err
	}
	err := w.submit(ctx, &pingJob{newCall(), last != nil})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("embedded store: the writer does not answer, the disk may hang: %w", err)
	}
	if err == nil {
		err = w.checkpoints.lastFault()
	}
	return err
}

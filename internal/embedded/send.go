package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Queue is the queue of a DB: lineage.Queue and lineage.DeadLetters.
type Queue struct {
	db *DB
}

var (
	_ lineage.Queue       = (*Queue)(nil)
	_ lineage.DeadLetters = (*Queue)(nil)
)

// sendBytes bounds what one Send adds to one group: a larger one goes in parts.
const sendBytes = 4 << 20

// chunk is a run of encoded entries, at most a segment long.
type chunk struct {
	data []byte
	ends []int
}

type delayedEntry struct {
	due   time.Time
	entry []byte
}

// sendJob is the part of a Send that goes into one group.
type sendJob struct {
	call
	chunks  []chunk
	delayed []delayedEntry
	bytes   int
}

func (j *sendJob) size() int { return j.bytes }

func (j *sendJob) apply(w *writer) error {
	for _, c := range j.chunks {
		if err := w.queue.accept(c); err != nil {
			return err
		}
	}
	for _, d := range j.delayed {
		if err := w.queue.delay(d.entry, 0, d.due); err != nil {
			return err
		}
	}
	return nil
}

// accept packs a small chunk with its neighbours; a large one is a segment.
func (q *queue) accept(c chunk) error {
	if len(c.data) >= segmentBytes/2 {
		return q.add(c.data, nil, c.ends)
	}
	return q.put(c.data, c.ends, 0)
}

// add encodes one message into the job. room is about what the call's
// remaining messages need.
func (j *sendJob) add(m *lineage.Message, now time.Time, room int) {
	n := entrySize(m, now)
	j.bytes += n
	if m.NotBefore.After(now) {
		entry := appendEntry(make([]byte, 0, n), m, now)
		j.delayed = append(j.delayed, delayedEntry{m.NotBefore, entry})
		return
	}
	last := len(j.chunks) - 1
	if last < 0 || len(j.chunks[last].data)+n > segmentBytes {
		j.chunks = append(j.chunks, chunk{data: make([]byte, 0, max(n, min(room, segmentBytes)))})
		last++
	}
	c := &j.chunks[last]
	c.data = appendEntry(c.data, m, now)
	c.ends = append(c.ends, len(c.data))
}

// Send implements lineage.Queue. Messages without a NotBefore in the future
// are deliverable when it returns.
func (q *Queue) Send(ctx context.Context, messages []lineage.Message) error {
	for i := range messages {
		if err := admit(&messages[i], q.db.options.MaxMessage); err != nil {
			return fmt.Errorf("send: message %d (%s): %w", i, messages[i].ID, err)
		}
	}
	now := time.Now()
	room := 0
	for i := range messages {
		room += entrySize(&messages[i], now)
	}
	for next := 0; next < len(messages); {
		j := &sendJob{call: newCall()}
		for ; next < len(messages) && j.bytes < sendBytes; next++ {
			j.add(&messages[next], now, room-j.bytes)
		}
		room -= j.bytes
		if err := q.db.writer.submit(ctx, j); err != nil {
			return err
		}
	}
	return ctx.Err()
}

package embedded

import (
	"context"
	"fmt"
	"strconv"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// leaseDigits is the length of a lease in hexadecimal digits.
const leaseDigits = 16

// leaseNames writes the leases of one Receive into one piece of memory.
func leaseNames(picked []pick) []lineage.Lease {
	buf := make([]byte, 0, leaseDigits*len(picked))
	for _, p := range picked {
		for shift := 60; shift >= 0; shift -= 4 {
			buf = append(buf, "0123456789abcdef"[p.lease>>shift&15])
		}
	}
	all := string(buf)
	names := make([]lineage.Lease, len(picked))
	for i := range names {
		names[i] = lineage.Lease(all[i*leaseDigits : (i+1)*leaseDigits])
	}
	return names
}

// leaseID reads a lease; 0, which is never given out, for what is none.
func leaseID(l lineage.Lease) uint64 {
	if len(l) != leaseDigits {
		return 0
	}
	id, err := strconv.ParseUint(string(l), 16, 64)
	if err != nil {
		return 0
	}
	return id
}

// losses are the calls' arguments whose lease was lost.
type losses struct {
	failed map[int]error
}

func (l *losses) add(i int) {
	if l.failed == nil {
		l.failed = map[int]error{}
	}
	l.failed[i] = lineage.ErrLeaseLost
}

func (l *losses) err() error {
	if l.failed == nil {
		return nil
	}
	return &lineage.SettleError{Failed: l.failed}
}

// settleJob is a Settle.
type settleJob struct {
	call
	losses
	settlements []lineage.Settlement
	leases      []uint64
}

// size counts the dead and the delayed as rows; the done are bits.
func (j *settleJob) size() int {
	n := 0
	for i := range j.settlements {
		if s := &j.settlements[i]; s.Verdict == lineage.Dead || s.After > 0 {
			n += 1024 + len(s.Description)
		}
	}
	return n
}

func (j *settleJob) apply(w *writer) error {
	for i := range j.settlements {
		at, ok := w.queue.leases.end(j.leases[i])
		if !ok {
			j.losses.add(i)
			continue
		}
		if err := w.queue.settle(at, &j.settlements[i]); err != nil {
			return err
		}
	}
	return nil
}

// settle performs the verdict on a message that was just leased.
func (q *queue) settle(at ref, s *lineage.Settlement) error {
	switch {
	case s.Verdict == lineage.Done:
		q.finish(at)
		return nil
	case s.Verdict == lineage.Retry && s.After <= 0:
		q.makeReady(at)
		return q.shrink(at.seg)
	}
	if err := q.fetch(at.seg); err != nil {
		return err
	}
	entry := at.seg.entry(at.index)
	var err error
	if s.Verdict == lineage.Retry {
		attempt := at.attempts()
		q.finish(at)
		err = q.delay(entry, attempt, q.now.Add(s.After))
	} else {
		err = q.bury(at, entry, s.Reason, s.Description)
	}
	q.letGo(at.seg)
	return err
}

// Settle implements lineage.Queue.
func (q *Queue) Settle(ctx context.Context, settlements []lineage.Settlement) error {
	j := &settleJob{call: newCall(), leases: make([]uint64, len(settlements))}
	for i := range settlements {
		s := &settlements[i]
		if s.Verdict < lineage.Done || s.Verdict > lineage.Dead {
			return fmt.Errorf("settle: settlement %d has the unknown verdict %d", i, s.Verdict)
		}
		j.leases[i] = leaseID(s.Lease)
	}
	// The job outlives the call when the context ends: it needs its own copy.
	j.settlements = append([]lineage.Settlement(nil), settlements...)
	if err := q.db.writer.submit(ctx, j); err != nil {
		return err
	}
	return j.losses.err()
}

// extendJob is an Extend. Leases live in memory: nothing is written.
type extendJob struct {
	call
	losses
	leases []uint64
}

func (j *extendJob) size() int { return 0 }

func (j *extendJob) apply(w *writer) error {
	until := w.queue.now.Add(w.queue.lease)
	for i, id := range j.leases {
		at, ok := w.queue.leases.renew(id, until)
		if !ok {
			j.losses.add(i)
			continue
		}
		if err := w.queue.shrink(at.seg); err != nil {
			return err
		}
	}
	return nil
}

// Extend implements lineage.Queue.
func (q *Queue) Extend(ctx context.Context, leases []lineage.Lease) error {
	j := &extendJob{call: newCall(), leases: make([]uint64, len(leases))}
	for i, l := range leases {
		j.leases[i] = leaseID(l)
	}
	if err := q.db.writer.submit(ctx, j); err != nil {
		return err
	}
	return j.losses.err()
}

// depthJob counts.
type depthJob struct {
	call
	depth lineage.Depth
}

func (j *depthJob) size() int { return 0 }

func (j *depthJob) apply(w *writer) error {
	q := w.queue
	leased := int64(len(q.leases.byID))
	j.depth = lineage.Depth{
		Ready: q.counts.live - leased, Leased: leased, Delayed: q.counts.delayed, Dead: q.counts.dead,
	}
	// What is in the pack counts as live only when it becomes a segment.
	j.depth.Ready += int64(len(q.pack.ends))
	return nil
}

// Depth implements lineage.Queue; every count is exact.
func (q *Queue) Depth(ctx context.Context) (lineage.Depth, error) {
	j := &depthJob{call: newCall()}
	if err := q.db.writer.submit(ctx, j); err != nil {
		return lineage.Depth{}, err
	}
	return j.depth, nil
}

package embedded

import (
	"bytes"
	"math/rand/v2"
	"time"

	"zombiezen.com/go/sqlite"
)

// windowBytes bounds the messages that stay in memory after they were sent.
// What is beyond waits on disk and is read when receivers get there.
const windowBytes = 8 << 20

// queue is the state of the message queue in memory. It belongs to the
// writer's goroutine.
type queue struct {
	w             *writer
	lease         time.Duration
	maxDeliveries int
	maxLeased     int

	now    time.Time // of the group
	ready  fifo[ref]
	leases leases
	pack   pack
	// touched segments have rows to bring up to date at the end of the group.
	touched []*segment
	// loaded is the newest segment that memory knows, last the newest there
	// is: those between wait on disk alone.
	loaded, last int64
	// resident counts the bytes of segments in memory.
	resident int
	// nextDue is when the first delayed message is due; zero for none.
	nextDue time.Time

	counts, saved counts

	waiting []*receiveJob // receivers without a message, oldest first
	served  []*receiveJob // receivers that this group answers
	crowd   int           // length of waiting at which it is cleaned up
}

// counts mirror the row of counters. Live messages are ready or leased.
type counts struct {
	live, delayed, dead int64
}

func newQueue(w *writer, o Options) *queue {
	return &queue{
		w: w, lease: o.Lease, maxDeliveries: o.MaxDeliveries, maxLeased: o.MaxLeased,
		// A lease from before a restart must not look like one of today.
		leases: newLeases(rand.Uint64() >> 1),
	}
}

// load forgets everything and begins from what the file says. Who holds a
// lease has lost it.
func (q *queue) load() error {
	q.ready, q.leases = fifo[ref]{}, newLeases(q.leases.last)
	q.pack.reset()
	q.touched, q.resident, q.loaded = nil, 0, 0
	last, err := q.w.conn.number("SELECT max(seq) FROM segments")
	if err != nil {
		return err
	}
	q.last = last
	err = q.w.conn.query("SELECT live, delayed, dead FROM counters", nil, func(st *sqlite.Stmt) error {
		q.counts = counts{st.ColumnInt64(0), st.ColumnInt64(1), st.ColumnInt64(2)}
		return nil
	})
	q.saved = q.counts
	if err != nil {
		return err
	}
	return q.findDue()
}

// begin starts a group: time has passed.
func (q *queue) begin(now time.Time) error {
	q.now = now
	for {
		at, ok := q.leases.expired(now)
		if !ok {
			break
		}
		q.makeReady(at)
		if err := q.shrink(at.seg); err != nil {
			return err
		}
	}
	return q.promote()
}

// end finishes a group: new segments are written, receivers served, rows
// brought up to date.
func (q *queue) end() error {
	if err := q.flush(); err != nil {
		return err
	}
	if err := q.serve(); err != nil {
		return err
	}
	for _, s := range q.touched {
		if err := s.save(q.w); err != nil {
			return err
		}
	}
	clear(q.touched)
	q.touched = q.touched[:0]
	return q.saveCounts()
}

func (q *queue) saveCounts() error {
	if q.counts == q.saved {
		return nil
	}
	q.saved = q.counts
	return q.w.write("UPDATE counters SET live = ?, delayed = ?, dead = ?", func(st *sqlite.Stmt) {
		st.BindInt64(1, q.counts.live)
		st.BindInt64(2, q.counts.delayed)
		st.BindInt64(3, q.counts.dead)
	})
}

// add writes a segment of new messages. It stays in memory when memory has
// room and no older segment waits on disk. data is retained.
func (q *queue) add(data, states []byte, ends []int) error {
	q.last++
	if err := insertSegment(q.w, q.last, data, len(ends)); err != nil {
		return err
	}
	q.counts.live += int64(len(ends))
	s := newSegment(q.last, data, states, ends)
	if states != nil {
		// At once: receivers of this very group may read the row.
		if err := s.save(q.w); err != nil {
			return err
		}
	}
	if q.loaded != q.last-1 || q.resident > windowBytes {
		return nil
	}
	q.admit(s)
	return nil
}

// admit makes a segment's live messages ready.
func (q *queue) admit(s *segment) {
	q.loaded = s.seq
	q.resident += len(s.data)
	for i, b := range s.state {
		if b != settled {
			q.ready.push(ref{s, i})
			s.ready++
		}
	}
	q.letGo(s)
}

// next finds the next ready message, from disk if need be, and leaves it at
// the head of the line.
func (q *queue) next() (ref, bool, error) {
	for q.ready.count == 0 {
		if q.loaded >= q.last {
			return ref{}, false, nil
		}
		s, err := loadSegment(q.w.conn, q.loaded)
		if err != nil {
			return ref{}, false, err
		}
		if s == nil {
			q.loaded = q.last
			continue
		}
		q.admit(s)
	}
	return q.ready.head(), true, nil
}

// makeReady gives a message back to be received.
func (q *queue) makeReady(at ref) {
	at.seg.ready++
	q.ready.push(at)
}

// fetch makes the data of a segment resident.
func (q *queue) fetch(s *segment) error {
	if s.data != nil {
		return nil
	}
	if err := s.fetch(q.w.conn); err != nil {
		return err
	}
	q.resident += len(s.data)
	return nil
}

// letGo drops the data of a segment of which nothing is ready: what is left
// is in receivers' hands and mostly comes back as done.
func (q *queue) letGo(s *segment) {
	if s.ready == 0 && s.data != nil {
		q.resident -= len(s.data)
		s.data = nil
	}
}

// shrink gives back the bytes of settled messages. It is called where a
// message outlives its neighbours: extended, retried or expired.
func (q *queue) shrink(s *segment) error {
	if !s.sparse() {
		return nil
	}
	if err := q.fetch(s); err != nil {
		return err
	}
	q.resident -= len(s.data)
	err := s.thin(q.w)
	q.resident += len(s.data)
	q.letGo(s)
	return err
}

// finish marks a message as settled.
func (q *queue) finish(at ref) {
	at.seg.state[at.index] = settled
	at.seg.live--
	q.counts.live--
	q.touch(at.seg)
}

func (q *queue) touch(s *segment) {
	if !s.dirty {
		s.dirty = true
		q.touched = append(q.touched, s)
	}
}

// pack collects entries of one group until they fill a segment.
type pack struct {
	data   []byte
	ends   []int
	states []byte // nil while no message was delivered before
}

func (p *pack) reset() { p.data, p.ends, p.states = p.data[:0], p.ends[:0], nil }

// put adds entries to the group's pack.
func (q *queue) put(data []byte, ends []int, attempt int) error {
	if len(q.pack.ends) > 0 && len(q.pack.data)+len(data) > segmentBytes {
		if err := q.flush(); err != nil {
			return err
		}
	}
	p := &q.pack
	if attempt > 0 && p.states == nil {
		p.states = make([]byte, len(p.ends))
	}
	for _, end := range ends {
		p.ends = append(p.ends, len(p.data)+end)
		if p.states != nil {
			p.states = append(p.states, byte(attempt))
		}
	}
	p.data = append(p.data, data...)
	return nil
}

// flush writes the pack as a segment.
func (q *queue) flush() error {
	p := &q.pack
	if len(p.ends) == 0 {
		return nil
	}
	err := q.add(bytes.Clone(p.data), p.states, append([]int(nil), p.ends...))
	p.reset()
	if cap(p.data) > 2*segmentBytes {
		p.data = nil
	}
	return err
}

package embedded

import (
	"zombiezen.com/go/sqlite"
)

const (
	// segmentBytes is the size to which messages are packed into one row.
	segmentBytes = 48 << 10
	// maxAttempts fits a message's count into its byte of the state.
	maxAttempts = 200
	// settled in a message's byte of the state means that it is gone.
	settled = 255
)

// segment is one row of messages that were sent together, as far as memory
// knows it: some of its messages are ready or leased.
type segment struct {
	seq int64
	// data are the entries; nil while none of them is ready.
	data []byte
	// ends are the entries' ends in data.
	ends []int
	// state has a byte for each message: how often it was delivered, or settled.
	state []byte
	// live messages are not settled, ready ones wait to be received, kept
	// ones still have their entry in the row.
	live, ready, kept int
	// stored means that the state has a row; dirty that the row is behind.
	stored, dirty bool
}

// ref names one message of a segment.
type ref struct {
	seg   *segment
	index int
}

func (r ref) attempts() int { return int(r.seg.state[r.index]) }

func (s *segment) size() int { return s.ends[len(s.ends)-1] }

func (s *segment) entry(i int) []byte {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.data[start:s.ends[i]:s.ends[i]]
}

// newSegment takes over what a row says; states may be nil (nothing has
// been delivered).
func newSegment(seq int64, data, states []byte, ends []int) *segment {
	s := &segment{seq: seq, data: data, ends: ends, state: states, stored: states != nil}
	if states == nil {
		s.state = make([]byte, len(ends))
	}
	for _, b := range s.state {
		if b != settled {
			s.live++
		}
	}
	s.kept = s.live
	return s
}

// insertSegment writes the row of new messages.
func insertSegment(w *writer, seq int64, data []byte, count int) error {
	return w.write("INSERT INTO segments (seq, count, codec, data) VALUES (?, ?, 0, ?)", func(st *sqlite.Stmt) {
		st.BindInt64(1, seq)
		st.BindInt64(2, int64(count))
		st.BindBytes(3, data)
	})
}

// loadSegment reads the first segment behind seq; nil when there is none.
func loadSegment(c *conn, after int64) (s *segment, err error) {
	const query = `SELECT s.seq, s.count, s.codec, s.data, t.state
		FROM segments s LEFT JOIN segment_states t ON t.seq = s.seq
		WHERE s.seq > ? ORDER BY s.seq LIMIT 1`
	err = c.query(query, func(st *sqlite.Stmt) { st.BindInt64(1, after) }, func(st *sqlite.Stmt) error {
		count, data := int(st.ColumnInt64(1)), columnBytes(st, 3)
		var state []byte
		if !st.ColumnIsNull(4) {
			state = columnBytes(st, 4)
		}
		ends, err := splitEntries(data, count)
		if err != nil || st.ColumnInt64(2) != 0 || state != nil && len(state) != count {
			return errEntry
		}
		s = newSegment(st.ColumnInt64(0), data, state, ends)
		return nil
	})
	return s, err
}

// fetch makes the segment's data available again after it was dropped.
func (s *segment) fetch(c *conn) error {
	if s.data != nil {
		return nil
	}
	err := c.query("SELECT data FROM segments WHERE seq = ?",
		func(st *sqlite.Stmt) { st.BindInt64(1, s.seq) },
		func(st *sqlite.Stmt) error {
			s.data = columnBytes(st, 0)
			return nil
		})
	if err == nil && len(s.data) != s.size() {
		err = errEntry
	}
	return err
}

// save brings the rows up to date with memory.
func (s *segment) save(w *writer) error {
	s.dirty = false
	if s.live == 0 {
		return s.remove(w)
	}
	s.stored = true
	return w.write("INSERT OR REPLACE INTO segment_states (seq, state) VALUES (?, ?)", func(st *sqlite.Stmt) {
		st.BindInt64(1, s.seq)
		st.BindBytes(2, s.state)
	})
}

func (s *segment) remove(w *writer) error {
	bind := func(st *sqlite.Stmt) { st.BindInt64(1, s.seq) }
	if err := w.write("DELETE FROM segments WHERE seq = ?", bind); err != nil || !s.stored {
		return err
	}
	return w.write("DELETE FROM segment_states WHERE seq = ?", bind)
}

// sparse means that few messages keep a whole segment on disk.
func (s *segment) sparse() bool {
	return s.live > 0 && s.live*shrinkBelow <= s.kept && s.size() >= segmentBytes/2
}

// shrinkBelow is the part of a segment's entries that are live when the
// others' bytes are given back.
const shrinkBelow = 4

// thin replaces the entries of settled messages by empty ones, so that every
// message keeps its index. The data must be there.
func (s *segment) thin(w *writer) error {
	data, ends := []byte{}, make([]int, len(s.ends))
	for i, b := range s.state {
		if b == settled {
			data = append(data, 0)
		} else {
			data = append(data, s.entry(i)...)
		}
		ends[i] = len(data)
	}
	s.data, s.ends, s.kept = data, ends, s.live
	return w.write("UPDATE segments SET data = ? WHERE seq = ?", func(st *sqlite.Stmt) {
		st.BindBytes(1, data)
		st.BindInt64(2, s.seq)
	})
}

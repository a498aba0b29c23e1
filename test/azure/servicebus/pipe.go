package servicebus

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how much may be written before somebody reads.
const pipeBuffer = 64 << 10

// newPipe connects two ends in memory. Unlike those of net.Pipe they have a
// buffer, so that two sides which both write first do not wait for each other.
func newPipe() (a, b net.Conn) {
	there, back := newStream(), newStream()
	return &pipeEnd{in: back, out: there}, &pipeEnd{in: there, out: back}
}

// pipeEnd is one end.
type pipeEnd struct{ in, out *stream }

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }

// Close ends both directions. What was written before can still be read.
func (p *pipeEnd) Close() error {
	p.in.abandon()
	p.out.finish()
	return nil
}

func (p *pipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (p *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	p.in.reading.set(t)
	p.out.writing.set(t)
	return nil
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.reading.set(t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.writing.set(t)
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// stream is one direction.
type stream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	finished bool // by the writer: io.EOF once the buffer is empty
	gone     bool // the reader: nobody will read what is written
	reading  deadline
	writing  deadline
}

func newStream() *stream {
	s := new(stream)
	s.changed = sync.NewCond(&s.mu)
	s.reading.s, s.writing.s = s, s
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.finished:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (written int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.finished:
			return written, net.ErrClosed
		case s.gone:
			return written, io.ErrClosedPipe
		case s.writing.passed:
			return written, os.ErrDeadlineExceeded
		case len(b) == 0:
			return written, nil
		}
		if n := min(len(b), pipeBuffer-len(s.buf)); n > 0 {
			s.buf = append(s.buf, b[:n]...)
			b, written = b[n:], written+n
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.changed.Broadcast()
	s.stopTimers()
}

func (s *stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone, s.buf = true, nil
	s.changed.Broadcast()
	s.stopTimers()
}

func (s *stream) stopTimers() {
	s.reading.stop()
	s.writing.stop()
}

// deadline of one side of a stream, guarded by the stream's mutex.
type deadline struct {
	s      *stream
	passed bool
	timer  *time.Timer
}

// set arms, or with the zero time disarms, the deadline.
func (d *deadline) set(t time.Time) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.pass()
		return
	}
	var own *time.Timer
	own = time.AfterFunc(wait, func() {
		d.s.mu.Lock()
		defer d.s.mu.Unlock()
		if d.timer == own {
			d.pass()
		}
	})
	d.timer = own
}

func (d *deadline) pass() {
	d.passed = true
	d.s.changed.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

package servicebus

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// Bounds of what waits to be written on a connection, in bytes.
const (
	// outboxFull stops deliveries, until half of it is written.
	outboxFull = 4 << 20
	// outboxStop stops reading: the client asks for much and reads nothing.
	outboxStop = 16 << 20
)

// lingering is how long a connection that ends may take to write the rest.
const lingering = time.Second

// outbox writes frames in its own goroutine, so that whoever holds the
// server's lock never waits for a network.
type outbox struct {
	c  *conn
	nc net.Conn

	mu       sync.Mutex
	room     *sync.Cond
	frames   [][]byte
	size     int
	finished bool

	filled   chan struct{} // capacity 1: frames or finished changed
	stopping chan struct{} // closed by finish
	ended    chan struct{} // closed when run returns
	beat     chan time.Duration
}

func newOutbox(c *conn, nc net.Conn) *outbox {
	o := &outbox{
		c: c, nc: nc,
		filled:   make(chan struct{}, 1),
		stopping: make(chan struct{}),
		ended:    make(chan struct{}),
		beat:     make(chan time.Duration, 1),
	}
	o.room = sync.NewCond(&o.mu)
	return o
}

// add queues a frame; after finish it does nothing.
func (o *outbox) add(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	o.frames = append(o.frames, frame)
	o.size += len(frame)
	o.wake()
}

// finish lets the connection be closed once all is written.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	o.finished = true
	close(o.stopping)
	o.room.Broadcast()
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// full tells deliveries to wait.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size >= outboxFull
}

// awaitRoom blocks while far too much waits.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.size >= outboxStop && !o.finished {
		o.room.Wait()
	}
}

// heartbeats makes the outbox send an empty frame whenever this long nothing
// else was sent.
func (o *outbox) heartbeats(every time.Duration) { o.beat <- every }

// run writes until finish or an error, then closes the connection.
func (o *outbox) run() {
	defer close(o.ended)
	defer func() { _ = o.nc.Close() }()
	w := bufio.NewWriterSize(o.nc, 32<<10)
	var every time.Duration
	var idle <-chan time.Time
	for {
		select {
		case every = <-o.beat:
		case <-o.filled:
		case <-idle:
			o.add(heartbeat)
		}
		if done := o.flush(w); done {
			return
		}
		if every > 0 {
			idle = time.After(every)
		}
	}
}

// heartbeat is an empty frame.
var heartbeat = []byte{0, 0, 0, 8, 2, 0, 0, 0}

// flush writes what is there. done means that nothing can follow.
func (o *outbox) flush(w *bufio.Writer) (done bool) {
	o.mu.Lock()
	frames, finished := o.frames, o.finished
	o.frames = nil
	o.mu.Unlock()
	if finished {
		_ = o.nc.SetWriteDeadline(time.Now().Add(lingering))
	}
	written := 0
	for _, f := range frames {
		if !o.c.outgoing() {
			return true
		}
		if _, err := w.Write(f); err != nil {
			return true
		}
		written += len(f)
	}
	if err := w.Flush(); err != nil {
		return true
	}
	o.wrote(written)
	return finished
}

// wrote makes room and, where deliveries had stopped, starts them again.
func (o *outbox) wrote(n int) {
	o.mu.Lock()
	before := o.size
	o.size -= n
	resume := before >= outboxFull && o.size < outboxFull
	o.room.Broadcast()
	o.mu.Unlock()
	if resume {
		o.c.resume()
	}
}

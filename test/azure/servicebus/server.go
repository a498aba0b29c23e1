package servicebus

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// rootKey names the policy that every namespace in Azure is created with.
const rootKey = "RootManageSharedAccessKey"

// Server is a namespace. Its methods are safe for concurrent use.
type Server struct {
	o  Options
	id string

	// mu guards all state of queues, connections, sessions and links: there
	// is one order of events, as if the namespace were single-threaded.
	mu        sync.Mutex
	queues    map[string]*queue
	conns     map[*conn]struct{}
	listeners []net.Listener
	timers    map[*timer]struct{}
	stats     Stats
	closed    bool

	running sync.WaitGroup
}

// New makes a server that listens nowhere yet; Pipe works at once.
func New(o Options) *Server {
	s := &Server{
		o:      o.withDefaults(),
		id:     uuid.NewString(),
		queues: map[string]*queue{},
		conns:  map[*conn]struct{}{},
		timers: map[*timer]struct{}{},
	}
	for name, q := range o.Queues {
		s.queues[fold(name)] = newQueue(s, name, q)
	}
	return s
}

// fold makes names of entities comparable: case does not count in Azure.
func fold(name string) string { return strings.ToLower(name) }

func randomKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Start listens for plain AMQP on a TCP address such as "127.0.0.1:0".
func (s *Server) Start(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.accept(l)
}

// StartTLS listens for AMQP over TLS, beside the plain listener if there is
// one.
func (s *Server) StartTLS(addr string, cfg *tls.Config) error {
	l, err := tls.Listen("tcp", addr, cfg)
	if err != nil {
		return err
	}
	return s.accept(l)
}

// accept serves a listener's connections until it is closed.
func (s *Server) accept(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(net.ErrClosed, l.Close())
	}
	s.listeners = append(s.listeners, l)
	s.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(nc)
		}
	})
	return nil
}

// serve starts a connection; one that comes too late is closed.
func (s *Server) serve(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.running.Go(c.read)
	s.running.Go(c.out.run)
}

// Pipe returns the client's end of a new connection that lives in memory: no
// network, no real waiting, fit for a testing/synctest bubble. Close it, or
// the server.
func (s *Server) Pipe() net.Conn {
	client, server := newPipe()
	s.serve(server)
	return client
}

// Addr is the address of the first listener, or "" before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return ""
	}
	return s.listeners[0].Addr().String()
}

// ConnectionString is what a client needs to reach the plain listener with the
// policy of the most rights. UseDevelopmentEmulator makes the SDKs speak plain
// AMQP to the port that it names. Before Start the host is "localhost".
func (s *Server) ConnectionString() string {
	host := s.Addr()
	if host == "" {
		host = "localhost"
	}
	name, key := s.mightiestKey()
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", host, name, key.Key)
}

// mightiestKey prefers more rights, then the name that comes first.
func (s *Server) mightiestKey() (name string, best Key) {
	for n, k := range s.o.Keys {
		if name == "" || k.Rights > best.Rights || k.Rights == best.Rights && n < name {
			name, best = n, k
		}
	}
	return name, best
}

// Deliver puts a message into a queue as Event Grid does when a queue is its
// destination: no link, no token, same rules.
func (s *Server) Deliver(queue string, m Message) error {
	msg, err := m.encode()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[fold(queue)]
	if q == nil {
		return fmt.Errorf("servicebus: there is no queue %q", queue)
	}
	if refused := q.accept([]*amqp.Message{msg}); refused != nil {
		return refused
	}
	return nil
}

// Counts counts a queue's messages; all zero for a queue that does not exist.
func (s *Server) Counts(queue string) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[fold(queue)]; q != nil {
		return q.counts()
	}
	return Counts{}
}

// ExpireLocks makes every lock on a queue's messages expire now and returns
// how many there were. A name that ends in /$DeadLetterQueue means that queue.
func (s *Server) ExpireLocks(queue string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.find(queue); q != nil {
		return q.expireLocks()
	}
	return 0
}

// Stats tells what happened since New.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close ends listeners and connections and waits for their goroutines. It may
// be called more than once. The queues stay readable by Counts.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		c.close(newError(condForced, "The namespace is shutting down."))
	}
	for t := range s.timers {
		t.cancel()
	}
	clear(s.timers)
	s.mu.Unlock()
	s.running.Wait()
}

// timer is a pending call.
type timer struct {
	done   bool
	cancel func()
}

// after calls f under mu once d has passed by the server's clock. stop is for
// holders of mu; after it f is not called any more, even if its time has come.
func (s *Server) after(d time.Duration, f func()) (stop func()) {
	t := new(timer)
	t.cancel = s.o.Clock.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.done || s.closed {
			return
		}
		t.done = true
		delete(s.timers, t)
		f()
	})
	s.timers[t] = struct{}{}
	return func() {
		if !t.done {
			t.done = true
			delete(s.timers, t)
			t.cancel()
		}
	}
}

// logf logs, if somebody listens.
func (s *Server) logf(format string, args ...any) {
	if s.o.Log != nil {
		s.o.Log(format, args...)
	}
}

// now by the server's clock, in the whole milliseconds that AMQP can carry.
func (s *Server) now() time.Time { return s.o.Clock.Now().UTC().Truncate(time.Millisecond) }

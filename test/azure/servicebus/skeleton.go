package servicebus

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
)

var errNotYet = errors.New("servicebus: not built yet")

const rootKey = "RootManageSharedAccessKey"

func randomKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// Faults injects faults.
type Faults struct{}

// Server is an in-process Service Bus namespace.
type Server struct{ o Options }

// New makes a server.
func New(o Options) *Server { return &Server{o: o.withDefaults()} }

// Start listens.
func (s *Server) Start(addr string) error { return errNotYet }

// StartTLS listens with TLS.
func (s *Server) StartTLS(addr string, cfg *tls.Config) error { return errNotYet }

// Addr is the address of the plain listener.
func (s *Server) Addr() string { return "" }

// Pipe is a client's end of a new connection.
func (s *Server) Pipe() net.Conn { c, _ := net.Pipe(); return c }

// ConnectionString to reach the server.
func (s *Server) ConnectionString() string { return "" }

// Admin is the management API.
func (s *Server) Admin() http.Handler { return http.NotFoundHandler() }

// Deliver puts a message into a queue.
func (s *Server) Deliver(queue string, m Message) error { return errNotYet }

// Counts a queue's messages.
func (s *Server) Counts(queue string) Counts { return Counts{} }

// Stats since the start.
func (s *Server) Stats() Stats { return Stats{} }

// Close ends everything.
func (s *Server) Close() {}

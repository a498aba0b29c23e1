package sandbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// InMemory is a transport without sockets: a request goes straight to the
// handler registered for its host. It is what makes the sandbox testable in
// virtual time (testing/synctest), where network reads would never be idle.
type InMemory map[string]http.Handler

// errDropped is what a client sees of a connection that a handler aborted.
var errDropped = errors.New("connection reset by peer")

// RoundTrip implements http.RoundTripper. The handler runs in a goroutine of
// its own, so that a client's time-out works as over a network; a handler
// must return soon after its request's context has ended.
func (t InMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t[req.URL.Host]
	if h == nil {
		return nil, fmt.Errorf("dial %s: connection refused", req.URL.Host)
	}
	served := req.Clone(req.Context())
	served.RequestURI = req.URL.RequestURI()
	served.Host = req.URL.Host
	if req.URL.Scheme == "https" {
		served.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: req.URL.Hostname()}
	}
	if served.Body == nil {
		served.Body = http.NoBody
	}
	answers := make(chan *answer, 1)
	go func() { answers <- serve(h, served) }()
	select {
	case a := <-answers:
		return a.response(req)
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// serve runs the handler as net/http's server would: http.ErrAbortHandler
// drops the connection.
func serve(h http.Handler, req *http.Request) (a *answer) {
	a = &answer{header: http.Header{}}
	defer func() {
		_ = req.Body.Close()
		if p := recover(); p == http.ErrAbortHandler {
			a.dropped = true
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(a, req)
	return a
}

// answer is an http.ResponseWriter that keeps what it is given.
type answer struct {
	header  http.Header
	sent    http.Header
	status  int
	body    bytes.Buffer
	dropped bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) response(req *http.Request) (*http.Response, error) {
	if a.dropped {
		return nil, errDropped
	}
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: req,
	}, nil
}

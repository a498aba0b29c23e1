package eventgrid

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
)

// Transport carries requests to a handler within the process, without a
// network: under testing/synctest, time passes while a request waits. It is
// an http.RoundTripper, and with its Do a policy.Transporter of the Azure SDK.
// The host of the request does not matter; https is what it claims to be, so
// clients that send keys over TLS only are content.
type Transport struct{ Handler http.Handler }

// Do implements policy.Transporter.
func (t Transport) Do(r *http.Request) (*http.Response, error) { return t.RoundTrip(r) }

// RoundTrip implements http.RoundTripper. A handler that aborts looks like a
// connection that broke.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	inner := r.Clone(r.Context())
	inner.RequestURI, inner.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:443"
	if inner.Host == "" {
		inner.Host = r.URL.Host
	}
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	if r.URL.Scheme == "https" {
		inner.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	answer, ended := httptest.NewRecorder(), make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		defer func() { _ = inner.Body.Close() }()
		t.Handler.ServeHTTP(answer, inner)
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case fault := <-ended:
		return received(r, answer, fault)
	}
}

func received(r *http.Request, answer *httptest.ResponseRecorder, fault any) (*http.Response, error) {
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return nil, io.ErrUnexpectedEOF
	}
	if fault != nil {
		panic(fault)
	}
	response := answer.Result()
	response.Request = r
	return response, nil
}

// StartTLS serves a topic or a namespace on a free loopback port with a
// certificate of its own. Clients in this process use Client of the returned
// server, which trusts it; others need its Certificate, or are told not to
// check. Close it in the end.
func StartTLS(h http.Handler) *httptest.Server { return httptest.NewTLSServer(h) }

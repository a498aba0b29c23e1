package ingest

import "net/http"

// SetCallbackTransport lets a test stand in for Event Grid's callback hosts.
func (s *Subscriber) SetCallbackTransport(t http.RoundTripper) { s.callback.Transport = t }

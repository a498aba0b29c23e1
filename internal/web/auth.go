package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"go.uber.org/zap"
)

// maxBody bounds request bodies, but for callbacks: the verbs' bodies are small.
const maxBody = 64 << 10

// contentPolicy lets a page load its own files and nothing else; no inline
// script or style runs, whatever name an asset has.
const contentPolicy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard knows the accepted tokens by digest, so that comparing takes the same
// time whatever the length.
type guard struct{ digests [][sha256.Size]byte }

func newGuard(tokens []string) guard {
	g := guard{}
	for _, t := range tokens {
		g.digests = append(g.digests, sha256.Sum256([]byte(t)))
	}
	return g
}

// open reports that no token is asked for; then only loopback names are.
func (g *guard) open() bool { return len(g.digests) == 0 }

// admits reports whether the request carries an accepted token, as a bearer
// token or as the password of basic authentication (any user name).
func (g *guard) admits(r *http.Request) bool {
	token := bearer(r)
	if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	sum := sha256.Sum256([]byte(token))
	found := 0
	for i := range g.digests {
		found |= subtle.ConstantTimeCompare(sum[:], g.digests[i][:])
	}
	return found == 1
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// protect is what every request passes: its id, the headers that bind a
// browser, a last resort for panics, and the three questions of who asks, by
// which name, and from which page.
func (s *server) protect(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, rand.Text()))
		secureHeaders(w.Header(), requestID(r.Context()))
		defer s.recovered(w, r)
		if !s.admitted(w, r) {
			return
		}
		if err := origin.Check(r); err != nil && !isCallback(r) {
			s.refuse(w, r, problem(http.StatusForbidden, "the request comes from a page of another origin: use the pages of this service, or a client that is no browser"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
		next.ServeHTTP(w, r)
	})
}

// admitted checks the token, or on an open loopback listener the name that
// the client used: a name that is not loopback's is a rebound DNS record.
func (s *server) admitted(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || isCallback(r):
		return true
	case s.guard.open() && loopbackName(r.Host):
		return true
	case s.guard.open():
		s.refuse(w, r, problem(http.StatusForbidden, "without API tokens this service answers only to loopback names: use http://127.0.0.1, or set a token"))
		return false
	case s.guard.admits(r):
		return true
	}
	w.Header().Add("WWW-Authenticate", `Basic realm="modelwarden", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="modelwarden"`)
	s.refuse(w, r, problem(http.StatusUnauthorized, "an API token is required: send it as a bearer token, or as the password of basic authentication with any user name"))
	return false
}

func bodyLimit(r *http.Request) int64 {
	if isCallback(r) {
		return maxCallback
	}
	return maxBody
}

// trusts reports whether details may be shown on a route that asks for no
// token.
func (s *server) trusts(r *http.Request) bool {
	if s.guard.open() {
		return loopbackName(r.Host)
	}
	return s.guard.admits(r)
}

// loopbackName reports whether a Host header names this machine alone.
func loopbackName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func secureHeaders(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// recovered turns a panic into a logged 500.
func (s *server) recovered(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	s.Logger.Error("panic while answering", zap.String("request", requestID(r.Context())),
		zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Any("cause", cause), zap.Stack("stack"))
	s.refuse(w, r, internalProblem())
}

type requestIDKey struct{}

// requestID is the id under which the log knows this request.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

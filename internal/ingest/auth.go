package ingest

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Authenticator decides whether a request comes from a sender we know.
// Authenticate returns nil, or an *AuthError; any other error counts as a
// fault on this side (503). It must not read the request's body, must be safe
// for concurrent use, and must honour the request's context. Its errors never
// carry a secret, a token or a claim's value.
type Authenticator interface {
	Authenticate(r *http.Request) error
}

// AuthError says why a request was not let in.
type AuthError struct {
	// Status is 401 (no credential, or one that proves nothing), 403 (a
	// genuine credential that does not suffice) or 503 (it could not be
	// checked: the sender should try again).
	Status int
	// Reason is a short stable word for metrics and logs.
	Reason string
	// Detail is a sentence for the sender. It repeats nothing he sent.
	Detail string
	// Err is the cause, for our own log only; often nil.
	Err error
}

// Error implements error.
func (e *AuthError) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Detail + ": " + e.Err.Error()
	}
	return e.Reason + ": " + e.Detail
}

// Unwrap gives the cause to errors.Is.
func (e *AuthError) Unwrap() error { return e.Err }

// reasonMissing is the Reason of a request without any credential.
const reasonMissing = "missing"

func unauthenticated(reason, detail string) *AuthError {
	return &AuthError{Status: http.StatusUnauthorized, Reason: reason, Detail: detail}
}

func forbidden(reason, detail string) *AuthError {
	return &AuthError{Status: http.StatusForbidden, Reason: reason, Detail: detail}
}

func unavailable(reason, detail string, err error) *AuthError {
	return &AuthError{Status: http.StatusServiceUnavailable, Reason: reason, Detail: detail, Err: err}
}

// asAuthError makes a fault of our own out of an error of an unknown type:
// what was not checked must not be answered as if it were wrong.
func asAuthError(err error) *AuthError {
	var known *AuthError
	if errors.As(err, &known) {
		return known
	}
	return unavailable("fault", "The credential could not be checked. Send the request again.", err)
}

// None lets everybody in but browsers that act for another site, so that a
// web page can't post events to a service on its visitor's own machine. A
// browser must name this machine by a loopback name as well: a page whose own
// host name was pointed here (DNS rebinding) is of the same origin to it.
// Requests without a browser's headers pass under any name, as tunnels send
// them. It is for loopback addresses: see RequiresAuth.
func None() Authenticator { return openDoor{http.NewCrossOriginProtection()} }

type openDoor struct{ csrf *http.CrossOriginProtection }

func (d openDoor) Authenticate(r *http.Request) error {
	if d.csrf.Check(r) != nil {
		return forbidden("cross_origin", "Web pages of other origins may not post events.")
	}
	if fromBrowser(r) && !isLoopback(hostOf(r.Host)) {
		return forbidden("rebound_host", "Web pages may post events only under a loopback name, such as localhost.")
	}
	return nil
}

// fromBrowser reports whether a browser made the request: pages can't take
// these headers off, and no other sender sets them.
func fromBrowser(r *http.Request) bool {
	return len(r.Header.Values("Origin")) > 0 || len(r.Header.Values("Sec-Fetch-Site")) > 0
}

// hostOf is a Host header without port and brackets.
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// isLoopback reports whether host is "localhost" or a loopback address.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// RequiresAuth tells whether a service that listens on addr ("host:port") can
// be reached from another machine, so that None() would be open to all.
// Loopback is "localhost", 127.0.0.0/8 and ::1; an empty host, like 0.0.0.0,
// is every interface; what can't be read counts as reachable.
func RequiresAuth(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err != nil || !isLoopback(host)
}

// AnyOf lets a request in when one of the authenticators does, asked in
// order: for the weeks of moving from a shared secret to Entra tokens. When
// none does, "could not be checked" outranks "not allowed", which outranks
// "not known".
func AnyOf(authenticators ...Authenticator) Authenticator { return anyOf(authenticators) }

type anyOf []Authenticator

func (a anyOf) Authenticate(r *http.Request) error {
	worst := unauthenticated(reasonMissing, "No way to authenticate is configured.")
	for i, one := range a {
		err := one.Authenticate(r)
		if err == nil {
			return nil
		}
		if refused := asAuthError(err); i == 0 || refused.Status > worst.Status {
			worst = refused
		}
	}
	return worst
}

// RedactURL returns what may be logged of a request's URL: the path alone,
// because the query may hold a shared secret.
func RedactURL(u *url.URL) string { return u.EscapedPath() }

// bearer returns the credential of an Authorization header with the Bearer
// scheme, "" if there is none.
func bearer(r *http.Request) string {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credential)
}

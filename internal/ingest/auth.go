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
// web page can't post events to a service on its visitor's own machine. It is
// for loopback addresses: see RequiresAuth.
func None() Authenticator { return openDoor{http.NewCrossOriginProtection()} }

type openDoor struct{ csrf *http.CrossOriginProtection }

func (d openDoor) Authenticate(r *http.Request) error {
	if d.csrf.Check(r) != nil {
		return forbidden("cross_origin", "Web pages of other origins may not post events.")
	}
	return nil
}

// RequiresAuth tells whether a service that listens on addr ("host:port") can
// be reached from another machine, so that None() would be open to all.
// Loopback is "localhost", 127.0.0.0/8 and ::1; an empty host, like 0.0.0.0,
// is every interface; what can't be read counts as reachable.
func RequiresAuth(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true
	}
	if strings.EqualFold(host, "localhost") {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
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

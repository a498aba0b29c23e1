package eventgrid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ErrForbidden is what Auth.Token answers for a token that is good and whose
// bearer lacks the role: the service then answers 403 instead of 401.
var ErrForbidden = errors.New("the token's bearer lacks the role")

// Auth says whom a topic or namespace serves. The zero value serves everybody.
type Auth struct {
	// Keys are the access keys; Azure makes two. They are base64 where
	// shared access signatures are made of them.
	Keys []string
	// Token checks a Microsoft Entra bearer token: nil, ErrForbidden or any
	// other error.
	Token func(token string) error
}

func (a Auth) open() bool { return len(a.Keys) == 0 && a.Token == nil }

// unauthorized says nothing about what was wrong, as the service does.
func unauthorized() *failure {
	return &failure{http.StatusUnauthorized, "Unauthorized", "The request authorization key is not authorized for this resource."}
}

// bearer checks an Authorization header with a bearer token; ok is false when
// there is none.
func (a Auth) bearer(r *http.Request) (refused *failure, ok bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, false
	}
	if a.Token == nil {
		return unauthorized(), true
	}
	err := a.Token(token)
	switch {
	case errors.Is(err, ErrForbidden):
		return &failure{http.StatusForbidden, "Forbidden", "The principal does not have the authorization to perform this action."}, true
	case err != nil:
		return unauthorized(), true
	}
	return nil, true
}

// topic checks a request to a custom topic ("Authenticate Event Grid
// publishing clients using access keys or shared access signatures").
func (a Auth) topic(r *http.Request, now time.Time) *failure {
	if a.open() {
		return nil
	}
	if refused, ok := a.bearer(r); ok {
		return refused
	}
	if slices.Contains(a.Keys, r.Header.Get("aeg-sas-key")) {
		return nil
	}
	signature := r.Header.Get("aeg-sas-token")
	if s, ok := strings.CutPrefix(r.Header.Get("Authorization"), "SharedAccessSignature "); ok {
		signature = s
	}
	if a.signed(signature, r, now) {
		return nil
	}
	return unauthorized()
}

// namespace checks a request to a namespace.
func (a Auth) namespace(r *http.Request) *failure {
	if a.open() {
		return nil
	}
	if refused, ok := a.bearer(r); ok {
		return refused
	}
	if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "SharedAccessKey "); ok && slices.Contains(a.Keys, key) {
		return nil
	}
	return unauthorized()
}

// signed checks a shared access signature r=…&e=…&s=…: for this host, not
// expired, made with one of the keys.
func (a Auth) signed(token string, r *http.Request, now time.Time) bool {
	text, signature, ok := strings.Cut(token, "&s=")
	values, err := url.ParseQuery(text)
	if !ok || err != nil {
		return false
	}
	resource, err := url.Parse(values.Get("r"))
	if err != nil || resource.Host != r.Host || !strings.HasPrefix(r.URL.Path, resource.Path) {
		return false
	}
	if until, ok := expiry(values.Get("e")); !ok || !now.Before(until) {
		return false
	}
	want, err := url.QueryUnescape(signature)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(a.Keys, func(key string) bool { return hmac.Equal([]byte(sign(key, text)), []byte(want)) })
}

// expiry reads the time formats that the service's own examples use.
func expiry(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "1/2/2006 3:04:05 PM", "1/2/2006 3:04:05 PM -07:00", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func sign(key, text string) string {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

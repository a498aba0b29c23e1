// Package answer sorts the refusals of Azure's HTTP services into what the
// domain knows: an error that a retry can't mend, one that says when to come
// back, or one that may be tried again.
package answer

import (
	"net/http"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// maxRetryAfter bounds how long a service may ask to be left alone.
const maxRetryAfter = 10 * time.Minute

// Sort makes said, the words about an answer, the error that its status calls
// for: a *policy.PermanentError for what the caller did wrong, a
// *policy.RetryAfterError where the answer names a time, else said itself.
func Sort(said error, status int, header http.Header) error {
	if status < http.StatusInternalServerError && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return &policy.PermanentError{Err: said}
	}
	if after, ok := RetryAfter(header); ok {
		return &policy.RetryAfterError{Err: said, After: after}
	}
	return said
}

// RetryAfter reads when to come back, ten minutes at most: the header's two
// forms, seconds and date (RFC 9110 section 10.2.3), and the Azure SDKs' own
// in milliseconds.
func RetryAfter(header http.Header) (time.Duration, bool) {
	if ms, err := strconv.ParseInt(header.Get("x-ms-retry-after-ms"), 10, 32); err == nil && ms >= 0 {
		return min(time.Duration(ms)*time.Millisecond, maxRetryAfter), true
	}
	text := header.Get("Retry-After")
	after := time.Duration(-1)
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		after = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = max(0, time.Until(at))
	}
	return min(after, maxRetryAfter), after >= 0
}

// Header is that of an answer that may be missing.
func Header(r *http.Response) http.Header {
	if r == nil {
		return nil
	}
	return r.Header
}

package effect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// maxAnswer bounds how much of a target's answer is read, where it is not a
// listing.
const maxAnswer = 64 << 10

// maxRetryAfter bounds how long a target may ask to be left alone.
const maxRetryAfter = time.Hour

// answer is what a target said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// exchange sends a request and reads at most limit bytes of the answer. Errors
// are already sorted into retryable and permanent, and without secrets.
func exchange(client *http.Client, req *http.Request, limit int64, hide redactor) (*answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, sendError(req.Context(), req.URL, err, hide)
	}
	defer func() { _ = resp.Body.Close() }()
	// A body that breaks off does not change what the status line said.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, limit))
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// sendError says why a request got no answer. Only a refused address is
// permanent: names, networks and servers come back.
func sendError(ctx context.Context, u *url.URL, err error, hide redactor) error {
	var refused *DialError
	if errors.As(err, &refused) {
		return &policy.PermanentError{Err: refused}
	}
	// A *url.Error repeats the whole URL; what it wraps does not.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("no answer from %s: %w", place(u), cause)
	}
	return fmt.Errorf("no answer from %s: %s", place(u), hide.text(err.Error()))
}

// statusError sorts an answer that is not a success: 408, 425, 429 and 5xx
// may pass, everything else will not get better by repeating it.
func statusError(a *answer, u *url.URL, now time.Time, hide redactor) error {
	err := fmt.Errorf("%s answered %d %s", place(u), a.status, http.StatusText(a.status))
	if text := hide.excerpt(a.body); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	switch {
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly,
		a.status == http.StatusTooManyRequests, a.status >= 500:
		if after, ok := retryAfter(a.header.Get("Retry-After"), now); ok {
			return &policy.RetryAfterError{Err: err, After: after}
		}
		return err
	case a.status >= 300 && a.status <= 399:
		err = fmt.Errorf("%w; redirects are not followed: configure the final address%s", err, redirectedTo(a, u))
	}
	return &policy.PermanentError{Err: err}
}

// redirectedTo names the host that a redirect leads to, nothing more of it.
func redirectedTo(a *answer, u *url.URL) string {
	to, err := u.Parse(a.header.Get("Location"))
	if err != nil || to.Host == "" || a.header.Get("Location") == "" {
		return ""
	}
	return " (it leads to " + place(to) + ")"
}

// retryAfter reads the header's two forms, seconds and date (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(value, 10, 32); err == nil {
		return clamp(time.Duration(n)*time.Second, 0, maxRetryAfter), n >= 0
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return clamp(at.Sub(now), 0, maxRetryAfter), true
}

func clamp(d, low, high time.Duration) time.Duration { return max(low, min(d, high)) }

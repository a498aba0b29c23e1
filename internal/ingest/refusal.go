package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// refusal is an answer other than success: an RFC 9457 problem.
type refusal struct {
	status  int
	outcome outcome
	detail  string
	// retryAfter is in seconds; 0 leaves the header out.
	retryAfter int
	// header and value are one more header to set.
	header, value string
	// reason and cause are for our own log.
	reason string
	cause  error
}

// Seconds that Retry-After asks for. Event Grid keeps its own schedule, which
// starts at 10 s; the numbers are for everybody else.
const (
	retrySoon  = 1
	retryLater = 10
)

// problem is the body of a refusal: about:blank, so title is the status text.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

func (f *refusal) write(w http.ResponseWriter) {
	text, err := json.Marshal(problem{http.StatusText(f.status), f.status, f.detail, f.outcome.String()})
	if err != nil { // strings and an int: there is nothing to fail on
		text = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	if f.header != "" {
		h.Set(f.header, f.value)
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(text) // the sender may be gone; the refusal stands
}

// refuse503 is for what may succeed later. 503 and not 429 for the rate too:
// Event Grid and action groups retry both, but 503 is the one that action
// groups, proxies and gateways in between all agree to be worth repeating.
func refuse503(o outcome, seconds int, detail string, cause error) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, outcome: o, detail: detail,
		retryAfter: seconds, reason: o.String(), cause: cause,
	}
}

func refuse(status int, o outcome, detail string) *refusal {
	return &refusal{status: status, outcome: o, detail: detail, reason: o.String()}
}

// refuseAuth turns an authenticator's error into an answer.
func refuseAuth(err error) *refusal {
	auth := asAuthError(err)
	f := &refusal{status: auth.Status, detail: auth.Detail, reason: auth.Reason, cause: auth.Err}
	switch auth.Status {
	case http.StatusUnauthorized:
		f.outcome = outcomeUnauthenticated
		f.header, f.value = "WWW-Authenticate", challenge(auth.Reason)
	case http.StatusForbidden:
		f.outcome = outcomeForbidden
	default:
		f.status, f.outcome, f.retryAfter = http.StatusServiceUnavailable, outcomeAuthUnavailable, retryLater
	}
	return f
}

// challenge follows RFC 6750 section 3: no error code for a request that
// brought no credential.
func challenge(reason string) string {
	if reason == reasonMissing {
		return `Bearer realm="modelwarden"`
	}
	return `Bearer realm="modelwarden", error="invalid_token"`
}

// refuseBody answers an error of reading the body.
func (s *Subscriber) refuseBody(ctx context.Context, err error) *refusal {
	var slow net.Error
	switch {
	case errors.Is(err, errBodyTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, outcomeTooLarge,
			"The body is larger than "+strconv.FormatInt(s.options.MaxBody, 10)+
				" bytes, the configured limit. Nothing of it was kept. Send smaller batches or raise the limit.")
	case errors.Is(err, errNoRoom):
		return refuse503(outcomeOverload, retrySoon,
			"Too many bytes are being served. Nothing was kept. Send this request again.", nil)
	case errors.Is(err, errEncoding):
		f := refuse(http.StatusUnsupportedMediaType, outcomeEncoding,
			"The Content-Encoding is not supported. Send the body plain or compressed with gzip.")
		f.header, f.value = "Accept-Encoding", "gzip, identity"
		return f
	case errors.As(err, &slow) && slow.Timeout(): // before Canceled: net/http cancels on any failed read
		return refuse(http.StatusRequestTimeout, outcomeSlowBody,
			"The body did not arrive in time. Nothing was kept. Send the request again.")
	case errors.Is(ctx.Err(), context.Canceled):
		return refuse503(outcomeClientGone, 0, "The request was cancelled.", err)
	case errors.Is(err, errCorrupt):
		return refuse(http.StatusBadRequest, outcomeCorrupt, "The body is not valid gzip. Nothing was kept.")
	}
	return refuse503(outcomeClientGone, 0, "The body could not be read to its end. Send the request again.", err)
}

func refuseBatch(n, limit int) *refusal {
	return refuse(http.StatusRequestEntityTooLarge, outcomeTooMany,
		"The request holds "+strconv.Itoa(n)+" events; the configured limit is "+strconv.Itoa(limit)+
			". Nothing was kept. Send smaller batches or raise the limit.")
}

func refuseMethod(allow string) *refusal {
	f := refuse(http.StatusMethodNotAllowed, outcomeMethod, "This address takes "+allow+".")
	f.header, f.value = "Allow", allow
	return f
}

// refuseSend never answers 4xx: whatever the queue said, Event Grid still has
// the events and must keep them.
func refuseSend(ctx context.Context, err error) *refusal {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return refuse503(outcomeClientGone, 0, "The request was cancelled.", err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return refuse503(outcomeTimeout, retryLater, "The events could not be stored in time. Send the request again.", err)
	case errors.Is(err, lineage.ErrTooLarge):
		return refuse503(outcomeQueue, retryLater,
			"An event is larger than the queue can hold. Turn on dead-lettering at the sender, so that it is not lost.", err)
	}
	return refuse503(outcomeQueue, retryLater, "The events could not be stored. Send the request again.", err)
}

package cosmos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// class is what an error means for a repetition.
type class int

const (
	// final will not get better by repetition.
	final class = iota
	// refused did not take effect; it may be repeated.
	refused
	// doubtful may have taken effect; it may be repeated by who can tell.
	doubtful
)

// statusRetryWith is Cosmos DB's own: a write met another one on its way.
const statusRetryWith = 449

// classes of the statuses that may be repeated. Source: "HTTP status codes
// for Azure Cosmos DB" and "Designing resilient applications with Azure
// Cosmos DB SDKs": 429 and 449 were not performed; of the others nobody
// knows.
var classes = map[int]class{
	http.StatusTooManyRequests:     refused,
	statusRetryWith:                refused,
	http.StatusRequestTimeout:      doubtful,
	http.StatusGone:                doubtful,
	http.StatusInternalServerError: doubtful,
	http.StatusBadGateway:          doubtful,
	http.StatusServiceUnavailable:  doubtful,
	http.StatusGatewayTimeout:      doubtful,
}

// classify is the one place that says what an error of a request means, and
// how long the service wants to be left alone. Whatever is not an answer of
// the service is a connection that broke somewhere, or an answer cut short.
func classify(err error) (c class, after time.Duration) {
	var failed *operationError
	var ours finalError
	var resp *azcore.ResponseError
	switch {
	case errors.As(err, &ours):
		return final, 0
	case errors.As(err, &failed):
		// The batch was taken back, whatever became of the operation.
		if classes[failed.status] != final {
			return refused, 0
		}
		return final, 0
	case errors.As(err, &resp):
		return classes[resp.StatusCode], retryAfter(resp.RawResponse)
	}
	return doubtful, 0
}

// finalError marks errors of ours about what an answer holds.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// operationError is the operation that made a batch fail.
type operationError struct {
	index, status int
}

func (e *operationError) Error() string {
	return fmt.Sprintf("operation %d of the batch failed: %d %s", e.index, e.status, http.StatusText(e.status))
}

// retryAfter reads the one header that Cosmos DB sends, which unlike that of
// other services (package answer) may have a fraction.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	ms, err := strconv.ParseFloat(resp.Header.Get("x-ms-retry-after-ms"), 64)
	if err != nil || !(ms >= 0 && ms < float64(time.Hour/time.Millisecond)) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// isAbsent says whether an item, not its container, was not found.
func isAbsent(err error) bool {
	var resp *azcore.ResponseError
	return errors.As(err, &resp) && resp.StatusCode == http.StatusNotFound && !noOwner(resp)
}

// noOwner tells a missing container or database from a missing item.
func noOwner(resp *azcore.ResponseError) bool {
	return resp.RawResponse != nil && resp.RawResponse.Header.Get("x-ms-substatus") == "1003"
}

// serviceError is an answer of the service in one line: the SDK's own text
// has a dozen.
type serviceError struct {
	*azcore.ResponseError
}

func (e *serviceError) Unwrap() error { return e.ResponseError }

// Error gives status, message and activity id, the one to tell Microsoft.
func (e *serviceError) Error() string {
	var body struct{ Message string }
	text := ""
	if raw, err := runtime.Payload(e.RawResponse); err == nil && json.Unmarshal(raw, &body) == nil {
		text, _, _ = strings.Cut(strings.TrimSpace(body.Message), "\n")
	}
	const enough = 300
	if len(text) > enough {
		text = text[:enough] + "..."
	}
	s := fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if noOwner(e.ResponseError) {
		text = "the database or the container does not exist"
	}
	if text != "" {
		s += ": " + strings.ToValidUTF8(text, "")
	}
	if id := e.RawResponse.Header.Get("x-ms-activity-id"); id != "" {
		s += " (activity " + id + ")"
	}
	return s
}

// explain shortens an SDK error; the context's own comes first.
func explain(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil && err != nil && !errors.Is(err, ctxErr) {
		return fmt.Errorf("%w: %w", ctxErr, explain(context.WithoutCancel(ctx), err))
	}
	var resp *azcore.ResponseError
	if errors.As(err, &resp) && resp.RawResponse != nil {
		return &serviceError{resp}
	}
	return err
}

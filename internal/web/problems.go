package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// retryAfter is when to come back after a 503, in seconds.
const retryAfter = "5"

// problem words a refusal as RFC 9457 has it.
func problem(status int, format string, args ...any) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// badInput is a 400 that names the part of the request that is wrong.
func badInput(location string, value any, format string, args ...any) *huma.ErrorModel {
	p := problem(http.StatusBadRequest, format, args...)
	p.Errors = []*huma.ErrorDetail{{Location: location, Value: value, Message: p.Detail}}
	return p
}

// internalProblem says nothing about the cause: that is in the log.
func internalProblem() *huma.ErrorModel {
	return problem(http.StatusInternalServerError, "something failed on our side; the log has the cause under this request's id")
}

// statusOf lists the errors of the domain that are answers rather than
// faults. Their texts are written for the caller.
var statusOf = []struct {
	err    error
	status int
}{
	{lineage.ErrBadCursor, http.StatusBadRequest},
	{review.ErrCursor, http.StatusBadRequest},
	{lineage.ErrNotFound, http.StatusNotFound},
	{policy.ErrNotRetryable, http.StatusConflict},
	{policy.ErrNotSuspended, http.StatusConflict},
	{review.ErrStale, http.StatusConflict},
	{lineage.ErrTooLarge, http.StatusRequestEntityTooLarge},
}

// asProblem turns any error into a problem. What is not known to be an answer
// is logged and becomes a 500 (or a 503 where waiting helps) without its text.
func (s *server) asProblem(ctx context.Context, err error) *huma.ErrorModel {
	var p *huma.ErrorModel
	if errors.As(err, &p) {
		return p
	}
	var command *review.CommandError
	if errors.As(err, &command) {
		return badInput("body."+command.Field, nil, "%s", command.Error())
	}
	var transition *review.TransitionError
	if errors.As(err, &transition) {
		return problem(http.StatusConflict, "%s", transition.Error())
	}
	for _, known := range statusOf {
		if errors.Is(err, known.err) {
			return problem(known.status, "%s", err.Error())
		}
	}
	if errors.Is(err, lineage.ErrConflict) {
		return problem(http.StatusConflict, "somebody else changed this at the same moment: look again, then try again")
	}
	return s.fault(ctx, err)
}

func (s *server) fault(ctx context.Context, err error) *huma.ErrorModel {
	if ctx.Err() != nil || errors.Is(err, lineage.ErrClosed) {
		return problem(http.StatusServiceUnavailable, "the answer did not come in time: try again shortly")
	}
	s.Logger.Error("request failed", zap.String("request", requestID(ctx)), zap.Error(err))
	return internalProblem()
}

// refuse writes a problem: as JSON to API clients, as a page to browsers.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, p *huma.ErrorModel) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if wantsPage(r) {
		s.errorPage(w, r, p)
		return
	}
	p.Instance = instance(r.Context())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// instance names this occurrence of a problem by the request's id.
func instance(ctx context.Context) string { return "urn:modelwarden:request:" + requestID(ctx) }

// wantsPage tells a browser on a page from a client of the API.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

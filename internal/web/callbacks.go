package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// callbacks is who hears what tools call back.
type callbacks interface {
	// Hear authenticates a request to a target's callback and takes over what it
	// says. It returns one of the errors below, or any other when repeating the
	// request helps. What can't be applied to a review, because that is gone or
	// has changed since, is no error: tools must not repeat it for ever.
	Hear(ctx context.Context, target string, header http.Header, body []byte) error
}

// noCallers stands for a service that no tool calls back.
type noCallers struct{}

func (noCallers) Hear(context.Context, string, http.Header, []byte) error { return ErrNoCaller }

// What a callback may be refused for.
var (
	// ErrForged: the request is not the tool's.
	ErrForged = errors.New("the request is not signed with this target's callback secret")
	// ErrNoCallback: the target has no secret to tell the tool's requests by.
	ErrNoCallback = errors.New("this target takes no callbacks: give it callbackSecretEnv or callbackSecretFile")
	// ErrNoCaller: no target of this name calls back.
	ErrNoCaller = errors.New("no target of this name calls back")
	// ErrUnreadable: the request is the tool's and can't be read.
	ErrUnreadable = errors.New("the request can't be read")
)

// Bounds of what tools may send, and all of them together: whoever asks has
// shown no token.
const (
	maxCallback        = 1 << 20
	callbackTime       = 15 * time.Second
	callbacksAtOnce    = 32
	callbacksPerSecond = 50
	callbackBurst      = 200
)

// callbackDoor lets in as many callbacks as can be worked on.
type callbackDoor struct {
	slots chan struct{}
	rate  *rate.Limiter
}

func newCallbackDoor() callbackDoor {
	return callbackDoor{make(chan struct{}, callbacksAtOnce), rate.NewLimiter(callbacksPerSecond, callbackBurst)}
}

func (d *callbackDoor) enter(now time.Time) bool {
	if !d.rate.AllowN(now, 1) {
		return false
	}
	select {
	case d.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (d *callbackDoor) leave() { <-d.slots }

// callbackPath is strict, so that nothing else can pass for a callback: what it
// matches needs no token.
var callbackPath = regexp.MustCompile(`^/callbacks/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// isCallback says whether a request is for a route on which the target's own
// signature counts, and no token or origin does.
func isCallback(r *http.Request) bool {
	return r.Method == http.MethodPost && callbackPath.MatchString(r.URL.EscapedPath())
}

func (s *server) callbackRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /callbacks/{target}", s.callback)
}

// callback answers a tool: 204 when what it says was taken over or is of no
// use, 503 when it should come again.
func (s *server) callback(w http.ResponseWriter, r *http.Request) {
	target := r.PathValue("target")
	if !s.door.enter(s.Now()) {
		s.answerCallback(w, r, unknownTarget, "busy", problem(http.StatusServiceUnavailable, "too many callbacks at once: come again shortly"))
		return
	}
	defer s.door.leave()
	ctx, cancel := context.WithTimeout(r.Context(), callbackTime)
	defer cancel()
	// A connection that can't have a deadline is a test's.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(callbackTime))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.answerCallback(w, r, unknownTarget, "unreadable", unreadBody(err))
		return
	}
	err = s.Callbacks.Hear(ctx, target, r.Header, body)
	result, p := s.judgeCallback(ctx, target, err)
	if errors.Is(err, ErrNoCaller) {
		target = unknownTarget
	}
	s.answerCallback(w, r, target, result, p)
}

// unknownTarget is the metric's label for what is no target: names that
// strangers made up must not become labels.
const unknownTarget = "unknown"

func unreadBody(err error) *huma.ErrorModel {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem(http.StatusRequestEntityTooLarge, "the body may have at most %d bytes", large.Limit)
	}
	return problem(http.StatusBadRequest, "the body did not arrive")
}

// judgeCallback says how a callback ended, and what the tool is told; nil is
// that all is well.
func (s *server) judgeCallback(ctx context.Context, target string, err error) (result string, p *huma.ErrorModel) {
	switch {
	case err == nil:
		return "heard", nil
	case errors.Is(err, ErrForged):
		return "forged", problem(http.StatusUnauthorized, "%s", ErrForged)
	case errors.Is(err, ErrNoCallback):
		return "refused", problem(http.StatusForbidden, "%s", ErrNoCallback)
	case errors.Is(err, ErrNoCaller):
		return "unknown", problem(http.StatusNotFound, "%s", ErrNoCaller)
	case errors.Is(err, ErrUnreadable):
		return "unreadable", problem(http.StatusBadRequest, "%s", ErrUnreadable)
	}
	s.Logger.Warn("callback not taken over", zap.String("request", requestID(ctx)), zap.String("target", target), zap.Error(err))
	return "failed", problem(http.StatusServiceUnavailable, "it could not be taken over now: come again shortly")
}

func (s *server) answerCallback(w http.ResponseWriter, r *http.Request, target, result string, p *huma.ErrorModel) {
	s.metrics.callbacks.WithLabelValues(target, result).Inc()
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

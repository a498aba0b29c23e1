package azureml

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// When a workspace is left alone, and for how long.
const (
	failuresInARow = 5
	leftAlone      = 30 * time.Second
)

// lane is the way to one workspace. It closes after failures in a row, for half
// a minute, after which one request tries; and for as long as the service asks
// for, which throttles the callers of a subscription, not single requests.
type lane struct {
	workspace string
	breaker   *gobreaker.TwoStepCircuitBreaker[any]

	mu     sync.Mutex
	closed time.Time
}

func newLane(workspace string) *lane {
	return &lane{workspace: workspace, breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Timeout:      leftAlone,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= failuresInARow },
		IsSuccessful: isAnswer,
	})}
}

// isAnswer says whether an error is the service's word on the request rather
// than a sign of trouble. One that says when to come back is kept to as it is,
// see heed.
func isAnswer(err error) bool {
	var permanent *policy.PermanentError
	var later *policy.RetryAfterError
	return err == nil || errors.Is(err, lineage.ErrNotFound) || errors.Is(err, lineage.ErrConflict) ||
		errors.Is(err, context.Canceled) || errors.As(err, &permanent) || errors.As(err, &later)
}

// refusal is why the workspace must not be asked now; nil when it may be.
func (l *lane) refusal() error {
	l.mu.Lock()
	wait := time.Until(l.closed)
	l.mu.Unlock()
	switch {
	case wait > 0:
		return &policy.RetryAfterError{After: wait, Err: fmt.Errorf("workspace %s is not asked: it asked to be left alone for another %v", l.workspace, wait.Round(time.Second))}
	case l.breaker.State() == gobreaker.StateOpen:
		return l.failing()
	}
	return nil
}

func (l *lane) failing() error {
	return &policy.RetryAfterError{After: leftAlone, Err: fmt.Errorf("workspace %s is not asked: it failed %d times in a row", l.workspace, failuresInARow)}
}

// enter asks to make a request; done is to be told how it ended.
func (l *lane) enter() (done func(error), err error) {
	if err := l.refusal(); err != nil {
		return nil, err
	}
	report, err := l.breaker.Allow()
	if err != nil { // another request is trying
		return nil, l.failing()
	}
	return func(err error) {
		l.heed(err)
		report(err)
	}, nil
}

// heed keeps to what the service asked for.
func (l *lane) heed(err error) {
	var asked *policy.RetryAfterError
	if !errors.As(err, &asked) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(asked.After); until.After(l.closed) {
		l.closed = until
	}
}

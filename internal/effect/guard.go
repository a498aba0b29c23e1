package effect

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// ErrBreakerOpen means that a target was not called, because it had failed
// too often just before.
var ErrBreakerOpen = errors.New("circuit breaker is open")

// GuardOptions bound the calls to one target.
type GuardOptions struct {
	// Target names it in errors and observations.
	Target string
	// Timeout bounds one call. Defaults to 10 seconds.
	Timeout time.Duration
	// Concurrency bounds the calls under way at once. Defaults to 8.
	Concurrency int
	// Failures is how many retryable failures in a row open the breaker.
	// Defaults to 5.
	Failures int
	// Cooldown is how long the breaker stays open before it lets one call
	// through to see. Defaults to 30 seconds.
	Cooldown time.Duration
	// Observer is told what happens, for metrics; may be nil.
	Observer Observer
}

// Observer hears of calls and breakers. Its methods must not block.
type Observer interface {
	// Called reports one call that reached the target.
	Called(target string, action policy.ActionType, took time.Duration, err error)
	// BreakerChanged reports a breaker's new state: closed, half-open, open.
	BreakerChanged(target, state string)
}

func (o GuardOptions) withDefaults() GuardOptions {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if o.Cooldown <= 0 {
		o.Cooldown = 30 * time.Second
	}
	return o
}

// guard is what Guard returns.
type guard struct {
	next    policy.Effector
	o       GuardOptions
	slots   chan struct{}
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	// reopens is when an open breaker lets a call through, in nanoseconds.
	reopens atomic.Int64
}

// Guard wraps the effector of one target: a time limit per call, a bound on
// calls under way, and a circuit breaker. A call that the breaker refuses
// returns at once with a *policy.RetryAfterError that wraps ErrBreakerOpen.
// Permanent errors do not count against a target: it did answer.
func Guard(next policy.Effector, o GuardOptions) policy.Effector {
	o = o.withDefaults()
	g := &guard{next: next, o: o, slots: make(chan struct{}, o.Concurrency)}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          o.Target,
		MaxRequests:   1,
		Timeout:       o.Cooldown,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= o.Failures },
		IsSuccessful:  answered,
		IsExcluded:    abandoned,
		OnStateChange: g.stateChanged,
	})
	return g
}

// answered reports whether the target is alive.
func answered(err error) bool {
	var permanent *policy.PermanentError
	return err == nil || errors.As(err, &permanent)
}

// abandoned reports whether the call says nothing about the target: its caller
// went away, or it never got there because another call was at the same ticket.
func abandoned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, review.ErrTicketBusy)
}

func (g *guard) stateChanged(target string, _, to gobreaker.State) {
	if to == gobreaker.StateOpen {
		g.reopens.Store(time.Now().Add(g.o.Cooldown).UnixNano())
	}
	if g.o.Observer != nil {
		g.o.Observer.BreakerChanged(target, to.String())
	}
}

// Do implements policy.Effector.
func (g *guard) Do(ctx context.Context, a policy.Action) (out policy.Outcome, err error) {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return policy.Outcome{}, fmt.Errorf("target %s: %d calls under way and no slot came free: %w", g.o.Target, g.o.Concurrency, ctx.Err())
	}
	done, err := g.breaker.Allow()
	if err != nil {
		return policy.Outcome{}, g.refusal()
	}
	// Counts as a failure should the effector panic.
	result := errors.New("effector did not return")
	defer func() { done(result) }()
	out, err = g.call(ctx, a)
	result = err
	return out, err
}

func (g *guard) call(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	limited, cancel := context.WithTimeout(ctx, g.o.Timeout)
	defer cancel()
	start := time.Now()
	out, err := g.next.Do(limited, a)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("target %s: gave up after %s: %w", g.o.Target, g.o.Timeout, err)
	}
	if g.o.Observer != nil {
		g.o.Observer.Called(g.o.Target, a.Type, time.Since(start), err)
	}
	return out, err
}

// refusal says when the breaker lets a call through again.
func (g *guard) refusal() error {
	left := time.Until(time.Unix(0, g.reopens.Load()))
	return &policy.RetryAfterError{
		Err:   fmt.Errorf("target %s was not called: %w", g.o.Target, ErrBreakerOpen),
		After: max(left, time.Second),
	}
}

package servicebus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// grace is how long a call of the SDK may go on after its context ended. It
// normally comes back at once, and what it brings then must not be lost.
const grace = 2 * time.Second

// answer is what a call of the SDK came to.
type answer[T any] struct {
	value T
	err   error
}

// await calls the SDK for somebody who waits no longer than ctx, because the
// SDK has places that do: it dials, asks for tokens and closes links under
// locks, and waits for the end of its own goroutines. A call that outlasts
// ctx by more than the grace is left behind; late, if not nil, gets what it
// brings in the end.
func await[T any](ctx context.Context, c *Client, call func(context.Context) (T, error), late func(T)) (T, error) {
	return awaitAtMost(ctx, c, grace, call, late)
}

// awaitAtMost is await with a grace of one's own.
func awaitAtMost[T any](ctx context.Context, c *Client, grace time.Duration, call func(context.Context) (T, error), late func(T)) (T, error) {
	answers, left := make(chan answer[T]), make(chan struct{})
	c.background(func() {
		a := guarded(ctx, call)
		select {
		case answers <- a:
		case <-left:
			if late != nil && a.err == nil {
				late(a.value)
			}
		}
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-patience.C:
		close(left)
		var none T
		return none, ctx.Err()
	}
}

// errUnreadable is a panic of the SDK.
var errUnreadable = errors.New("the SDK can't read a message")

// guarded makes an error of a panic: azservicebus v1.11.0 asserts the types of
// annotations and of the dead letter properties, which anybody who may send
// can choose.
func guarded[T any](ctx context.Context, call func(context.Context) (T, error)) (a answer[T]) {
	defer func() {
		if r := recover(); r != nil {
			a.err = fmt.Errorf("%w: %v", errUnreadable, r)
		}
	}()
	a.value, a.err = call(ctx)
	return a
}

// do is await for calls that only succeed or fail, within a limit of their
// own.
func (c *Client) do(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := await(ctx, c, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) }, nil)
	return err
}

// turns is a lock for as many as it has room for, whose wait ends with a
// context.
type turns chan struct{}

func (t turns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turns) give() { <-t }

// each calls do for 0 to n-1 in at most width goroutines and waits for all.
func each(n, width int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	slots := make(chan struct{}, width)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	all.Wait()
}

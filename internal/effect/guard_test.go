package effect_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// doing makes an effector of a function.
type doing func(ctx context.Context, a policy.Action) (policy.Outcome, error)

func (d doing) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) { return d(ctx, a) }

// ledger is an Observer that writes down what it hears.
type ledger struct {
	mu       sync.Mutex
	calls    int
	breakers []string
}

func (l *ledger) Called(string, policy.ActionType, time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
}

func (l *ledger) BreakerChanged(target, state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakers = append(l.breakers, target+" "+state)
}

func TestBreakerOpensAndProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := &ledger{}
		answer := errDown
		g := effect.Guard(doing(func(context.Context, policy.Action) (policy.Outcome, error) { return policy.Outcome{}, answer }),
			effect.GuardOptions{Target: "hook", Failures: 3, Cooldown: time.Minute, Observer: heard})
		do := func() error { _, err := g.Do(t.Context(), action(policy.Retrain)); return err }
		for range 3 {
			if err := do(); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second)
		err := do()
		if !errors.Is(err, effect.ErrBreakerOpen) || isPermanent(err) || retryAfter(err) != 40*time.Second {
			t.Fatalf("open: %v, after %s", err, retryAfter(err))
		}
		time.Sleep(retryAfter(err) + time.Millisecond)
		if err := do(); !errors.Is(err, errDown) {
			t.Fatalf("the probe did not go through: %v", err)
		}
		if err := do(); !errors.Is(err, effect.ErrBreakerOpen) {
			t.Fatalf("a failed probe did not open it again: %v", err)
		}
		time.Sleep(time.Minute + time.Millisecond)
		answer = nil
		for range 3 {
			if err := do(); err != nil {
				t.Fatalf("after recovery: %v", err)
			}
		}
		want := []string{"hook open", "hook half-open", "hook open", "hook half-open", "hook closed"}
		if !slices.Equal(heard.breakers, want) || heard.calls != 7 {
			t.Errorf("heard %d calls and %q", heard.calls, heard.breakers)
		}
	})
}

func TestHalfOpenBreakerLetsOneCallThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		g := effect.Guard(doing(func(context.Context, policy.Action) (policy.Outcome, error) {
			calls++
			time.Sleep(time.Second)
			return policy.Outcome{}, errDown
		}), effect.GuardOptions{Target: "hook", Failures: 1, Cooldown: time.Minute})
		_, _ = g.Do(t.Context(), action(policy.Retrain))
		time.Sleep(2 * time.Minute)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _, _ = g.Do(t.Context(), action(policy.Retrain)) })
		}
		wg.Wait()
		if calls != 2 {
			t.Errorf("%d calls, want the first and one probe", calls)
		}
	})
}

func TestWhatDoesNotCountAgainstATarget(t *testing.T) {
	for name, err := range map[string]error{
		"success":         nil,
		"permanent error": &policy.PermanentError{Err: errDown},
		"caller left":     fmt.Errorf("no answer: %w", context.Canceled),
		"busy ticket":     &policy.RetryAfterError{Err: review.ErrTicketBusy, After: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := effect.Guard(doing(func(context.Context, policy.Action) (policy.Outcome, error) { return policy.Outcome{}, err }),
				effect.GuardOptions{Target: "hook", Failures: 2})
			for range 10 {
				if _, got := g.Do(t.Context(), action(policy.Retrain)); errors.Is(got, effect.ErrBreakerOpen) {
					t.Fatal("the breaker opened")
				}
			}
		})
	}
}

func TestCallsAreBoundedInTimeAndNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under, most := 0, 0
		var mu sync.Mutex
		g := effect.Guard(doing(func(ctx context.Context, _ policy.Action) (policy.Outcome, error) {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			under--
			mu.Unlock()
			return policy.Outcome{}, ctx.Err()
		}), effect.GuardOptions{Target: "hook", Timeout: 3 * time.Second, Concurrency: 2, Failures: 100})
		start := time.Now()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				_, err := g.Do(t.Context(), action(policy.Retrain))
				if !errors.Is(err, context.DeadlineExceeded) || isPermanent(err) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); most != 2 || took != 9*time.Second {
			t.Errorf("at most %d at once, %s for six calls", most, took)
		}
	})
}

func TestWaitingForASlotEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := effect.Guard(doing(func(ctx context.Context, _ policy.Action) (policy.Outcome, error) {
			<-ctx.Done()
			return policy.Outcome{}, ctx.Err()
		}), effect.GuardOptions{Target: "hook", Timeout: time.Hour, Concurrency: 1})
		long, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = g.Do(long, action(policy.Retrain)) })
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Do(short, action(policy.Retrain)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		stop()
		wg.Wait()
	})
}

// A panic is a bug; it must not also take the target's slots and breaker away.
func TestPanicLeavesTheGuardUsable(t *testing.T) {
	broken := true
	g := effect.Guard(doing(func(context.Context, policy.Action) (policy.Outcome, error) {
		if broken {
			panic("bug")
		}
		return policy.Outcome{}, nil
	}), effect.GuardOptions{Target: "hook", Concurrency: 1, Failures: 5})
	func() {
		defer func() { _ = recover() }()
		_, _ = g.Do(t.Context(), action(policy.Retrain))
	}()
	broken = false
	if _, err := g.Do(t.Context(), action(policy.Retrain)); err != nil {
		t.Error(err)
	}
}

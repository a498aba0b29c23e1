package effect_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

var errDown = errors.New("down")

func TestWaitsDoubleUpToTheCapThenGiveUp(t *testing.T) {
	longest := func() float64 { return 1 }
	b := effect.Backoff{Attempts: 12}
	want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900}
	for i, seconds := range want {
		at, giveUp := b.Next(i+1, errDown, t0, longest)
		if giveUp || at.Sub(t0) != seconds*time.Second {
			t.Errorf("after %d attempts: wait %s, give up %t", i+1, at.Sub(t0), giveUp)
		}
	}
	if _, giveUp := b.Next(12, errDown, t0, longest); !giveUp {
		t.Error("the twelfth was not the last")
	}
	if _, giveUp := effect.NextAttempt(11, errDown, t0, longest); giveUp {
		t.Error("gave up before the twelfth")
	}
	if _, giveUp := effect.NextAttempt(12, errDown, t0, longest); !giveUp {
		t.Error("the default twelfth was not the last")
	}
}

func TestPermanentErrorsEndAtOnce(t *testing.T) {
	err := fmt.Errorf("target hook: %w", &policy.PermanentError{Err: errDown})
	if _, giveUp := effect.NextAttempt(1, err, t0, func() float64 { return 0 }); !giveUp {
		t.Error("would try again")
	}
}

func TestRetryAfterIsTheLeast(t *testing.T) {
	err := fmt.Errorf("target hook: %w", &policy.RetryAfterError{Err: errDown, After: time.Minute})
	for _, jitter := range []float64{0, 0.5, 0.999} {
		at, giveUp := effect.NextAttempt(1, err, t0, func() float64 { return jitter })
		if wait := at.Sub(t0); giveUp || wait < time.Minute || wait > time.Minute+2*time.Second {
			t.Errorf("jitter %v: wait %s", jitter, wait)
		}
	}
}

func TestNoBackoffIsOutOfBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := effect.Backoff{
			Base:     time.Duration(rapid.Int64().Draw(t, "base")),
			Cap:      time.Duration(rapid.Int64().Draw(t, "cap")),
			Attempts: rapid.IntRange(-5, 1<<30).Draw(t, "attempts"),
		}
		made := rapid.IntRange(-5, 1<<30).Draw(t, "made")
		err := errDown
		if rapid.Bool().Draw(t, "asked") {
			err = &policy.RetryAfterError{Err: errDown, After: time.Duration(rapid.Int64().Draw(t, "after"))}
		}
		at, giveUp := b.Next(made, err, t0, func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "rnd") })
		if giveUp {
			return
		}
		longest := b.Cap
		if longest <= 0 {
			longest = 15 * time.Minute
		}
		if at.Before(t0) || at.Sub(t0) > min(longest, 24*time.Hour)+time.Hour {
			t.Fatalf("wait %s", at.Sub(t0))
		}
	})
}

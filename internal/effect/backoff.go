package effect

import (
	"errors"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// Backoff spaces the attempts of one action.
type Backoff struct {
	// Base is the longest wait after the first attempt; it doubles with every
	// further one. Defaults to 2 seconds.
	Base time.Duration
	// Cap is the longest wait, at most a day. Defaults to 15 minutes.
	Cap time.Duration
	// Attempts is after how many attempts to give up. Defaults to 12, which takes
	// about half an hour.
	Attempts int
}

// withDefaults fills in what was not said.
func (b Backoff) withDefaults() Backoff {
	if b.Base <= 0 {
		b.Base = 2 * time.Second
	}
	if b.Cap <= 0 {
		b.Cap = 15 * time.Minute
	}
	b.Cap = min(b.Cap, 24*time.Hour)
	if b.Attempts <= 0 {
		b.Attempts = 12
	}
	return b
}

// Next says when to try again after `attempts` attempts, the last of which
// ended in err, or to give up. The wait is exponential with full jitter
// (rnd gives [0,1)), so that actions which failed together do not come back
// together; a target's own Retry-After is the least it waits, with the jitter
// on top.
func (b Backoff) Next(attempts int, err error, now time.Time, rnd func() float64) (at time.Time, giveUp bool) {
	b = b.withDefaults()
	var permanent *policy.PermanentError
	if errors.As(err, &permanent) || attempts >= b.Attempts {
		return time.Time{}, true
	}
	wait := time.Duration(rnd() * float64(b.longest(attempts)))
	var asked *policy.RetryAfterError
	if errors.As(err, &asked) {
		wait += clamp(asked.After, 0, maxRetryAfter)
	}
	return now.Add(wait), false
}

// longest is the wait before jitter.
func (b Backoff) longest(attempts int) time.Duration {
	wait := b.Base
	for n := 1; n < attempts && wait < b.Cap; n++ {
		wait *= 2
	}
	return min(wait, b.Cap)
}

// NextAttempt is Next with the defaults.
func NextAttempt(attempts int, err error, now time.Time, rnd func() float64) (at time.Time, giveUp bool) {
	return Backoff{}.Next(attempts, err, now, rnd)
}

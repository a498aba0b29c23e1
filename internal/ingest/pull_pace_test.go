package ingest_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// scripted is a source whose receives answer by turns.
type scripted struct {
	ingest.PullSource
	answers []error
	at      []time.Duration
	start   time.Time
}

func (s *scripted) Receive(ctx context.Context, _ int, _ time.Duration) ([]lineage.Delivery, error) {
	s.at = append(s.at, time.Since(s.start))
	if len(s.at) <= len(s.answers) {
		return nil, s.answers[len(s.at)-1]
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// waits are the pauses before each receive but the first.
func (s *scripted) waits() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(s.at); i++ {
		out = append(out, s.at[i]-s.at[i-1])
	}
	return out
}

func runScript(t *testing.T, answers ...error) []time.Duration {
	t.Helper()
	s := &scripted{answers: answers, start: time.Now()}
	r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Source = s })
	r.start(t)
	time.Sleep(time.Hour)
	r.stop()
	return s.waits()[:len(answers)]
}

func TestPullBacksOff(t *testing.T) {
	inBubble(t, "doubling", func(t *testing.T) {
		least := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
		for i, got := range runScript(t, slices.Repeat([]error{errAway}, len(least))...) {
			if got < least[i] || got > 2*least[i] {
				t.Errorf("wait %d is %v, want %v to its double", i, got, least[i])
			}
		}
	})
	inBubble(t, "success resets", func(t *testing.T) {
		got := runScript(t, errAway, errAway, errAway, nil, errAway)
		if got[3] != time.Second || got[4] > time.Second {
			t.Errorf("waits %v: an empty page that comes at once is asked for after a second, then all is as new", got)
		}
	})
	inBubble(t, "retry after", func(t *testing.T) {
		got := runScript(t, &policy.RetryAfterError{Err: errAway, After: 3 * time.Minute})
		if got[0] < 3*time.Minute || got[0] > 3*time.Minute+time.Second {
			t.Errorf("waited %v", got)
		}
	})
	inBubble(t, "permanent", func(t *testing.T) {
		got := runScript(t, &policy.PermanentError{Err: errAway})
		if got[0] < 30*time.Second || got[0] > time.Minute {
			t.Errorf("waited %v", got)
		}
	})
}

func TestPullEndsPromptly(t *testing.T) {
	inBubble(t, "while it waits", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.start(t)
		time.Sleep(5 * time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
	inBubble(t, "finishing what it holds", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.fail = func(ctx context.Context) error {
			time.Sleep(4 * time.Second)
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 3*time.Second || r.stats(t).Acknowledged != 1 {
			t.Errorf("took %v, %+v", took, r.stats(t))
		}
	})
	inBubble(t, "not for ever", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.fail = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 5*time.Second || r.stats(t).Delayed != 1 {
			t.Errorf("took %v, %+v: the event should have been given back", took, r.stats(t))
		}
	})
	inBubble(t, "while it backs off", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) {
			o.Source = &scripted{answers: []error{&policy.PermanentError{Err: errAway}}}
		})
		r.start(t)
		synctest.Wait()
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

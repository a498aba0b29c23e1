package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Settling is tried a few times at once: what stays unsettled costs a whole
// lock's time, one of the event's attempts and its work once more.
const (
	settleTries   = 3
	settleTimeout = 10 * time.Second
	settlePause   = 500 * time.Millisecond
)

// settle makes a call about locks, and again for those for which it failed.
// Lost locks are no error. done counts those for which it did not.
func (p *Pull) settle(ctx context.Context, done prometheus.Counter, leases []lineage.Lease,
	call func(context.Context, []lineage.Lease) error) (err error) {
	for try := 0; len(leases) > 0 && try < settleTries; try++ {
		if try > 0 && !sleep(ctx, p.half(settlePause<<try)) {
			break
		}
		bound, cancel := context.WithTimeout(ctx, settleTimeout)
		err = call(bound, leases)
		cancel()
		lost, failed := sortLeases(leases, err)
		done.Add(float64(len(leases) - lost - len(failed)))
		p.metrics.lost.Add(float64(lost))
		var permanent *policy.PermanentError
		if leases = failed; errors.As(err, &permanent) {
			break
		}
	}
	if len(leases) == 0 {
		return nil
	}
	p.metrics.unsettled.Add(float64(len(leases)))
	p.log.Warn("pulled events could not be settled and will come again", zap.Int("events", len(leases)), zap.Error(err))
	return err
}

// sortLeases reads the answer of a call about leases: how many were lost, and
// those for which it failed.
func sortLeases(leases []lineage.Lease, err error) (lost int, failed []lineage.Lease) {
	var some *lineage.SettleError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &some):
		return 0, leases
	}
	for i, l := range leases {
		switch why := some.Failed[i]; {
		case errors.Is(why, lineage.ErrLeaseLost):
			lost++
		case why != nil:
			failed = append(failed, l)
		}
	}
	return lost, failed
}

// releaseAfter grows with the number of deliveries: 10 s, 1 min, 10 min, then
// 1 h. Ten deliveries, the most that Event Grid makes, take six hours.
func releaseAfter(attempt int) time.Duration {
	delays := [...]time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
	return delays[max(0, min(attempt, len(delays))-1)]
}

// Waits between failures.
const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
)

// backoff doubles with each failure in a row; what somebody has to mend
// is asked for rarely from the start, and a source's own wish counts if it is
// longer.
func (p *Pull) backoff(failures int, err error) time.Duration {
	wait := backoffMost
	var permanent *policy.PermanentError
	if !errors.As(err, &permanent) && failures < 7 {
		wait = min(backoffFirst<<(failures-1), backoffMost)
	}
	wait = p.half(wait)
	var asked *policy.RetryAfterError
	if errors.As(err, &asked) && asked.After > wait {
		wait = asked.After + p.jitter(backoffFirst)
	}
	return wait
}

// half is a random time from half of d to d.
func (p *Pull) half(d time.Duration) time.Duration { return d/2 + p.jitter(d/2) }

// sleep waits and reports whether ctx allowed it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

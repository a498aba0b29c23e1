package app

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/review"
)

// burialsEvery is how often the dead letters are counted.
const burialsEvery = 15 * time.Second

// watchBurials tells people when messages become dead letters: an accepted
// event that nobody works on any more is not something to find out by chance.
func (a *App) watchBurials(ctx context.Context) {
	tick := time.NewTicker(burialsEvery)
	defer tick.Stop()
	for known := int64(0); ; {
		known = a.tellBurials(ctx, known)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellBurials raises a review when there are more dead letters than known; the
// reviews of one day and one count are one signal, restarts included.
func (a *App) tellBurials(ctx context.Context, known int64) int64 {
	dead, err := a.countDead(ctx)
	if err != nil || dead <= known {
		return min(known, max(dead, 0))
	}
	now := time.Now().UTC()
	a.log.Error("messages became dead letters", zap.Int64("dead", dead))
	_, _, err = a.desk.Raise(ctx, review.Signal{
		Cause: "dead-letters", Key: event.Digest("dead-letters", now.Format(time.DateOnly), fmt.Sprint(dead)), At: now,
		Title:    fmt.Sprintf("%d messages are dead letters", dead),
		Reason:   "They were tried too often without success and nobody works on them any more. Look with `modelwarden dead list`, replay with `modelwarden dead replay`.",
		Severity: review.Error,
	})
	if err != nil {
		a.log.Warn("can't raise a review about dead letters; trying again", zap.Error(err))
		return known
	}
	return dead
}

// countedDead is how many dead letters are counted by hand.
const countedDead = 100

// countDead counts the dead letters. A queue that can't tell, as Service Bus
// without the right to manage it, is looked into: the first hundred are enough
// to know that there are some.
func (a *App) countDead(ctx context.Context) (int64, error) {
	d, err := a.engines.queue.Depth(ctx)
	if err != nil || d.Dead >= 0 {
		return d.Dead, err
	}
	dead, _, err := a.engines.dead.ListDead(ctx, "", countedDead)
	return int64(len(dead)), err
}

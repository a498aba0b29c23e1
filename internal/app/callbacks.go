package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

// maxHeard bounds what one request of a tool may tell.
const maxHeard = 100

// hearing is what a desk does with news of a review's ticket; *review.Desk is
// it.
type hearing interface {
	Hear(ctx context.Context, target string, h review.Heard) (review.Review, error)
}

// callbacks take what tools call back to the reviews that it is about.
type callbacks struct {
	ticketer func(target string) (effect.Ticketer, bool)
	desk     hearing
	log      *zap.Logger
}

// Hear implements web.Options.Callbacks.
func (c *callbacks) Hear(ctx context.Context, target string, header http.Header, body []byte) error {
	t, _ := c.ticketer(target)
	caller, calls := t.(effect.Caller)
	if !calls {
		return web.ErrNoCaller
	}
	heard, err := caller.Hear(header, body)
	switch {
	case errors.Is(err, effect.ErrForged):
		return web.ErrForged
	case errors.Is(err, effect.ErrNoCallback):
		return web.ErrNoCallback
	case err != nil:
		c.log.Info("callback can't be read", zap.String("target", target), zap.Error(err))
		return fmt.Errorf("%w: %w", web.ErrUnreadable, err)
	}
	if len(heard) > maxHeard {
		c.log.Warn("callback tells too much; the rest is dropped", zap.String("target", target), zap.Int("told", len(heard)), zap.Int("kept", maxHeard))
		heard = heard[:maxHeard]
	}
	for _, h := range heard {
		if err := c.apply(ctx, target, h); err != nil {
			return err
		}
	}
	return nil
}

// apply takes one thing over. Its error is one that a repeat of the request may
// mend: what does not fit the review any more is noted and dropped.
func (c *callbacks) apply(ctx context.Context, target string, h effect.Heard) error {
	told := review.Heard{Key: h.Key, Ref: h.Ref, Verb: h.Verb, By: h.By, Why: h.Why, At: h.At, ID: h.ID}
	r, err := c.desk.Hear(ctx, target, told)
	fields := []zap.Field{zap.String("target", target), zap.String("review", h.Key), zap.String("verb", string(h.Verb)), zap.String("state", string(r.State))}
	if useless(err) {
		c.log.Info("callback changes nothing", append(fields, zap.Error(err))...)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s of review %s: %w", h.Verb, h.Key, err)
	}
	c.log.Info("callback taken over", fields...)
	return nil
}

// useless says whether an error stays however often the tool repeats itself.
func useless(err error) bool {
	var command *review.CommandError
	var transition *review.TransitionError
	return errors.As(err, &command) || errors.As(err, &transition) ||
		errors.Is(err, review.ErrNotFound) || errors.Is(err, review.ErrStale) || errors.Is(err, review.ErrSignal)
}

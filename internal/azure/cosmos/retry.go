package cosmos

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// How a request is repeated.
const (
	maxTries   = 8
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
	// tryTimeout ends a request on a connection that has gone silent: the
	// service itself takes 5 s at most.
	tryTimeout = 10 * time.Second
)

// retry performs a request until it succeeds, fails for good, has been tried
// often enough or the context ends.
func (s *Store) retry(ctx context.Context, op string, try func(context.Context, *conn) error) error {
	for n := 1; ; n++ {
		if s.closed.Load() {
			return lineage.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.once(ctx, op, try)
		if err == nil {
			return nil
		}
		class, after := classify(err)
		if class == final || n == maxTries || ctx.Err() != nil {
			return explain(ctx, err)
		}
		pause := max(after, backoff(n))
		s.options.Logger.Debug("cosmos request is repeated",
			zap.String("operation", op), zap.Int("try", n), zap.Duration("pause", pause), zap.Error(explain(ctx, err)))
		if wait(ctx, pause) != nil {
			return explain(ctx, err)
		}
	}
}

// once performs one try, within its own time.
func (s *Store) once(ctx context.Context, op string, try func(context.Context, *conn) error) error {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, operation{}, op), tryTimeout)
	defer cancel()
	c := s.conn.Load()
	err := try(ctx, c)
	if err != nil {
		if err := s.renew(c); err != nil {
			return err
		}
	}
	return err
}

// backoff is between half of and the whole of a pause that doubles.
func backoff(try int) time.Duration {
	pause := min(maxPause, firstPause<<(try-1))
	return pause/2 + rand.N(pause/2)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

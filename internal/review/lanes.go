package review

import (
	"context"
	"hash/maphash"
)

// laneCount bounds how many causes one process writes at a time.
const laneCount = 64

// lanes let the writers of one process take turns per cause, so that a storm
// of signals of one cause does not spend itself on version conflicts.
type lanes struct {
	seed maphash.Seed
	lane [laneCount]chan struct{}
}

func newLanes() lanes {
	l := lanes{seed: maphash.MakeSeed()}
	for i := range l.lane {
		l.lane[i] = make(chan struct{}, 1)
	}
	return l
}

// enter waits for the cause's lane; the caller must call leave.
func (l *lanes) enter(ctx context.Context, digest string) (leave func(), err error) {
	lane := l.lane[maphash.String(l.seed, digest)%laneCount]
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

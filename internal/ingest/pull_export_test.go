package ingest

import (
	"math/rand/v2"
	"time"
)

// SetSeed makes the waits of a Pull that one goroutine runs repeatable.
func (p *Pull) SetSeed(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, seed))
	p.jitter = func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d) + 1)) }
}

// Package porttest makes the contracts of lineage's ports executable.
//
// [Queue], [DeadLetters] and [Store] are suites of laws. A backend hands them
// a way to open itself; each law is a subtest that starts on an empty one.
// [FaultyStore] and [FaultyQueue] wrap a backend and let it fail the way
// networks and disks do, repeatably from a seed. The package is imported by
// tests only.
package porttest

import (
	"testing"
	"time"
)

// Around runs one law. A backend whose clock is Go's own passes one that puts
// the law in a testing/synctest bubble, so that leases expire without anybody
// waiting; nil runs the law as it is.
type Around func(t *testing.T, law func(t *testing.T))

func (a Around) run(t *testing.T, law func(t *testing.T)) {
	if a == nil {
		law(t)
		return
	}
	a(t, law)
}

// moment is how long a law waits for something that must not happen.
const moment = 200 * time.Millisecond

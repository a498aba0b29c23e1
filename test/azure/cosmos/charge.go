package cosmos

import (
	"net/http"
	"time"
)

// The formula, in request units; doc.go tells it to users. kb is the item's
// size as stored, at least 1.

func kilobytes(size int) float64 { return max(1, float64(size)/1024) }

// readCharge: 1 for 1 KB, 10 for 100 KB.
func readCharge(size int) float64 { return 1 + (kilobytes(size)-1)*9/99 }

// writeCharge: 5 for 1 KB, 50 for 100 KB, and 0.2 for every indexed value.
func writeCharge(size, leaves int) float64 {
	return 5 + (kilobytes(size)-1)*45/99 + 0.2*float64(leaves)
}

// failedWriteCharge is that of a write that was refused when it looked.
const failedWriteCharge = 1.24

func (it *item) writeCharge() float64 { return writeCharge(len(it.raw), it.leaves) }

// queryCharge: 2.3 to begin with, half a read for every item loaded, and 0.03
// per KB returned.
func queryCharge(loaded []*item, returned int) float64 {
	charge := 2.3 + 0.03*float64(returned)/1024
	for _, it := range loaded {
		charge += readCharge(len(it.raw)) / 2
	}
	return charge
}

// read doubles a charge where reads ask two replicas.
func (c *call) read(charge float64) float64 {
	if c.strongRead() {
		return 2 * charge
	}
	return charge
}

// Stats counts what the server answered since it began, by operation.
type Stats map[Operation]Count

// Count is the part of one operation.
type Count struct {
	Requests     int
	RequestUnits float64
}

// Stats is a copy of the counts. Requests that a fault kept from being
// performed are not among them.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := Stats{}
	for op, n := range s.stats {
		copied[op] = n
	}
	return copied
}

func (s *Server) count(op Operation, charge float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.stats[op]
	s.stats[op] = Count{n.Requests + 1, n.RequestUnits + charge}
}

// bucket is a container's throughput: it fills at rate up to one second's
// worth, and a request may overdraw it once.
type bucket struct {
	rate, level float64
	at          time.Time
}

func (b *bucket) fill(now time.Time) {
	b.level = min(b.rate, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// throttle refuses a request to a container that is overdrawn.
func (c *call) throttle() error {
	if c.container == nil || c.container.bucket.rate == 0 {
		return nil
	}
	b := &c.container.bucket
	b.fill(c.now)
	if b.level > 0 {
		return nil
	}
	f := failed(http.StatusTooManyRequests, "", "The request rate is large. More Request Units may be needed, so no changes were made. Please retry this request later.")
	f.substatus = 3200
	f.retry = time.Duration(-b.level/b.rate*float64(time.Second)) + time.Millisecond
	return f
}

// spend takes what a request cost from the container.
func (c *call) spend(a *answer, err error) {
	if c.container == nil || c.container.bucket.rate == 0 {
		return
	}
	if f, ok := err.(*failure); ok {
		c.container.bucket.level -= f.charge
	} else if a != nil {
		c.container.bucket.level -= a.charge
	}
}

package embedded

// fifo is a ring buffer that grows with what it holds and shrinks when empty.
type fifo[T any] struct {
	ring  []T
	first int
	count int
}

// fifoKeep is the capacity that an empty fifo keeps.
const fifoKeep = 1024

func (f *fifo[T]) push(v T) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.ring[(f.first+f.count)&(len(f.ring)-1)] = v
	f.count++
}

func (f *fifo[T]) grow() {
	ring := make([]T, max(64, 2*len(f.ring)))
	n := copy(ring, f.ring[f.first:])
	copy(ring[n:], f.ring[:f.first])
	f.ring, f.first = ring, 0
}

// head is the oldest; it must not be called on an empty fifo.
func (f *fifo[T]) head() T { return f.ring[f.first] }

// pop takes the oldest; it must not be called on an empty fifo.
func (f *fifo[T]) pop() T {
	var zero T
	v := f.ring[f.first]
	f.ring[f.first] = zero
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.count--
	if f.count == 0 && len(f.ring) > fifoKeep {
		f.ring, f.first = nil, 0
	}
	return v
}

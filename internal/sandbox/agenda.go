package sandbox

import (
	"container/heap"
	"time"
)

// agenda holds what is due later: the next step of each running job. One
// goroutine works through it, so a thousand jobs cost a thousand entries and
// no goroutine each.
type agenda []appointment

type appointment struct {
	at  time.Time
	seq uint64 // keeps appointments of one instant in order
	do  func() // called with the workspace locked
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].seq < a[j].seq
	}
	return a[i].at.Before(a[j].at)
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(appointment)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = appointment{}
	*a = old[:len(old)-1]
	return last
}

// later arranges for do in d. Callers hold w.mu.
func (w *Workspace) later(d time.Duration, do func()) {
	w.appointments++
	heap.Push(&w.agenda, appointment{at: time.Now().Add(d), seq: w.appointments, do: do})
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// runAgenda performs appointments until the workspace closes.
func (w *Workspace) runAgenda() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.performDue())
		select {
		case <-w.ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// performDue does what is due and tells how long until the next is.
func (w *Workspace) performDue() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.agenda) > 0 {
		if wait := time.Until(w.agenda[0].at); wait > 0 {
			return wait
		}
		heap.Pop(&w.agenda).(appointment).do()
	}
	return time.Hour
}

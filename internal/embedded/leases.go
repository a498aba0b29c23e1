package embedded

import "time"

// lease is one message in a receiver's hands.
type lease struct {
	id    uint64
	at    ref
	until time.Time

	older, newer *lease
}

// leases holds what is in receivers' hands, by id and by age. All leases have
// the same duration and time does not run backwards, so the order of taking
// or renewing is the order of expiry. Leases live in memory alone: a process
// that dies has no receivers left.
type leases struct {
	byID           map[uint64]*lease
	oldest, newest *lease
	last           uint64
}

func newLeases(last uint64) leases {
	return leases{byID: map[uint64]*lease{}, last: last}
}

func (t *leases) take(at ref, until time.Time) uint64 {
	t.last++
	l := &lease{id: t.last, at: at, until: until}
	t.byID[l.id] = l
	t.append(l)
	return l.id
}

// renew moves a lease to the young end, or answers false when it is lost.
func (t *leases) renew(id uint64, until time.Time) (ref, bool) {
	l := t.byID[id]
	if l == nil {
		return ref{}, false
	}
	t.unlink(l)
	l.until = until
	t.append(l)
	return l.at, true
}

// end removes a lease, or answers false when it is lost.
func (t *leases) end(id uint64) (ref, bool) {
	l := t.byID[id]
	if l == nil {
		return ref{}, false
	}
	delete(t.byID, id)
	t.unlink(l)
	return l.at, true
}

// expired removes and returns one lease that is over, if there is one.
func (t *leases) expired(now time.Time) (ref, bool) {
	if t.oldest == nil || now.Before(t.oldest.until) {
		return ref{}, false
	}
	return t.end(t.oldest.id)
}

func (t *leases) append(l *lease) {
	l.older, l.newer = t.newest, nil
	if t.newest == nil {
		t.oldest = l
	} else {
		t.newest.newer = l
	}
	t.newest = l
}

func (t *leases) unlink(l *lease) {
	if l.older == nil {
		t.oldest = l.newer
	} else {
		l.older.newer = l.newer
	}
	if l.newer == nil {
		t.newest = l.older
	} else {
		l.newer.older = l.older
	}
}

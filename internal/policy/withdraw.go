package policy

import "slices"

// Withdraw forgets a firing whose action never started: a limit across assets
// held it when it was dispatched, so it begins no cooldown and counts against
// no cap. It reports whether the memory knew it; m itself is not changed.
func (m Memory) Withdraw(key string) (Memory, bool) {
	i := slices.IndexFunc(m.Fired, func(f Firing) bool { return f.Key == key })
	if i < 0 {
		return m, false
	}
	m.Fired = slices.Delete(slices.Clone(m.Fired), i, i+1)
	return m, true
}

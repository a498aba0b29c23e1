package review

import (
	"cmp"
	"slices"
	"time"
)

// partSignalled notes which of the review's causes a signal is of.
func (r *Review) partSignalled(s Signal) {
	if s.Part == "" {
		return
	}
	i := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Cause == clip(s.Part, maxText) })
	if i < 0 {
		if len(r.Parts) == MaxParts {
			r.PartsDropped++
			return
		}
		i = len(r.Parts)
		r.Parts = append(r.Parts, Part{Cause: clip(s.Part, maxText)})
	}
	p := &r.Parts[i]
	p.Model = cmp.Or(p.Model, s.Model)
	if s.At.After(p.LastSignal) {
		p.LastSignal = s.At
	}
	if !p.Passed.After(p.LastSignal) {
		p.Passed = time.Time{}
	}
}

func (r *Review) hasPart(cause string) bool {
	return slices.ContainsFunc(r.Parts, func(p Part) bool { return p.Cause == clip(cause, maxText) })
}

// partPassed notes that one of the review's causes passed, and reports whether
// that is news. Where it is the last, all of them have: the review's own
// passing is then returned.
func (r *Review) partPassed(cause string, p Passing) (own Passing, news bool) {
	i := slices.IndexFunc(r.Parts, func(part Part) bool { return part.Cause == clip(cause, maxText) })
	if r.State == Resolved || i < 0 || !r.Parts[i].LastSignal.Before(p.At) || !p.At.After(r.Parts[i].Passed) || r.signalled(p.Window) {
		return Passing{}, false
	}
	r.Parts[i].Passed = p.At
	if r.PartsDropped > 0 || slices.ContainsFunc(r.Parts, func(part Part) bool { return part.Passed.IsZero() }) {
		return Passing{}, true
	}
	newest := slices.MaxFunc(r.Parts, func(a, b Part) int { return a.Passed.Compare(b.Passed) })
	return Passing{At: newest.Passed, Key: p.Key, Text: "all of its causes passed"}, true
}

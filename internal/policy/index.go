package policy

import (
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// index finds the policies that one kind of event may concern without
// looking at those it does not. Each policy stands under one key of its
// match, the most telling it has; a policy without any is always a candidate.
type index struct {
	always []int
	keys   []keyIndex
}

// keyIndex finds policies by the values of one key of match.
type keyIndex struct {
	key *matchKey
	// exact holds patterns without wildcards; prefixes those with, by their
	// literal begin, whose lengths are listed in lengths.
	exact    map[string][]int
	prefixes map[string][]int
	lengths  []int
}

// buildIndex enters every policy under the kinds it is on. A policy that
// remembers passes is also offered monitor.passed.
func (s *Set) buildIndex() {
	for i, r := range s.rules {
		kinds := slices.Clone(r.policy.On)
		if r.remembersPasses() && !slices.Contains(kinds, event.MonitorPassed) {
			kinds = append(kinds, event.MonitorPassed)
		}
		for _, k := range kinds {
			if s.index[k] == nil {
				s.index[k] = &index{}
			}
			s.index[k].add(i, r, k)
		}
	}
	for _, ix := range s.index {
		for i := range ix.keys {
			ix.keys[i].sortLengths()
		}
	}
}

// remembersPasses says whether a pass changes what the policy remembers: it
// counts windows, or may have suspended its retrains.
func (r *rule) remembersPasses() bool {
	if !slices.ContainsFunc(r.policy.On, measures) {
		return false
	}
	return r.policy.Sustained != nil || slices.ContainsFunc(r.steps, func(s step) bool { return s.Type == Retrain && s.SuspendAfter > 0 })
}

func (ix *index) add(i int, r *rule, kind event.Kind) {
	for _, km := range r.matcher.keys {
		if kind == event.MonitorPassed && km.key.selectsBreaches() {
			continue
		}
		ix.under(km.key).add(i, km.globs)
		return
	}
	ix.always = append(ix.always, i)
}

// under is the index of one key.
func (ix *index) under(key *matchKey) *keyIndex {
	for i := range ix.keys {
		if ix.keys[i].key == key {
			return &ix.keys[i]
		}
	}
	ix.keys = append(ix.keys, keyIndex{key: key, exact: map[string][]int{}, prefixes: map[string][]int{}})
	return &ix.keys[len(ix.keys)-1]
}

func (k *keyIndex) add(i int, globs []glob) {
	for _, g := range globs {
		if g.exact {
			k.exact[g.prefix] = append(k.exact[g.prefix], i)
		} else {
			k.prefixes[g.prefix] = append(k.prefixes[g.prefix], i)
		}
	}
}

func (k *keyIndex) sortLengths() {
	set := map[int]bool{}
	for p := range k.prefixes {
		set[len(p)] = true
	}
	for n := range set {
		k.lengths = append(k.lengths, n)
	}
	slices.Sort(k.lengths)
}

// candidates lists the policies that may select the event, in order, each
// once. Whether they do, their matcher says.
func (ix *index) candidates(f *facets, out []int) []int {
	out = append(out, ix.always...)
	for i := range ix.keys {
		k := &ix.keys[i]
		for _, v := range f.values(k.key) {
			out = append(out, k.exact[v]...)
			for _, n := range k.lengths {
				if n > len(v) {
					break
				}
				out = append(out, k.prefixes[v[:n]]...)
			}
		}
	}
	if len(out) > 1 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// facets are the values that one event has for the keys of match, looked up
// at most once each.
type facets struct {
	event *event.Event
	view  *View
	known [16]bool
	vals  [16][]string
}

func (f *facets) values(k *matchKey) []string {
	if f.known[k.slot] {
		return f.vals[k.slot]
	}
	vals := k.values(f.event, f.view, nil)
	if k.fold {
		for i := range vals {
			vals[i] = strings.ToLower(vals[i])
		}
	}
	f.known[k.slot], f.vals[k.slot] = true, vals
	return vals
}

package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// Bounds on what a file may ask for.
const (
	maxSustained  = 100
	maxPerDay     = 250
	maxDuration   = Duration(366 * 24 * time.Hour)
	maxConditions = 16 << 10 // bytes of one condition
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	severities  = []string{"info", "warning", "error", "critical"}
	actionTypes = []ActionType{Retrain, Review, Rollback, Notify}
)

// policy checks one policy.
func (c *checker) policy(path string, p *Policy) {
	if c.name(path+".name", p.Name) {
		c.take(path+".name", "policy", p.Name)
	}
	c.mode(path+".mode", p.Mode)
	c.kinds(path+".on", p.On)
	c.match(path+".match", p.Match)
	c.sustained(path, p)
	if p.When != "" {
		c.condition(path+".when", p.When)
	}
	if len(p.Then) == 0 {
		c.fail(path+".then", "says nothing to do: add a review or a retrain, or remove the policy")
	}
	keys := map[string]bool{}
	for i, s := range p.Then {
		c.step(fmt.Sprintf("%s.then[%d]", path, i), s, keys)
	}
}

func (c *checker) name(path, name string) bool {
	if namePattern.MatchString(name) {
		return true
	}
	if name == "" {
		c.fail(path, "has no name: give it one of letters, digits, dot, dash and underscore")
	} else {
		c.fail(path, "%q is not a name: use letters, digits, dot, dash and underscore, at most 64", clip(name, 64))
	}
	return false
}

func (c *checker) kinds(path string, on []event.Kind) {
	if len(on) == 0 {
		c.fail(path, "names no kind of event, so nothing would happen: write for instance [monitor.breached]")
	}
	known := make([]string, 0, 16)
	for _, k := range event.Kinds() {
		known = append(known, string(k))
	}
	for i, k := range on {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !slices.Contains(known, string(k)):
			c.fail(at, "unknown kind of event %q%s", clip(string(k), 40), suggest(string(k), known))
		case slices.Index(on, k) < i:
			c.fail(at, "%q is listed twice", k)
		}
	}
}

// suggest ends a message about a word that is none of the known ones.
func suggest(word string, known []string) string {
	if near := strictyaml.Nearest(word, known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ": there are " + strings.Join(known, ", ")
}

func (c *checker) match(path string, m Match) {
	for _, k := range matchKeys {
		c.patterns(path+"."+k.name, *k.patterns(&m))
	}
	for _, tag := range slices.Sorted(maps.Keys(m.Tags)) {
		c.patterns(strictyaml.Join(path+".tags", tag), m.Tags[tag])
	}
}

func (c *checker) patterns(path string, ps Patterns) {
	if ps != nil && len(ps) == 0 {
		c.fail(path, "is an empty list, which nothing matches: name something or remove the key")
	}
	for i, p := range ps {
		if err := checkPattern(p); err != nil {
			at := path
			if len(ps) > 1 {
				at = fmt.Sprintf("%s[%d]", path, i)
			}
			c.fail(at, "%s", err)
		}
	}
}

func (c *checker) sustained(path string, p *Policy) {
	s := p.Sustained
	if s == nil {
		return
	}
	path += ".sustained"
	switch {
	case s.Count < 1 || s.Of < 1:
		c.fail(path, "count and of are at least 1: {count: 2, of: 3} means 2 of the latest 3 windows")
	case s.Count > s.Of:
		c.fail(path, "count %d is more than of %d, which never happens: 2 of 3 is {count: 2, of: 3}", s.Count, s.Of)
	case s.Of > maxSustained:
		c.fail(path, "of is %d: at most %d windows are remembered", s.Of, maxSustained)
	}
	for _, k := range p.On {
		if !measures(k) {
			c.fail(path, "counts measured windows, which %s has none of: use it with monitor.breached or drift.detected", k)
		}
	}
}

// measures reports whether events of the kind tell of measured windows.
func measures(k event.Kind) bool { return k == event.MonitorBreached || k == event.DriftDetected }

// condition compiles a condition and places what is wrong in it.
func (c *checker) condition(path, text string) {
	if strings.TrimSpace(text) == "" {
		c.fail(path, "is empty: write a condition, or remove the key for none")
		return
	}
	if len(text) > maxConditions {
		c.fail(path, "has %d bytes: a condition has at most %d", len(text), maxConditions)
		return
	}
	_, problems := compileCondition(text)
	for _, p := range problems {
		c.failIn(path, p.line, p.column, p.message)
	}
}

// step checks one action; keys are those that the policy already has.
func (c *checker) step(path string, s Step, keys map[string]bool) {
	types := s.types()
	if len(types) == 0 {
		c.fail(path, "says nothing to do: write one of retrain, review, rollback, notify")
		return
	}
	if len(types) > 1 {
		c.fail(path, "is %s and %s at once: make two entries of it", types[0], types[1])
		return
	}
	t := types[0]
	path += "." + string(t)
	c.limits(path, s.limits())
	if s.Retrain != nil {
		c.retrain(path, s.Retrain)
	}
	if s.Review != nil {
		c.review(path, s.Review)
	}
	c.reference(path, t, stepTarget(s))
	if key := string(t) + " " + stepTarget(s); keys[key] {
		c.fail(path, "this policy already has a %s to %s: one of them is too many", t, stepTarget(s))
	} else {
		keys[key] = true
	}
}

func (c *checker) retrain(path string, s *RetrainStep) {
	c.duration(path+".timeout", s.Timeout)
	if n := s.SuspendAfter; n != nil && (*n < 0 || *n > maxSuspendAfter) {
		c.fail(path+".suspendAfter", "is %d: write 1 to %d, or 0 for never", *n, maxSuspendAfter)
	}
	if w := s.WhenBusy; w != "" && w != WhenBusyDrop && w != WhenBusyQueue {
		c.fail(path+".whenBusy", "is %q: write drop or queue", clip(string(w), 40))
	}
}

// stepTarget is a step's target with the default of reviews.
func stepTarget(s Step) string {
	if name := s.limits().Target; name != "" || s.Review == nil {
		return name
	}
	return Desk
}

// reference checks that a target exists and can do what is asked of it.
func (c *checker) reference(path string, t ActionType, name string) {
	if name == "" {
		c.fail(path, "has no target: name one of `targets`")
		return
	}
	target, ok := (&File{Targets: c.targets}).Target(name)
	if !ok {
		known := append(slices.Sorted(maps.Keys(c.targets)), Desk)
		c.fail(path+".target", "unknown target %q%s", clip(name, 64), suggest(name, known))
		return
	}
	kind := target.Kind()
	if kind != "" && !kind.Accepts(t) {
		c.fail(path+".target", "target %s is a %s, which can't perform a %s", name, kind, t)
	}
	if w := target.Webhook; w != nil && len(w.Types) > 0 && !slices.Contains(w.Types, t) {
		c.fail(path+".target", "target %s takes only %v: add %s to its types", name, w.Types, t)
	}
}

func (c *checker) limits(path string, l Limits) {
	c.duration(path+".cooldown", l.Cooldown)
	if l.MaxPerDay == nil {
		return
	}
	switch n := *l.MaxPerDay; {
	case n < 1:
		c.fail(path+".maxPerDay", "is %d, so this would never act: give at least 1, or remove the action", n)
	case n > maxPerDay:
		c.fail(path+".maxPerDay", "is %d: at most %d; leave it out for no limit", n, maxPerDay)
	}
}

func (c *checker) duration(path string, d Duration) {
	if d < 0 {
		c.fail(path, "is negative: write a duration such as 90s, 30m, 6h or 2d")
	}
	if d > maxDuration {
		c.fail(path, "is longer than a year")
	}
}

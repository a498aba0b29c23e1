package policy

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Reviews say how the inbox treats what comes and goes.
type Reviews struct {
	// ReopenWithin: a cause that comes back so soon after it passed by itself
	// reopens its review; later, it opens another. Defaults to 6h.
	ReopenWithin Duration `yaml:"reopenWithin,omitempty" json:"reopenWithin,omitempty"`
	// HoldDown: so long a cause that came back before has to stay away until
	// its review resolves by itself. Defaults to 1h.
	HoldDown Duration `yaml:"holdDown,omitempty" json:"holdDown,omitempty"`
	// UpdateEvery: so often at most a ticket is brought up to date for nothing
	// but more signals of the same. Defaults to 5m.
	UpdateEvery Duration `yaml:"updateEvery,omitempty" json:"updateEvery,omitempty"`
}

// Defaults of Reviews.
const (
	defaultReopenWithin = Duration(6 * time.Hour)
	defaultHoldDown     = Duration(time.Hour)
	defaultUpdateEvery  = Duration(5 * time.Minute)
)

func (r *Reviews) withDefaults() Reviews {
	var out Reviews
	if r != nil {
		out = *r
	}
	for field, value := range map[*Duration]Duration{&out.ReopenWithin: defaultReopenWithin, &out.HoldDown: defaultHoldDown, &out.UpdateEvery: defaultUpdateEvery} {
		if *field == 0 {
			*field = value
		}
	}
	return out
}

// ReviewSettings are the settings of the inbox, with defaults filled in.
func (f *File) ReviewSettings() Reviews { return f.Reviews.withDefaults() }

// Maintenance is a time in which reviews are kept and nobody is called, planned
// in the configuration. Silences do the same on the spot.
type Maintenance struct {
	Name string `yaml:"name" json:"name"`
	// From and To are days, both included, or moments.
	From Moment `yaml:"from" json:"from"`
	To   Moment `yaml:"to" json:"to"`
	// Timezone is for days and moments that name none. Defaults to UTC.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	// Repeat is daily or weekly: From and To are then the first of many.
	// Defaults to once.
	Repeat string `yaml:"repeat,omitempty" json:"repeat,omitempty"`
	// Match selects reviews. Defaults to all.
	Match  ReviewMatch `yaml:"match,omitempty" json:"match,omitzero"`
	Reason string      `yaml:"reason,omitempty" json:"reason,omitempty"`
}

// ReviewMatch selects reviews by globs, as Match selects events: every key
// that is given must match one of the review's values.
type ReviewMatch struct {
	Workspace Patterns `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	// Model is the name of the model, without version.
	Model Patterns `yaml:"model,omitempty" json:"model,omitempty"`
	// Asset is an asset's id.
	Asset    Patterns `yaml:"asset,omitempty" json:"asset,omitempty"`
	Policy   Patterns `yaml:"policy,omitempty" json:"policy,omitempty"`
	Severity Patterns `yaml:"severity,omitempty" json:"severity,omitempty"`
	Cause    Patterns `yaml:"cause,omitempty" json:"cause,omitempty"`
}

// Bounds of an escalation chain; the review's own are the same.
const (
	maxChain      = 10
	maxRepeat     = 20
	maxReason     = 500
	repeatsDaily  = "daily"
	repeatsWeekly = "weekly"
)

// Holds says whether the window holds at a time, and from when until when.
func (m Maintenance) Holds(now time.Time) (from, until time.Time, ok bool) {
	from, until, err := Freeze{From: m.From, To: m.To, Timezone: m.Timezone}.span()
	if err != nil {
		return from, until, false
	}
	if zone, err := time.LoadLocation(m.Timezone); err == nil {
		// A moment names an offset, and an offset does not change in spring.
		from, until = from.In(zone), until.In(zone)
	}
	days := map[string]int{repeatsDaily: 1, repeatsWeekly: 7}[m.Repeat]
	if days > 0 && !now.Before(until) {
		// By the calendar, so that a window keeps its hour when clocks change.
		n := int(now.Sub(from)/(24*time.Hour)) / days * days
		for _, step := range []int{n - days, n, n + days} {
			f, u := from.AddDate(0, 0, max(step, 0)), until.AddDate(0, 0, max(step, 0))
			if !now.Before(f) && now.Before(u) {
				return f, u, true
			}
		}
	}
	return from, until, !now.Before(from) && now.Before(until)
}

func (c *checker) reviews(path string, r Reviews) {
	c.duration(path+".reopenWithin", r.ReopenWithin)
	c.duration(path+".holdDown", r.HoldDown)
	c.duration(path+".updateEvery", r.UpdateEvery)
}

// review checks what only a review step has.
func (c *checker) review(path string, s *ReviewStep) {
	c.duration(path+".ackWithin", s.AckWithin)
	if v := s.Severity; v != "" && !slices.Contains(severities, v) {
		c.fail(path+".severity", "unknown severity %q%s", clip(v, 40), suggest(v, severities))
	}
	for v, ratio := range s.SeverityAt {
		if !slices.Contains(severities[1:], v) {
			c.fail(path+".severityAt", "unknown severity %q%s", clip(v, 40), suggest(v, severities[1:]))
		} else if ratio < 0 {
			c.fail(path+".severityAt."+v, "is negative: 0.5 is half as much again as the threshold, 1 is twice the threshold")
		}
	}
	if u, err := url.Parse(s.Runbook); s.Runbook != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		c.fail(path+".runbook", "is not an http or https address")
	}
	c.chain(path, s)
}

func (c *checker) chain(path string, s *ReviewStep) {
	if len(s.Escalate) > maxChain {
		c.fail(path+".escalate", "has %d steps: at most %d", len(s.Escalate), maxChain)
	}
	if s.Repeat < 0 || s.Repeat > maxRepeat {
		c.fail(path+".repeat", "is %d: give 0 to %d", s.Repeat, maxRepeat)
	}
	if (len(s.Escalate) > 0 || s.Repeat > 0) && s.AckWithin <= 0 {
		c.fail(path, "escalates without a deadline: give ackWithin")
	}
	for i, e := range s.Escalate {
		at := fmt.Sprintf("%s.escalate[%d]", path, i)
		c.duration(at+".ackWithin", e.AckWithin)
		c.reference(at, Review, e.Target)
	}
}

func (c *checker) maintenance(path string, m Maintenance) {
	if c.name(path+".name", m.Name) {
		c.take(path+".name", "maintenance", m.Name)
	}
	if m.Repeat != "" && m.Repeat != repeatsDaily && m.Repeat != repeatsWeekly {
		c.fail(path+".repeat", "is %q: write daily or weekly, or leave it out for once", clip(m.Repeat, 40))
	}
	if len(m.Reason) > maxReason {
		c.fail(path+".reason", "has %d bytes: at most %d", len(m.Reason), maxReason)
	}
	for _, k := range m.Match.keys() {
		c.patterns(path+".match."+k.name, k.patterns)
	}
	if m.From.IsZero() || m.To.IsZero() {
		c.fail(path, "needs from and to: days such as 2026-12-20, both included, or moments such as 2026-12-20T18:00:00Z")
		return
	}
	from, to, err := Freeze{From: m.From, To: m.To, Timezone: m.Timezone}.span()
	switch {
	case err != nil:
		c.fail(path+".timezone", "%s", err)
	case !from.Before(to):
		c.fail(path+".to", "is before from, so nothing would be held")
	case m.Repeat == repeatsDaily && to.Sub(from) > 24*time.Hour, m.Repeat == repeatsWeekly && to.Sub(from) > 7*24*time.Hour:
		c.fail(path+".to", "is so long after from that each %s repetition would run into the next", m.Repeat)
	}
}

// reviewMatchKey is one key of a ReviewMatch.
type reviewMatchKey struct {
	name     string
	patterns Patterns
}

func (m ReviewMatch) keys() []reviewMatchKey {
	return []reviewMatchKey{
		{"workspace", m.Workspace}, {"model", m.Model}, {"asset", m.Asset},
		{"policy", m.Policy}, {"severity", m.Severity}, {"cause", m.Cause},
	}
}

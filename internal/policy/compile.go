package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// CompileOptions adjusts Compile. The zero value is what a service uses.
type CompileOptions struct {
	// Observe puts every policy in observe mode, whatever the file says:
	// for a backtest, or a first day in production.
	Observe bool
}

// Set is a policy file made ready to decide. It never changes, so any number
// of goroutines may use it at once.
type Set struct {
	file    *File
	hash    string
	rules   []*rule
	byName  map[string]*rule
	index   map[event.Kind]*index
	freezes []freeze
	budgets []budget
	storm   Storm
	// retrainOnBadData lets a breach of data quality start retrains.
	retrainOnBadData bool
}

// rule is one compiled policy.
type rule struct {
	policy  Policy
	hash    string
	observe bool
	matcher matcher
	when    *condition // nil is always true
	steps   []step
}

// step is one compiled entry of `then`.
type step struct {
	Type      ActionType
	Target    string
	Cooldown  time.Duration
	MaxPerDay int // 0 is no limit
	Severity  string
	AckWithin Duration
	Timeout   time.Duration
	// SeverityAt, Escalate, Repeat and Runbook are of reviews.
	SeverityAt map[string]float64 `json:",omitempty"`
	Escalate   []EscalationStep   `json:",omitempty"`
	Repeat     int                `json:",omitempty"`
	Runbook    string             `json:",omitempty"`
	// SuspendAfter and Queue are of retrains.
	SuspendAfter int
	Queue        bool
}

// freeze is a Freeze with its instants.
type freeze struct {
	Freeze
	from, to time.Time
	matcher  matcher
}

// budget is a Budget with its patterns.
type budget struct {
	Budget
	workspace, model []glob
}

// defaultTimeout is when a retrain that nobody heard of again no longer
// counts as running.
const defaultTimeout = 24 * time.Hour

// Compile makes a file ready to decide. A file that Parse or Merge returned
// compiles; for one made by hand the error is a Problems without places.
func Compile(f *File, opts CompileOptions) (*Set, error) {
	checked, err := Merge(Part{File: f})
	if err != nil {
		return nil, err
	}
	s := &Set{file: checked, byName: map[string]*rule{}, index: map[event.Kind]*index{}}
	for _, p := range checked.Policies {
		r, err := newRule(p, opts.Observe || checked.Mode == ModeObserve)
		if err != nil {
			return nil, err
		}
		s.rules = append(s.rules, r)
		s.byName[p.Name] = r
	}
	for _, fr := range checked.Freezes {
		from, to, err := fr.span()
		if err != nil {
			return nil, err
		}
		s.freezes = append(s.freezes, freeze{Freeze: fr, from: from, to: to, matcher: newMatcher(fr.Match)})
	}
	for _, b := range checked.Budgets {
		b.Name = budgetName(b)
		s.budgets = append(s.budgets, budget{Budget: b, workspace: newGlobs(b.Match.Workspace, true), model: newGlobs(b.Match.Model, false)})
	}
	s.storm = checked.Storm.withDefaults()
	s.retrainOnBadData = checked.RetrainOnDataQuality != nil && *checked.RetrainOnDataQuality
	s.buildIndex()
	s.hash = s.digest()
	return s, nil
}

func newRule(p Policy, observe bool) (*rule, error) {
	r := &rule{policy: p, observe: observe || p.Mode == ModeObserve, matcher: newMatcher(p.Match)}
	if p.When != "" {
		c, problems := compileCondition(p.When)
		if len(problems) > 0 {
			return nil, fmt.Errorf("policy %s: when: %s", p.Name, problems[0].message)
		}
		r.when = c
	}
	for _, s := range p.Then {
		r.steps = append(r.steps, newStep(s))
	}
	r.hash = policyHash(p, r)
	return r, nil
}

func newStep(s Step) step {
	l := s.limits()
	out := step{Type: s.Type(), Target: stepTarget(s), Cooldown: time.Duration(l.Cooldown)}
	if l.MaxPerDay != nil {
		out.MaxPerDay = *l.MaxPerDay
	}
	if s.Retrain != nil {
		out.Timeout = defaultTimeout
		if s.Retrain.Timeout > 0 {
			out.Timeout = time.Duration(s.Retrain.Timeout)
		}
		out.SuspendAfter, out.Queue = defaultSuspendAfter, s.Retrain.WhenBusy == WhenBusyQueue
		if s.Retrain.SuspendAfter != nil {
			out.SuspendAfter = *s.Retrain.SuspendAfter
		}
	}
	if s.Review != nil {
		out.Severity, out.AckWithin = "warning", s.Review.AckWithin
		if s.Review.Severity != "" {
			out.Severity = s.Review.Severity
		}
		out.SeverityAt, out.Escalate, out.Repeat, out.Runbook = s.Review.SeverityAt, s.Review.Escalate, s.Review.Repeat, s.Review.Runbook
	}
	return out
}

// policyHash digests what a policy means: with defaults filled in, lists of
// alternatives sorted, the condition in its normal layout. Neither layout nor
// comments of the file count.
func policyHash(p Policy, r *rule) string {
	normal := struct {
		Name      string
		Mode      Mode
		On        []event.Kind
		Match     Match
		When      string
		Sustained *Sustained
		Then      []step
	}{Name: p.Name, Mode: p.Mode, On: slices.Sorted(slices.Values(p.On)), Match: sortedMatch(p.Match), Sustained: p.Sustained, Then: r.steps}
	if normal.Mode == "" {
		normal.Mode = ModeEnforce
	}
	if r.when != nil {
		normal.When = r.when.text
	}
	if s := normal.Sustained; s != nil && s.Count == 1 {
		normal.Sustained = nil
	}
	return digestJSON("policy", normal)
}

// sortedMatch is a match with its alternatives in one order.
func sortedMatch(m Match) Match {
	for _, k := range matchKeys {
		ps := k.patterns(&m)
		*ps = sortedPatterns(*ps)
	}
	if m.Tags != nil {
		tags := make(map[string]Patterns, len(m.Tags))
		for tag, ps := range m.Tags {
			tags[tag] = sortedPatterns(ps)
		}
		m.Tags = tags
	}
	return m
}

func sortedPatterns(ps Patterns) Patterns {
	out := slices.Clone(ps)
	slices.Sort(out)
	return slices.Compact(out)
}

// digest is the hash of everything that the set decides by.
func (s *Set) digest() string {
	hashes := make([]string, len(s.rules))
	for i, r := range s.rules {
		hashes[i] = r.hash
	}
	f := s.file
	return digestJSON("set", struct {
		Mode        Mode
		Rules       []string
		Targets     map[string]Target
		Freezes     []Freeze
		Budgets     []Budget
		Storm       Storm
		BadData     bool
		Reviews     Reviews
		Maintenance []Maintenance
	}{f.Mode, hashes, f.Targets, f.Freezes, f.Budgets, s.storm, s.retrainOnBadData, f.ReviewSettings(), f.Maintenance})
}

// digestJSON hashes a value's JSON; map keys are sorted in it. What a file
// can hold always has one.
func digestJSON(what string, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		b = fmt.Appendf(nil, "%+v", v)
	}
	return event.Digest(what, string(b))
}

// Hash is a digest of everything that the set decides by. Files that differ
// in layout and comments alone have the same.
func (s *Set) Hash() string { return s.hash }

// File is what the set was compiled from, with defaults filled in. It must
// not be changed.
func (s *Set) File() *File { return s.file }

// PolicyInfo is one policy of a set.
type PolicyInfo struct {
	Policy
	// Hash is what decisions carry as PolicyHash.
	Hash string `json:"hash"`
	// Effective is the mode that holds, the file's considered.
	Effective Mode `json:"effectiveMode"`
	// Condition is `when` in its normal layout.
	Condition string `json:"condition,omitempty"`
}

// Policies lists the policies in the order of the files.
func (s *Set) Policies() []PolicyInfo {
	out := make([]PolicyInfo, len(s.rules))
	for i, r := range s.rules {
		out[i] = PolicyInfo{Policy: r.policy, Hash: r.hash, Effective: r.mode()}
		if r.when != nil {
			out[i].Condition = r.when.text
		}
	}
	return out
}

func (r *rule) mode() Mode {
	if r.observe {
		return ModeObserve
	}
	return ModeEnforce
}

// Queues reports whether a policy's retrain to a target waits while another of
// the model is under way.
func (s *Set) Queues(policy, target string) bool {
	r := s.byName[policy]
	return r != nil && slices.ContainsFunc(r.steps, func(st step) bool { return st.Type == Retrain && st.Target == target && st.Queue })
}

// budgetName is a budget's name, or one made from what it matches, which
// stays the same while that does.
func budgetName(b Budget) string {
	if b.Name != "" {
		return b.Name
	}
	return "budget-" + digestJSON("budget", BudgetMatch{Workspace: sortedPatterns(b.Match.Workspace), Model: sortedPatterns(b.Match.Model)})[:12]
}

// BudgetsFor lists the budgets that an action of the type counts against,
// with their names filled in; PerDay tells each one's limit. workspace is the
// alias and model the name without version, "" when no model is concerned: a
// budget for certain models then does not count it.
func (s *Set) BudgetsFor(workspace, model string, t ActionType) []Budget {
	var out []Budget
	for _, b := range s.budgets {
		if _, limited := b.PerDay(t); !limited {
			continue
		}
		if len(b.workspace) > 0 && !anyGlob(b.workspace, strings.ToLower(workspace)) {
			continue
		}
		if len(b.model) > 0 && (model == "" || !anyGlob(b.model, model)) {
			continue
		}
		out = append(out, b.Budget)
	}
	return out
}

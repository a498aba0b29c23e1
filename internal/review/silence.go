package review

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Match selects reviews by globs (* any text, ? one character, \ before one of
// the three takes it as it is, see QuoteGlob): every list that is not empty
// must match one of the review's values. The zero Match matches every review.
type Match struct {
	Workspace []string `json:"workspace,omitempty"`
	// Model is a model's name without version, or an asset id.
	Model    []string `json:"model,omitempty"`
	Asset    []string `json:"asset,omitempty"`
	Policy   []string `json:"policy,omitempty"`
	Severity []string `json:"severity,omitempty"`
	Cause    []string `json:"cause,omitempty"`
}

// Silence keeps the reviews that it matches from calling anybody: they are
// kept and shown, their deadlines wait, and when it ends those that are still
// open call.
type Silence struct {
	ID    string    `json:"id"`
	Match Match     `json:"match"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// By is its author, Why the reason; both required.
	By      string    `json:"by"`
	Why     string    `json:"why"`
	Created time.Time `json:"created"`
	// Ended and EndedBy are set when somebody ended it before its time.
	Ended   time.Time `json:"ended,omitzero"`
	EndedBy string    `json:"endedBy,omitempty"`
}

// States of a silence.
const (
	SilencePending = "pending"
	SilenceActive  = "active"
	SilenceExpired = "expired"
)

// State is where the silence stands at a time.
func (s *Silence) State(now time.Time) string {
	switch {
	case !s.Ended.IsZero() && !now.Before(s.Ended), !now.Before(s.Until):
		return SilenceExpired
	case now.Before(s.From):
		return SilencePending
	}
	return SilenceActive
}

// check refuses a silence that makes no sense.
func (s *Silence) check(now time.Time) error {
	switch {
	case strings.TrimSpace(s.By) == "":
		return &CommandError{"by", "say who does this"}
	case len(s.By) > maxName:
		return &CommandError{"by", fmt.Sprintf("%d bytes: at most %d", len(s.By), maxName)}
	case strings.TrimSpace(s.Why) == "":
		return &CommandError{"why", "a silence needs a reason: whoever finds it asks for one"}
	case len(s.Why) > maxText:
		return &CommandError{"why", fmt.Sprintf("%d bytes: at most %d", len(s.Why), maxText)}
	case !s.Until.After(now) || !s.Until.After(s.From):
		return &CommandError{"until", "a silence needs an end that is later than its beginning and than now"}
	case s.Until.Sub(s.From) > MaxSilence:
		return &CommandError{"until", "a silence lasts at most 90 days: what is never to call needs a change of its policy"}
	}
	return s.Match.check()
}

// MaxSilence is the longest that a silence may last.
const MaxSilence = 90 * 24 * time.Hour

// maxPatterns and maxPattern bound each list of a Match.
const (
	maxPatterns = 20
	maxPattern  = 300
)

func (m *Match) check() error {
	for name, patterns := range map[string][]string{
		"workspace": m.Workspace, "model": m.Model, "asset": m.Asset, "policy": m.Policy, "severity": m.Severity, "cause": m.Cause,
	} {
		if len(patterns) > maxPatterns {
			return &CommandError{"match." + name, fmt.Sprintf("%d patterns: at most %d", len(patterns), maxPatterns)}
		}
		limit := maxPattern
		if name == "cause" {
			limit = 2 * maxText // any cause fits, escaped
		}
		for _, p := range patterns {
			if p == "" || len(p) > limit {
				return &CommandError{"match." + name, fmt.Sprintf("a pattern has 1 to %d bytes", limit)}
			}
		}
	}
	return nil
}

// Matches reports whether the match selects the review.
func (m *Match) Matches(r *Review) bool {
	model := lineage.ID(r.Model)
	return anyMatches(m.Workspace, r.Workspace) &&
		anyMatches(m.Model, model.Name(), r.Model) &&
		anyMatches(m.Asset, append([]string{r.Model}, r.Assets...)...) &&
		anyMatches(m.Policy, r.Policies...) &&
		anyMatches(m.Severity, string(r.Severity)) &&
		anyMatches(m.Cause, r.Cause)
}

func anyMatches(patterns []string, values ...string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		for _, v := range values {
			if globMatch(p, v) {
				return true
			}
		}
	}
	return false
}

// unspecial rewrites a glob for path.Match, to which slashes, brackets and
// backslashes mean more than they do here.
var unspecial = strings.NewReplacer("/", "\x00", `\*`, `\*`, `\?`, `\?`, `\\`, `\\`, `\`, `\\`, "[", `\[`)

// globMatch matches a whole text, slashes being characters like any other.
func globMatch(pattern, text string) bool {
	ok, err := path.Match(unspecial.Replace(pattern), strings.ReplaceAll(text, "/", "\x00"))
	return err == nil && ok
}

// QuoteGlob makes the glob of a Match that matches this text and no other.
func QuoteGlob(text string) string { return globQuoter.Replace(text) }

var globQuoter = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`)

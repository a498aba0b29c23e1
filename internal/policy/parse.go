package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// Parse reads one policy file. The error is a Problems with everything that
// is wrong, each with its place. An empty text is a file without policies.
func Parse(name string, text []byte) (*File, error) {
	doc, err := strictyaml.Parse(name, text)
	if err != nil {
		return nil, err
	}
	f := &File{}
	problems := doc.Decode(f)
	merged, err := Merge(Part{File: f, Doc: doc})
	return merged, join(problems, err).Err()
}

// Part is one policy file, or the policy part of a larger one, decoded but
// not yet checked. Doc is what File was decoded from and finds places for
// problems; it may be nil.
type Part struct {
	File *File
	Doc  *strictyaml.Document
}

// Merge checks the parts together and makes one file of them: a policy in
// one may name a target of another. The error is a Problems.
func Merge(parts ...Part) (*File, error) {
	c := checker{targets: map[string]Target{}, seen: map[string]string{}}
	out := &File{APIVersion: APIVersion, Mode: ModeEnforce}
	for _, p := range parts {
		maps.Copy(c.targets, p.File.Targets)
	}
	for _, p := range parts {
		before := len(c.problems)
		c.check(p)
		inOrder(c.problems[before:])
		out.add(p.File)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return out, nil
}

// add takes over what another part says. A part in observe mode puts the
// whole in observe mode: of two wishes the careful one holds.
func (f *File) add(p *File) {
	if p.Mode == ModeObserve {
		f.Mode = ModeObserve
	}
	f.Policies = append(f.Policies, p.Policies...)
	f.Freezes = append(f.Freezes, p.Freezes...)
	f.Budgets = append(f.Budgets, p.Budgets...)
	f.Maintenance = append(f.Maintenance, p.Maintenance...)
	f.Reviews = cmp.Or(f.Reviews, p.Reviews)
	f.Storm, f.RetrainOnDataQuality = cmp.Or(f.Storm, p.Storm), cmp.Or(f.RetrainOnDataQuality, p.RetrainOnDataQuality)
	if len(p.Targets) > 0 && f.Targets == nil {
		f.Targets = map[string]Target{}
	}
	maps.Copy(f.Targets, p.Targets)
}

// join puts problems of two passes over one document in the document's order.
// What the second pass says of a value that could not be read whole is left
// out: it follows from what the first one said.
func join(first Problems, err error) Problems {
	second, _ := err.(Problems)
	out := slices.Clone(first)
	for _, p := range second {
		if !slices.ContainsFunc(first, func(q Problem) bool { return within(q.Path, p.Path) || within(p.Path, q.Path) }) {
			out = append(out, p)
		}
	}
	inOrder(out)
	return out
}

// within reports whether a path is the other or leads into it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && outer != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func inOrder(ps Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Path, b.Path))
	})
}

// checker collects what is wrong with the meaning of policy files.
type checker struct {
	part     Part
	targets  map[string]Target
	seen     map[string]string // names taken, "policy churn-drift" → where
	problems Problems
}

func (c *checker) fail(path, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if c.part.Doc == nil {
		c.problems = append(c.problems, Problem{Path: path, Message: message})
		return
	}
	c.problems = append(c.problems, c.part.Doc.Problem(path, message))
}

// failIn places a problem inside a text value.
func (c *checker) failIn(path string, line, column int, message string) {
	if c.part.Doc == nil {
		c.problems = append(c.problems, Problem{Path: path, Message: message})
		return
	}
	c.problems = append(c.problems, c.part.Doc.ProblemIn(path, line, column, message))
}

// take claims a name for a kind of thing.
func (c *checker) take(path, kind, name string) {
	where := path
	if c.part.Doc != nil {
		where = c.part.Doc.Name() + ": " + path
	}
	if first, taken := c.seen[kind+" "+name]; taken {
		c.fail(path, "%s %q exists already (%s): names are unique", kind, clip(name, 64), first)
		return
	}
	c.seen[kind+" "+name] = where
}

// check looks at one part.
func (c *checker) check(p Part) {
	c.part = p
	if v := p.File.APIVersion; v != "" && v != APIVersion {
		c.fail("apiVersion", "is %q: this program reads %s", clip(v, 40), APIVersion)
	}
	c.mode("mode", p.File.Mode)
	for i := range p.File.Policies {
		c.policy(fmt.Sprintf("policies[%d]", i), &p.File.Policies[i])
	}
	for _, name := range slices.Sorted(maps.Keys(p.File.Targets)) {
		c.target(strictyaml.Join("targets", name), name, p.File.Targets[name])
	}
	for i, f := range p.File.Freezes {
		c.freeze(fmt.Sprintf("freezes[%d]", i), f)
	}
	for i, b := range p.File.Budgets {
		c.budget(fmt.Sprintf("budgets[%d]", i), b)
	}
	if p.File.Storm != nil {
		c.take("storm", "setting", "storm")
		c.storm("storm", *p.File.Storm)
	}
	if p.File.Reviews != nil {
		c.take("reviews", "setting", "reviews")
		c.reviews("reviews", *p.File.Reviews)
	}
	for i, m := range p.File.Maintenance {
		c.maintenance(fmt.Sprintf("maintenance[%d]", i), m)
	}
	if p.File.RetrainOnDataQuality != nil {
		c.take("retrainOnDataQuality", "setting", "retrainOnDataQuality")
	}
}

func (c *checker) mode(path string, m Mode) {
	if m != "" && m != ModeEnforce && m != ModeObserve {
		c.fail(path, "is %q: write enforce or observe", clip(string(m), 40))
	}
}

// clip bounds a text that came from outside before it is repeated.
func clip(s string, n int) string {
	if len(s) <= n && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	clean := make([]rune, 0, n)
	for _, r := range s {
		if len(clean) == n {
			return string(clean) + "…"
		}
		if unicode.IsControl(r) {
			r = ' '
		}
		clean = append(clean, r)
	}
	return string(clean)
}

package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Bounds on one condition. The cost is CEL's own measure: about one for each
// value read and operation made, more for what walks over text and lists.
const (
	maxCost      = 100_000
	maxNodesCEL  = 2000
	maxDepthCEL  = 64
	maxLoopsCEL  = 2
	maxRegexSize = 500
)

// condition is a compiled `when`.
type condition struct {
	// text is the expression in one normal layout, without comments.
	text    string
	program cel.Program
	reads   []read
	breach  bool   // whether it reads the breach
	cost    uint64 // what one evaluation takes at most
}

// exprProblem is what is wrong in an expression, line and column from 1.
type exprProblem struct {
	line, column int
	message      string
}

var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := provider{registry}
	opts := []cel.EnvOption{
		cel.CustomTypeProvider(p), cel.CustomTypeAdapter(p),
		ext.Strings(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableMacroCallTracking(),
		cel.ParserRecursionLimit(maxDepthCEL),
		cel.ParserExpressionSizeLimit(maxConditions),
		cel.ExpressionNodeLimit(maxNodesCEL),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateComprehensionNestingLimit(maxLoopsCEL), cel.ValidateRegexProgramSizeLimit(maxRegexSize)),
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		opts = append(opts, cel.Variable(name, variables[name]))
	}
	return cel.NewEnv(opts...)
})

// compileCondition parses, type-checks and plans an expression.
func compileCondition(text string) (*condition, []exprProblem) {
	env, err := conditionEnv()
	if err != nil {
		return nil, []exprProblem{{1, 1, "the expression language did not start: " + err.Error()}}
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, problemsOf(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(types.BoolType) {
		return nil, []exprProblem{{1, 1, fmt.Sprintf("is a %s: a condition has to be true or false, such as breach.value > 0.25", t)}}
	}
	return plan(env, checked, text)
}

// plan makes a checked expression ready to run. Only an expression whose cost
// depends on what the event holds is measured while it runs.
func plan(env *cel.Env, checked *cel.Ast, text string) (*condition, []exprProblem) {
	likely, err := env.EstimateCost(checked, sizes{bounded: true})
	if err != nil {
		return nil, []exprProblem{{1, 1, "its cost can't be told: " + err.Error()}}
	}
	if likely.Max > maxCost {
		return nil, []exprProblem{{1, 1, fmt.Sprintf("may cost %d steps on one event, at most %d are allowed: loop over less", likely.Max, maxCost)}}
	}
	var opts []cel.ProgramOption
	worst, err := env.EstimateCost(checked, sizes{})
	if err != nil || worst.Max > maxCost {
		worst.Max = maxCost
		opts = append(opts, cel.CostLimit(maxCost))
	}
	opts = append(opts, cel.EvalOptions(cel.OptOptimize))
	program, err := env.Program(checked, opts...)
	if err != nil {
		return nil, []exprProblem{{1, 1, err.Error()}}
	}
	c := &condition{text: text, program: program, cost: worst.Max, reads: readsOf(checked.NativeRep().Expr())}
	if normal, err := cel.AstToString(checked); err == nil {
		c.text = normal
	}
	c.breach = slices.ContainsFunc(c.reads, func(r read) bool { return r.root == "breach" })
	return c, nil
}

// sizes tells the cost estimator how large values are: bounded, as they come
// from Azure (50 tags of 1,000 characters), or without an upper bound.
type sizes struct{ bounded bool }

// EstimateSize implements cost.Estimator.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if !s.bounded || len(n.Path()) == 0 {
		return nil
	}
	switch n.Type().Kind() {
	case types.MapKind, types.ListKind:
		return &cost.SizeEstimate{Min: 0, Max: 100}
	case types.StringKind, types.DynKind:
		return &cost.SizeEstimate{Min: 0, Max: 1024}
	}
	return nil
}

// EstimateCallCost implements cost.Estimator.
func (s sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// eval runs the condition. The error is one of absentError, notKnownError or
// CEL's own; explainError makes a sentence of it.
func (c *condition) eval(s *scope) (bool, error) {
	out, _, err := c.program.Eval(s)
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the condition came out as a %s", out.Type().TypeName())
	}
	return b, nil
}

var noSuchKey = regexp.MustCompile(`no such key: (\S+)`)

// explainError says what went wrong when a condition ran; absent is true when
// a whole variable was not there, which makes the condition false.
func (c *condition) explainError(err error) (detail string, absent bool) {
	var gone absentError
	var unknown notKnownError
	switch {
	case errors.As(err, &gone):
		return gone.Error() + ", so the condition does not hold", true
	case errors.As(err, &unknown):
		return fmt.Sprintf("%s in this event; guard it with has(%s)", unknown.Error(), string(unknown)), false
	}
	if m := noSuchKey.FindStringSubmatch(err.Error()); m != nil {
		path := c.pathEndingIn(m[1])
		return fmt.Sprintf("%s is not there; guard it with has(%s)", path, path), false
	}
	if strings.Contains(err.Error(), "cost limit exceeded") {
		return fmt.Sprintf("the condition took more than %d steps on this event and was stopped", maxCost), false
	}
	return "the condition failed: " + clip(err.Error(), 200), false
}

// pathEndingIn is the path by which the condition reads a key.
func (c *condition) pathEndingIn(key string) string {
	for _, r := range c.reads {
		if len(r.path) > 0 && r.path[len(r.path)-1] == key {
			return r.String()
		}
	}
	return clip(key, 64)
}

// problemsOf rewrites CEL's errors for people who write policies.
func problemsOf(issues *cel.Issues) []exprProblem {
	var out []exprProblem
	for _, e := range issues.Errors() {
		message, _, _ := strings.Cut(e.Message, "\n")
		out = append(out, exprProblem{line: max(e.Location.Line(), 1), column: e.Location.Column() + 1, message: hint(message)})
	}
	return out
}

var (
	undefinedField = regexp.MustCompile(`^undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '([^']*)'`)
)

// syntaxHints put the parser's complaints into words; the first that matches
// holds. $1 is what it stumbled over.
var syntaxHints = []struct {
	complaint *regexp.Regexp
	words     string
}{
	{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous|no viable alternative at) input '<EOF>'`), "ends too early: something is missing after this"},
	{regexp.MustCompile(`^Syntax error: token recognition error at: '=`), "one = is not a comparison: write =="},
	{regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`), "$1 is not understood here"},
	{regexp.MustCompile(`^Syntax error: .*input '(?i:and)'`), "write && for and"},
	{regexp.MustCompile(`^Syntax error: .*input '(?i:or)'`), "write || for or"},
	{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous|no viable alternative at) input '(.*?)'`), "$1 does not fit here"},
	{regexp.MustCompile(`^.*exceeds nesting limit$`), fmt.Sprintf("loops (all, exists, map, filter) are nested more than %d deep", maxLoopsCEL)},
}

func hint(message string) string {
	for _, h := range syntaxHints {
		if m := h.complaint.FindStringSubmatchIndex(message); m != nil {
			return clip(string(h.complaint.ExpandString(nil, h.words, message, m)), 200)
		}
	}
	if m := undefinedField.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("there is no field %q%s", m[1], suggest(m[1], allFields()))
	}
	if m := undeclared.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown name %q%s", clip(m[1], 64), suggest(m[1], slices.Sorted(maps.Keys(variables))))
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		out := fmt.Sprintf("%s does not go with %s", strings.Trim(m[1], "_"), m[2])
		if strings.Contains(m[2], "double") && strings.Contains(m[2], "int") {
			out += ": write numbers beside metrics and values with a decimal point, 1.0 instead of 1"
		}
		return out
	}
	return clip(strings.TrimPrefix(message, "Syntax error: "), 300)
}

// allFields are the fields of every object: CEL does not say which object
// lacked one.
func allFields() []string {
	set := map[string]bool{}
	for _, o := range objects {
		for f := range o.fields {
			set[f] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

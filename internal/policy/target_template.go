package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Template is an input of a target: text with CEL expressions in it,
// `azureml:churn:{{ data.churn }}`. The expressions are of the language that
// conditions are written in, with the action's own names (TemplateNames).
// Something else than text, a number or a truth value, and text that comes out
// empty, is an error: a training that runs on a blank is worse than none.
type Template struct {
	parts []templatePart
}

// templatePart is literal text, or an expression when program is set.
type templatePart struct {
	text    string
	program cel.Program
}

// templateNames are what an expression can name, all of one action.
var templateNames = map[string]*types.Type{
	"model": types.StringType, "version": types.StringType, "workspace": types.StringType,
	"monitor": types.StringType, "signal": types.StringType, "window": types.StringType,
	"run": types.StringType, "event": types.StringType, "action": types.StringType,
	"key": types.StringType, "policy": types.StringType, "asset": types.StringType,
	"title": types.StringType, "reason": types.StringType,
	"breaches": types.NewListType(types.NewMapType(types.StringType, types.DynType)),
	"metrics":  types.NewMapType(types.StringType, types.DynType),
	"alert":    types.NewMapType(types.StringType, types.DynType),
	"baseline": stringsType,
	"data":     stringsType,
}

// TemplateNames are the names that an expression can use.
func TemplateNames() []string { return slices.Sorted(maps.Keys(templateNames)) }

var templateEnv = sync.OnceValues(func() (*cel.Env, error) {
	opts := []cel.EnvOption{
		ext.Strings(),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxDepthCEL),
		cel.ParserExpressionSizeLimit(maxConditions),
		cel.ExpressionNodeLimit(maxNodesCEL),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(maxLoopsCEL), cel.ValidateRegexProgramSizeLimit(maxRegexSize)),
	}
	for _, name := range TemplateNames() {
		opts = append(opts, cel.Variable(name, templateNames[name]))
	}
	return cel.NewEnv(opts...)
})

// CompileTemplate reads a text. An expression ends at the first `}}`.
func CompileTemplate(text string) (*Template, error) {
	t := &Template{}
	for {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			t.parts = append(t.parts, templatePart{text: before})
		}
		if !found {
			return t, nil
		}
		expression, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, errors.New("has {{ without }} after it")
		}
		program, err := compileExpression(strings.TrimSpace(expression))
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, templatePart{text: strings.TrimSpace(expression), program: program})
		text = after
	}
}

func compileExpression(text string) (cel.Program, error) {
	if text == "" {
		return nil, errors.New("has {{ }} with nothing in it")
	}
	env, err := templateEnv()
	if err != nil {
		return nil, fmt.Errorf("the expression language did not start: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		message, _, _ := strings.Cut(issues.Errors()[0].Message, "\n")
		return nil, fmt.Errorf("{{ %s }}: %s", clip(text, 80), templateHint(message))
	}
	switch out := checked.OutputType(); out.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.DynKind:
	default:
		return nil, fmt.Errorf("{{ %s }}: is a %s: an input is text, a number, true or false", clip(text, 80), out)
	}
	return env.Program(checked, cel.CostLimit(maxCost))
}

// templateHint is hint with the names of templates.
func templateHint(message string) string {
	if m := undeclared.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("unknown name %q%s", clip(m[1], 64), suggest(m[1], TemplateNames()))
	}
	return hint(message)
}

// Render fills in the expressions. lookup is asked for each name that one
// reads; its error is returned as it is, wrapped in what was being read. Every
// other error is a *PermanentError: the same action will not come out better.
func (t *Template) Render(lookup func(name string) (any, error)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			b.WriteString(p.text)
			continue
		}
		text, err := p.eval(lookup)
		if err != nil {
			return "", fmt.Errorf("{{ %s }}: %w", clip(p.text, 80), err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p templatePart) eval(lookup func(name string) (any, error)) (string, error) {
	names := &templateScope{lookup: lookup}
	out, _, err := p.program.Eval(names)
	if names.err != nil {
		return "", names.err
	}
	if err != nil {
		return "", &PermanentError{Err: evalError(err)}
	}
	var text string
	switch v := out.Value().(type) {
	case string:
		text = v
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case int64, uint64, bool:
		text = fmt.Sprint(v)
	default:
		return "", &PermanentError{Err: fmt.Errorf("is a %s: an input is text, a number, true or false", out.Type().TypeName())}
	}
	if text == "" {
		return "", &PermanentError{Err: errors.New("came out empty for this action")}
	}
	return text, nil
}

func evalError(err error) error {
	if m := noSuchKey.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s is not known for this action", clip(m[1], 64))
	}
	return errors.New(clip(err.Error(), 200))
}

// templateScope resolves names for CEL and keeps the first failure.
type templateScope struct {
	lookup func(name string) (any, error)
	err    error
}

// ResolveName implements cel.Activation.
func (s *templateScope) ResolveName(name string) (any, bool) {
	v, err := s.lookup(name)
	if err != nil && s.err == nil {
		s.err = err
	}
	return v, err == nil
}

// Parent implements cel.Activation.
func (s *templateScope) Parent() cel.Activation { return nil }

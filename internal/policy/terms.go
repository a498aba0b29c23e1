package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// maxTerms bounds how many parts of a condition are explained.
const maxTerms = 20

// terms are the parts of a condition that && and || join, each a condition of
// its own. A part that can't stand alone is left out.
func (c *condition) terms() []*condition {
	env, err := conditionEnv()
	if err != nil {
		return nil
	}
	checked, issues := env.Compile(c.text)
	if issues.Err() != nil {
		return nil
	}
	native := checked.NativeRep()
	var out []*condition
	for _, leaf := range leaves(native.Expr(), nil) {
		text, err := cel.ExprToString(leaf, native.SourceInfo())
		if err != nil || len(out) == maxTerms {
			continue
		}
		if term, problems := compileCondition(text); len(problems) == 0 {
			out = append(out, term)
		}
	}
	return out
}

func leaves(e ast.Expr, out []ast.Expr) []ast.Expr {
	if e.Kind() == ast.CallKind {
		if f := e.AsCall().FunctionName(); f == operators.LogicalAnd || f == operators.LogicalOr {
			for _, arg := range e.AsCall().Args() {
				out = leaves(arg, out)
			}
			return out
		}
	}
	return append(out, e)
}

package policy

import (
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// read is one value that a condition reads: a variable and the fields and
// keys that lead from there, "run.tags.team".
type read struct {
	root string
	path []string
}

// String writes the read as the condition does; keys that are no identifiers
// stand in brackets.
func (r read) String() string {
	var b strings.Builder
	b.WriteString(r.root)
	for _, p := range r.path {
		if isEnvName(p) {
			b.WriteString("." + p)
		} else {
			b.WriteString("[" + strconv.Quote(p) + "]")
		}
	}
	return b.String()
}

// value follows the read; false where something on the way is not there.
func (r read) value(s *scope) (any, bool) {
	v, ok := s.lookup(r.root)
	for _, p := range r.path {
		if !ok {
			return nil, false
		}
		v, ok = member(v, p)
	}
	return v, ok
}

// member is a field of an object or a key of a map.
func member(v any, name string) (any, bool) {
	switch m := v.(type) {
	case map[string]string:
		out, ok := m[name]
		return out, ok
	case map[string]float64:
		out, ok := m[name]
		return out, ok
	case map[string]any:
		out, ok := m[name]
		return out, ok
	}
	f, ok := objects[objectName(v)].fields[name]
	if !ok {
		return nil, false
	}
	return f.get(v)
}

// readsOf lists what an expression reads, each once, in order of appearance.
func readsOf(e ast.Expr) []read {
	w := readWalk{}
	w.expr(e)
	return w.reads
}

type readWalk struct {
	reads []read
	bound []string // loop variables in scope
}

func (w *readWalk) expr(e ast.Expr) {
	if r, ok := w.chain(e); ok {
		w.add(r)
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		w.expr(e.AsSelect().Operand())
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			w.expr(c.Target())
		}
		w.all(c.Args())
	case ast.ListKind:
		w.all(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.expr(entry.AsMapEntry().Key())
			w.expr(entry.AsMapEntry().Value())
		}
	case ast.ComprehensionKind:
		w.loop(e.AsComprehension())
	}
}

func (w *readWalk) all(es []ast.Expr) {
	for _, e := range es {
		w.expr(e)
	}
}

// loop walks a comprehension; its own variables are not the event's.
func (w *readWalk) loop(c ast.ComprehensionExpr) {
	w.expr(c.IterRange())
	w.expr(c.AccuInit())
	n := len(w.bound)
	w.bound = append(w.bound, c.IterVar(), c.AccuVar())
	if c.HasIterVar2() {
		w.bound = append(w.bound, c.IterVar2())
	}
	w.all([]ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()})
	w.bound = w.bound[:n]
}

// chain reads an expression that is a variable with fields and constant keys
// after it.
func (w *readWalk) chain(e ast.Expr) (read, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := strings.TrimPrefix(e.AsIdent(), ".")
		_, known := variables[name]
		return read{root: name}, known && !slices.Contains(w.bound, name)
	case ast.SelectKind:
		s := e.AsSelect()
		r, ok := w.chain(s.Operand())
		r.path = append(slices.Clip(r.path), s.FieldName())
		return r, ok
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.LiteralKind {
			return read{}, false
		}
		key, text := c.Args()[1].AsLiteral().(types.String)
		r, ok := w.chain(c.Args()[0])
		r.path = append(slices.Clip(r.path), string(key))
		return r, ok && text
	}
	return read{}, false
}

func (w *readWalk) add(r read) {
	if !slices.ContainsFunc(w.reads, func(o read) bool { return o.root == r.root && slices.Equal(o.path, r.path) }) {
		w.reads = append(w.reads, r)
	}
}

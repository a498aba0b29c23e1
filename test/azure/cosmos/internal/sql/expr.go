package sql

// env is what an expression is evaluated against.
type env struct {
	item       any
	parameters map[string]any
}

// expr is a node of an expression.
type expr interface {
	eval(e *env) any
	// walk calls f for the node and those below it.
	walk(f func(expr))
}

type (
	literal struct{ value any }
	param   struct{ name string }
	// path is a property: names are strings, or float64 for an index.
	path struct{ steps []any }
	not  struct{ x expr }
	// logic is AND or OR.
	logic struct {
		or   bool
		x, y expr
	}
	comparison struct {
		op   string
		x, y expr
	}
	in struct {
		x    expr
		list []expr
	}
	call struct {
		name string
		f    func(args []any) any
		args []expr
	}
)

func (l literal) eval(*env) any { return l.value }

func (p param) eval(e *env) any { return e.parameters[p.name] }

func (p path) eval(e *env) any {
	v := e.item
	for _, s := range p.steps {
		v = step(v, s)
	}
	return v
}

func step(v, by any) any {
	switch by := by.(type) {
	case string:
		if m, ok := v.(map[string]any); ok {
			if v, ok := m[by]; ok {
				return v
			}
		}
	case float64:
		if a, ok := v.([]any); ok && by >= 0 && int(by) < len(a) {
			return a[int(by)]
		}
	}
	return Undefined{}
}

func (n not) eval(e *env) any {
	if b, ok := n.x.eval(e).(bool); ok {
		return !b
	}
	return Undefined{}
}

// eval is three-valued: one side may decide alone, else both must be known.
func (l logic) eval(e *env) any {
	x, xKnown := l.x.eval(e).(bool)
	if xKnown && x == l.or {
		return x
	}
	y, yKnown := l.y.eval(e).(bool)
	if yKnown && y == l.or {
		return y
	}
	if xKnown && yKnown {
		return !l.or
	}
	return Undefined{}
}

func (c comparison) eval(e *env) any { return compare(c.op, c.x.eval(e), c.y.eval(e)) }

func compare(op string, x, y any) any {
	switch op {
	case "=":
		return equal(x, y)
	case "!=", "<>":
		if b, ok := equal(x, y).(bool); ok {
			return !b
		}
		return Undefined{}
	}
	if !comparable(x, y) {
		return Undefined{}
	}
	switch c := Compare(x, y); op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	default:
		return c >= 0
	}
}

func (i in) eval(e *env) any {
	x := i.x.eval(e)
	if x == (Undefined{}) {
		return x
	}
	for _, y := range i.list {
		if same(x, y.eval(e)) {
			return true
		}
	}
	return false
}

func (c call) eval(e *env) any {
	args := make([]any, len(c.args))
	for i, a := range c.args {
		args[i] = a.eval(e)
	}
	return c.f(args)
}

func (l literal) walk(f func(expr)) { f(l) }
func (p param) walk(f func(expr))   { f(p) }
func (p path) walk(f func(expr))    { f(p) }

func (n not) walk(f func(expr)) {
	f(n)
	n.x.walk(f)
}

func (l logic) walk(f func(expr)) {
	f(l)
	l.x.walk(f)
	l.y.walk(f)
}

func (c comparison) walk(f func(expr)) {
	f(c)
	c.x.walk(f)
	c.y.walk(f)
}

func (i in) walk(f func(expr)) {
	f(i)
	i.x.walk(f)
	for _, y := range i.list {
		y.walk(f)
	}
}

func (c call) walk(f func(expr)) {
	f(c)
	for _, a := range c.args {
		a.walk(f)
	}
}

package sql

import (
	"fmt"
	"strconv"
	"strings"
)

func (p *parser) expr() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, &Error{p.peek().pos, "The expression is nested too deeply"}
	}
	defer func() { p.depth-- }()
	return p.chain("OR", func() (expr, error) { return p.chain("AND", p.not) })
}

// chain reads operands that one logical word connects.
func (p *parser) chain(word string, operand func() (expr, error)) (expr, error) {
	x, err := operand()
	for err == nil && p.accept(word) {
		var y expr
		y, err = operand()
		x = logic{word == "OR", x, y}
	}
	return x, err
}

func (p *parser) not() (expr, error) {
	if !p.accept("NOT") {
		return p.compared()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, &Error{p.peek().pos, "The expression is nested too deeply"}
	}
	defer func() { p.depth-- }()
	x, err := p.not()
	return not{x}, err
}

func (p *parser) compared() (expr, error) {
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	for _, op := range []string{"=", "!=", "<>", "<", "<=", ">", ">="} {
		if p.peek().kind == symbol && p.accept(op) {
			y, err := p.primary()
			return comparison{op, x, y}, err
		}
	}
	negated := p.accept("NOT")
	switch {
	case p.accept("IN", "("):
		x, err = p.inList(x)
	case p.accept("BETWEEN"):
		x, err = p.between(x)
	case negated || p.peek().is("LIKE"):
		return nil, p.unexpected()
	}
	if negated {
		x = not{x}
	}
	return x, err
}

func (p *parser) inList(x expr) (expr, error) {
	list, err := p.list()
	return in{x, list}, err
}

func (p *parser) between(x expr) (expr, error) {
	low, err := p.primary()
	if err != nil {
		return nil, err
	}
	if err := p.expect("AND"); err != nil {
		return nil, err
	}
	high, err := p.primary()
	return logic{false, comparison{">=", x, low}, comparison{"<=", x, high}}, err
}

// list reads expressions up to the closing parenthesis.
func (p *parser) list() (xs []expr, err error) {
	for {
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		xs = append(xs, x)
		if !p.accept(",") {
			return xs, p.expect(")")
		}
	}
}

var literals = map[string]any{"true": true, "false": false, "null": nil, "undefined": Undefined{}}

func (p *parser) primary() (expr, error) {
	t := p.peek()
	switch {
	case p.accept("("):
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		return x, p.expect(")")
	case t.kind == text:
		return literal{p.take().text}, nil
	case t.kind == number:
		n, err := strconv.ParseFloat(p.take().text, 64)
		if err != nil {
			return nil, &Error{t.pos, fmt.Sprintf("Syntax error, invalid number %v", t)}
		}
		return literal{n}, nil
	case t.kind == parameter:
		return p.parameter()
	case t.kind != word:
		return nil, p.unexpected()
	}
	if v, ok := literals[strings.ToLower(t.text)]; ok {
		p.take()
		return literal{v}, nil
	}
	if len(p.tokens) > 1 && p.tokens[1].is("(") {
		return p.call()
	}
	return p.path()
}

func (p *parser) parameter() (expr, error) {
	t := p.take()
	if _, ok := p.q.params[t.text]; !ok {
		return nil, &Error{t.pos, fmt.Sprintf("The parameter %v has no value", t)}
	}
	return param{t.text}, nil
}

func (p *parser) call() (expr, error) {
	t := p.take()
	f, ok := functions[strings.ToUpper(t.text)]
	if !ok {
		return nil, &Error{t.pos, fmt.Sprintf("The function %v is not supported by this server", t)}
	}
	p.take()
	args, err := p.list()
	if err == nil && (len(args) < f.least || len(args) > f.most) {
		err = &Error{t.pos, fmt.Sprintf("The function %v does not take %d arguments", t, len(args))}
	}
	return call{strings.ToUpper(t.text), f.f, args}, err
}

func (p *parser) path() (expr, error) {
	t := p.peek()
	if isReserved(t.text) {
		return nil, p.unexpected()
	}
	if t.text != p.q.alias {
		return nil, &Error{t.pos, fmt.Sprintf("Identifier %v could not be resolved", t)}
	}
	p.take()
	var x path
	for {
		switch {
		case p.accept("."):
			if p.peek().kind != word {
				return nil, p.unexpected()
			}
			x.steps = append(x.steps, p.take().text)
		case p.accept("["):
			s, err := p.primary()
			if err != nil {
				return nil, err
			}
			l, ok := s.(literal)
			if _, isBool := l.value.(bool); !ok || isBool || l.value == nil {
				return nil, &Error{t.pos, "a computed property name is not supported by this server"}
			}
			x.steps = append(x.steps, l.value)
			if err := p.expect("]"); err != nil {
				return nil, err
			}
		default:
			return x, nil
		}
	}
}

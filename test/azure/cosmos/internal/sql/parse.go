package sql

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// reserved words are no names.
var reserved = []string{
	"SELECT", "TOP", "VALUE", "DISTINCT", "FROM", "AS", "WHERE", "ORDER", "GROUP", "BY", "ASC", "DESC", "OFFSET", "LIMIT",
	"AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "JOIN", "EXISTS", "ARRAY", "UNDEFINED", "NULL", "TRUE", "FALSE",
}

// maxDepth bounds the nesting of an expression.
const maxDepth = 100

// Parse reads a query with the values of its parameters, which are named
// with their @. Errors are *Error.
func Parse(query string, parameters map[string]any) (*Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, q: &Query{Top: -1, Offset: -1, Limit: -1, params: parameters}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.q, nil
}

type parser struct {
	tokens []token
	depth  int
	q      *Query
}

// parse reads the clauses. FROM is needed to know the alias before the
// expressions of SELECT, so it is looked up first.
func (p *parser) parse() error {
	if err := p.findAlias(); err != nil {
		return err
	}
	for _, clause := range []func() error{p.selectClause, p.fromClause, p.whereClause, p.orderClause, p.limitClause} {
		if err := clause(); err != nil {
			return err
		}
	}
	if t := p.peek(); t.kind != endOfText {
		return p.unexpected()
	}
	return nil
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) take() token {
	t := p.tokens[0]
	if t.kind != endOfText {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the words or symbols if they come next.
func (p *parser) accept(words ...string) bool {
	for i, w := range words {
		if i >= len(p.tokens) || !p.tokens[i].is(w) {
			return false
		}
	}
	p.tokens = p.tokens[len(words):]
	return true
}

func (p *parser) expect(words ...string) error {
	for _, w := range words {
		if !p.accept(w) {
			return &Error{p.peek().pos, fmt.Sprintf("Syntax error, expected %s before %v", w, p.peek())}
		}
	}
	return nil
}

// unsupported are words that begin what the server does not simulate.
var unsupported = []string{"DISTINCT", "JOIN", "GROUP", "LIKE", "EXISTS", "ARRAY", "IN", "UDF", "SELECT"}

func (p *parser) unexpected() error {
	t := p.peek()
	for _, w := range unsupported {
		if t.is(w) {
			return &Error{t.pos, w + " is not supported by this server"}
		}
	}
	return &Error{t.pos, fmt.Sprintf("Syntax error, unexpected %v", t)}
}

func (p *parser) findAlias() error {
	for i, t := range p.tokens {
		if !t.is("FROM") {
			continue
		}
		rest := &parser{tokens: p.tokens[i+1:]}
		first := rest.take()
		rest.accept("AS")
		p.q.alias = first.text
		if t := rest.peek(); t.kind == word && !isReserved(t.text) {
			p.q.alias = t.text
		}
		return nil
	}
	return &Error{0, "a query without FROM is not supported by this server"}
}

func isReserved(w string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, w) })
}

func (p *parser) selectClause() (err error) {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	if p.accept("TOP") {
		if p.q.Top, err = p.count(); err != nil {
			return err
		}
	}
	if p.accept("*") {
		p.q.whole = true
		return nil
	}
	p.q.Value = p.accept("VALUE")
	for {
		if err := p.column(); err != nil {
			return err
		}
		if p.q.Value || !p.accept(",") {
			break
		}
	}
	if only, ok := p.q.columns[0].expr.(path); p.q.Value && ok && len(only.steps) == 0 {
		p.q.whole = true
	}
	return nil
}

// column reads one expression of SELECT. Its name is the last one of a path,
// or $1, $2, ... as the service counts those without one.
func (p *parser) column() error {
	x, err := p.expr()
	if err != nil {
		return err
	}
	c := column{expr: x}
	if x, ok := x.(path); ok && len(x.steps) > 0 {
		c.name, _ = x.steps[len(x.steps)-1].(string)
	} else if ok {
		c.name = p.q.alias
	}
	if c.name == "" {
		c.name = "$" + strconv.Itoa(len(p.q.columns)+1)
	}
	as := p.accept("AS")
	if t := p.peek(); as || t.kind == word && !isReserved(t.text) {
		if t.kind != word {
			return p.unexpected()
		}
		c.name = p.take().text
	}
	p.q.columns = append(p.q.columns, c)
	return nil
}

func (p *parser) fromClause() error {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	if t := p.peek(); t.kind != word || isReserved(t.text) {
		return p.unexpected()
	}
	p.take()
	as := p.accept("AS")
	if t := p.peek(); t.kind == word && !isReserved(t.text) {
		p.take()
	} else if as {
		return p.unexpected()
	}
	return nil
}

func (p *parser) whereClause() (err error) {
	if p.accept("WHERE") {
		p.q.where, err = p.expr()
	}
	return err
}

func (p *parser) orderClause() error {
	if !p.accept("ORDER") {
		return nil
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		at := p.peek()
		x, err := p.primary()
		if err != nil {
			return err
		}
		by, ok := x.(path)
		if !ok || len(by.steps) == 0 {
			return &Error{at.pos, "ORDER BY is supported by a property path only"}
		}
		desc := p.accept("DESC")
		if !desc {
			p.accept("ASC")
		}
		p.q.order = append(p.q.order, order{by, desc})
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *parser) limitClause() (err error) {
	if !p.accept("OFFSET") {
		return nil
	}
	if p.q.Offset, err = p.count(); err != nil {
		return err
	}
	if err := p.expect("LIMIT"); err != nil {
		return err
	}
	p.q.Limit, err = p.count()
	return err
}

// count reads a number that may come as a parameter.
func (p *parser) count() (int, error) {
	at := p.peek()
	x, err := p.primary()
	if err != nil {
		return 0, err
	}
	n, ok := x.eval(&env{nil, p.q.params}).(float64)
	if _, isPath := x.(path); isPath || !ok || n < 0 || n > math.MaxInt32 || n != math.Trunc(n) {
		return 0, &Error{at.pos, fmt.Sprintf("Syntax error, expected a whole number, not %v", at)}
	}
	return int(n), nil
}

package strictyaml

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on one document. Aliases count what they expand to.
const (
	MaxBytes = 4 << 20
	maxNodes = 200_000
	maxDepth = 64
	maxRun   = 64
)

// Document is one parsed YAML document that still knows its places.
type Document struct {
	name  string
	lines []string
	body  ast.Node
	// anchors are the nodes that aliases refer to.
	anchors map[string]ast.Node
	// at holds where each decoded value stands, by path.
	at map[string]ast.Node
}

// Parse reads text as one YAML document; name is what problems call it. An
// empty text is a document without content. The error is a Problems.
func Parse(name string, text []byte) (doc *Document, err error) {
	d := &Document{name: name, at: map[string]ast.Node{}, anchors: map[string]ast.Node{}}
	if len(text) > MaxBytes {
		return nil, Problems{{File: name, Message: fmt.Sprintf("the file has %d bytes, at most %d are read: split it", len(text), MaxBytes)}}
	}
	// The parser belongs to somebody else and this text to anybody: a panic
	// in there is a refusal of the document, not the end of the process.
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, Problems{{File: name, Message: "not readable as YAML"}}
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if p, bad := d.tooDeep(tokens); bad {
		return nil, Problems{p}
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, Problems{d.syntaxProblem(err)}
	}
	d.lines = strings.Split(string(text), "\n")
	if p := d.takeBody(file); p != nil {
		return nil, Problems{*p}
	}
	return d, nil
}

// Name is what the document was parsed under.
func (d *Document) Name() string { return d.name }

// takeBody picks the only document of the file.
func (d *Document) takeBody(file *ast.File) *Problem {
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if d.body != nil {
			p := d.problem(doc.Body, "", "a second document begins here; write one document per file")
			return &p
		}
		d.body = doc.Body
	}
	if d.body != nil {
		ast.Walk(anchorVisitor(d.anchors), d.body)
	}
	return nil
}

// anchorVisitor collects anchors by name; the latest of a name wins.
type anchorVisitor map[string]ast.Node

// Visit implements ast.Visitor.
func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}

// syntaxProblem takes place and text out of a parser's error.
func (d *Document) syntaxProblem(err error) Problem {
	p := Problem{File: d.name, Message: "not valid YAML"}
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return p
	}
	p.Message = "not valid YAML: " + ye.GetMessage()
	if tk := ye.GetToken(); tk != nil && tk.Position != nil {
		p.Line, p.Column = tk.Position.Line, max(tk.Position.Column, 1)
	}
	return p
}

// tooDeep finds nesting that the parser, which recurses, should not see:
// brackets in brackets, and long runs of indicators ("- - - -", "&a &b").
func (d *Document) tooDeep(tokens token.Tokens) (Problem, bool) {
	depth, run, line := 0, 0, 0
	for _, tk := range tokens {
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			if tk.Position.Line != line {
				run = 0
			}
			run++
		case token.AnchorType, token.TagType:
			run++
		case token.MappingValueType:
			// "a: b: c: d" is refused by the parser; a run of bare colons
			// counts like other indicators.
			run++
		default:
			run = 0
		}
		line = tk.Position.Line
		if depth > maxDepth || run > maxRun || tk.Position.IndentNum > 8*maxDepth {
			return Problem{File: d.name, Line: line, Column: max(tk.Position.Column, 1), Message: fmt.Sprintf("nested too deep; at most %d levels are read", maxDepth)}, true
		}
	}
	return Problem{}, false
}

// Problem makes a problem at the value that path leads to, or at the nearest
// value above it.
func (d *Document) Problem(path, message string) Problem {
	return d.problem(d.nearest(path), path, message)
}

// nearest is the node of the longest known prefix of a path.
func (d *Document) nearest(path string) ast.Node {
	for p := path; p != ""; {
		if n, ok := d.at[p]; ok {
			return n
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			break
		}
		p = p[:cut]
	}
	return d.body
}

func (d *Document) problem(n ast.Node, path, message string) Problem {
	p := Problem{File: d.name, Path: path, Message: message}
	p.Line, p.Column = place(n)
	return p
}

// place is where a node begins, 0, 0 for none.
func place(n ast.Node) (line, column int) {
	if n == nil {
		return 0, 0
	}
	tk := n.GetToken()
	switch m := n.(type) {
	case *ast.MappingNode:
		// The token of a block mapping is its first colon.
		if !m.IsFlowStyle && len(m.Values) > 0 && m.Values[0].Key != nil {
			tk = m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		if m.Key != nil {
			tk = m.Key.GetToken()
		}
	}
	if tk == nil || tk.Position == nil {
		return 0, 0
	}
	return tk.Position.Line, max(tk.Position.Column, 1)
}

// ProblemIn makes a problem inside the scalar that path leads to: at the line
// and column (from 1 and 1, in characters) of the scalar's text. Where the
// scalar's style makes that place uncertain, the problem stands at the
// scalar's begin.
func (d *Document) ProblemIn(path string, line, column int, message string) Problem {
	n := d.nearest(path)
	p := d.problem(n, path, message)
	switch s := n.(type) {
	case *ast.LiteralNode:
		if strings.HasPrefix(s.GetToken().Value, "|") {
			p.Line += line
			p.Column = d.indent(p.Line-line+1) + column
		}
	case *ast.StringNode:
		tk := s.GetToken()
		switch {
		case line != 1 || !d.onOneLine(tk):
		case tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType:
			p.Column += column
		default:
			p.Column += column - 1
		}
	}
	return p
}

// onOneLine tells whether a scalar stands in the file as it reads, on one
// line and without escapes, so that places in it can be counted off.
func (d *Document) onOneLine(tk *token.Token) bool {
	if tk.Position.Line < 1 || tk.Position.Line > len(d.lines) {
		return false
	}
	return strings.Contains(d.lines[tk.Position.Line-1], tk.Value)
}

// indent is how far the block that begins at the given line is indented.
func (d *Document) indent(line int) int {
	for ; line <= len(d.lines); line++ {
		text := d.lines[line-1]
		if trimmed := strings.TrimLeft(text, " "); strings.TrimSpace(trimmed) != "" {
			return len(text) - len(trimmed)
		}
	}
	return 0
}

// Package strictyaml decodes a YAML document into Go structs and reports
// everything that is wrong with it at once, each problem with its line,
// column and path. It knows nothing of what the document means.
//
// Compared with a plain decoder it is narrow on purpose: unknown keys, empty
// values, merge keys, custom tags and second documents are problems, and what
// anchors and nesting may expand to is bounded.
package strictyaml

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a document, and what to do.
type Problem struct {
	// File is the name the document was parsed under; Line and Column count
	// from 1 and are 0 where the place isn't known.
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Path leads to the value: "policies[2].when".
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// Error writes "file:line:column: path: message", leaving out what is not
// known.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// Problems are all that is wrong, in the order of the document. As an error
// its text has one line per problem.
type Problems []Problem

// Error implements error.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is the problems as an error, nil where there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// maxProblems bounds what one document reports; who has a hundred problems
// mends the first ones first.
const maxProblems = 100

package sql

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the class of a token.
type kind int

const (
	endOfText kind = iota
	word           // a keyword, a name or a function
	number
	text      // a quoted string; token.text is its value
	parameter // with its @
	symbol
)

type token struct {
	kind kind
	text string
	pos  int
}

// is says whether the token is a keyword or a symbol.
func (t token) is(s string) bool {
	return t.kind == symbol && t.text == s || t.kind == word && strings.EqualFold(t.text, s)
}

func (t token) String() string {
	if t.kind == endOfText {
		return "the end"
	}
	return fmt.Sprintf("'%s'", t.text)
}

// Error says what is wrong with a query, and where.
type Error struct {
	Pos int // in bytes from the start
	Msg string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Msg, e.Pos) }

// lex cuts a query into tokens, the last of which is endOfText.
func lex(query string) ([]token, error) {
	var tokens []token
	for pos := 0; ; {
		for pos < len(query) && strings.IndexByte(" \t\r\n", query[pos]) >= 0 {
			pos++
		}
		if pos == len(query) {
			return append(tokens, token{kind: endOfText, pos: pos}), nil
		}
		t, end, err := next(query, pos)
		if err != nil {
			return nil, err
		}
		tokens, pos = append(tokens, t), end
	}
}

// next reads the token at pos and says where it ends.
func next(query string, pos int) (t token, end int, err error) {
	r, _ := utf8.DecodeRuneInString(query[pos:])
	switch {
	case r == '\'' || r == '"':
		return quoted(query, pos)
	case r >= '0' && r <= '9' || r == '-' && pos+1 < len(query) && query[pos+1] >= '0' && query[pos+1] <= '9':
		end = pos + 1 + span(query[pos+1:], func(r rune) bool { return unicode.IsDigit(r) || strings.ContainsRune(".eE", r) })
		return token{number, query[pos:end], pos}, end, nil
	case r == '@':
		end = pos + 1 + span(query[pos+1:], inName)
		return token{parameter, query[pos:end], pos}, end, nil
	case inName(r):
		end = pos + span(query[pos:], inName)
		return token{word, query[pos:end], pos}, end, nil
	}
	for _, s := range []string{"!=", "<>", "<=", ">="} {
		if strings.HasPrefix(query[pos:], s) {
			return token{symbol, s, pos}, pos + 2, nil
		}
	}
	if strings.IndexByte("=<>()[],.*", query[pos]) < 0 {
		return t, 0, &Error{pos, fmt.Sprintf("Syntax error, unexpected '%c'", r)}
	}
	return token{symbol, query[pos : pos+1], pos}, pos + 1, nil
}

func inName(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// span is the length of the start of s whose runes are all in.
func span(s string, in func(rune) bool) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return !in(r) }); i >= 0 {
		return i
	}
	return len(s)
}

// quoted reads a string literal with JSON's escapes and \'.
func quoted(query string, pos int) (token, int, error) {
	quote := query[pos]
	var b strings.Builder
	for i := pos + 1; i < len(query); {
		switch c := query[i]; c {
		case quote:
			return token{text, b.String(), pos}, i + 1, nil
		case '\\':
			size, ok := unescape(&b, query[i:])
			if !ok {
				return token{}, 0, &Error{i, "Syntax error, invalid escape in string literal"}
			}
			i += size
		default:
			b.WriteByte(c)
			i++
		}
	}
	return token{}, 0, &Error{pos, "Syntax error, string literal does not end"}
}

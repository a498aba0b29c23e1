package policy

import (
	"errors"
	"strings"
)

// Patterns are globs of which one must match. In a file it is a list, or one
// pattern alone.
type Patterns []string

// UnmarshalYAML reads a list or a single pattern.
func (p *Patterns) UnmarshalYAML(decode func(any) error) error {
	var one string
	if decode(&one) == nil {
		*p = Patterns{one}
		return nil
	}
	var many []string
	if err := decode(&many); err != nil {
		return err
	}
	*p = many
	return nil
}

var (
	errEmptyPattern = errors.New("is an empty pattern: write a name or a pattern such as \"churn*\"")
	errBackslash    = errors.New("ends with a backslash: write \\\\ for a backslash itself")
	errLongPattern  = errors.New("is longer than 512 bytes")
	errCharClass    = errors.New("has [ ]: patterns know only * and ?; write \\[ for a bracket itself")
)

// checkPattern says what is wrong with a glob.
func checkPattern(p string) error {
	switch {
	case p == "":
		return errEmptyPattern
	case len(p) > 512:
		return errLongPattern
	}
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			if i++; i == len(p) {
				return errBackslash
			}
		case '[':
			return errCharClass
		}
	}
	return nil
}

// glob is a pattern made ready: its literal begin, and the rest where there
// is a wildcard.
type glob struct {
	prefix string
	rest   string
	exact  bool
}

func newGlob(pattern string) glob {
	var prefix strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*' || c == '?':
			return glob{prefix: prefix.String(), rest: pattern[i:]}
		case c == '\\' && i+1 < len(pattern):
			i++
			prefix.WriteByte(pattern[i])
		default:
			prefix.WriteByte(c)
		}
	}
	return glob{prefix: prefix.String(), exact: true}
}

func (g glob) match(s string) bool {
	if g.exact {
		return s == g.prefix
	}
	return strings.HasPrefix(s, g.prefix) && wild(g.rest, s[len(g.prefix):])
}

// wild matches with one retry point: the latest star. So it takes at most
// len(p) × len(s) steps, whatever the pattern.
func wild(p, s string) bool {
	i, j, star, mark := 0, 0, -1, 0
	for j < len(s) {
		if i < len(p) && p[i] == '*' {
			star, mark = i, j
			i++
			continue
		}
		if n, width := one(p[i:], s[j:]); n > 0 {
			i, j = i+n, j+width
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star+1, mark
	}
	return strings.Trim(p[i:], "*") == ""
}

// one matches the first element of p against the first of s: how much of
// both it takes, 0 when it does not match.
func one(p, s string) (n, width int) {
	switch {
	case p == "":
		return 0, 0
	case p[0] == '?':
		for width = 1; width < len(s) && s[width]&0xC0 == 0x80; width++ {
		}
		return 1, width
	case p[0] == '\\' && len(p) > 1:
		if p[1] == s[0] {
			return 2, 1
		}
		return 0, 0
	case p[0] == s[0]:
		return 1, 1
	}
	return 0, 0
}

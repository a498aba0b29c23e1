package review

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"churn*", "churn-eu", true}, {"churn*", "my-churn", false}, {"*", "", true}, {"?", "ü", true}, {"?", "ab", false},
		{"monitor/*/churn", "monitor/a/b/churn", true}, {"a[b]", "a[b]", true}, {"[ab]", "a", false},
		{`a\b`, `a\b`, true}, {`a\\b`, `a\b`, true}, {`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\?`, "a?", true}, {`a\`, `a\`, true},
		{`a\*b*`, "a*bc", true}, {`a\[`, `a\[`, true},
	} {
		if got := globMatch(c.pattern, c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.text, got)
		}
	}
}

func FuzzQuotedTextMatchesItselfAlone(f *testing.F) {
	for _, s := range []string{"monitor:monitor/ws/m", `a*b?c\d[e]-^`, `\`, `\\*`, "ü/*"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		if !utf8.ValidString(text+other) || strings.ContainsRune(text+other, 0) {
			t.Skip("ids and causes are text")
		}
		if q := QuoteGlob(text); !globMatch(q, text) || other != text && globMatch(q, other) {
			t.Errorf("%q as %q: itself %v, %q %v", text, q, globMatch(q, text), other, globMatch(q, other))
		}
	})
}

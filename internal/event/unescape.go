package event

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape resolves backslash escapes: those of JSON, and the few more that
// Python's repr writes (\' and \xNN), which valid JSON never contains. What is
// no escape stays as it is; a lone surrogate becomes U+FFFD. A text without a
// backslash is returned without copying.
func unescape(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		n := writeEscape(&b, s[i:])
		s = s[i+n:]
		i = strings.IndexByte(s, '\\')
	}
	b.WriteString(s)
	return b.String()
}

// writeEscape writes what the escape at the start of s stands for and returns
// the escape's length.
func writeEscape(b *strings.Builder, s string) int {
	if len(s) < 2 {
		b.WriteString(s)
		return len(s)
	}
	switch c := s[1]; c {
	case 'u':
		return writeUnicode(b, s)
	case 'x':
		if r, ok := hexRune(s, 2, 4); ok {
			b.WriteRune(r)
			return 4
		}
	case '"', '\'', '\\', '/':
		b.WriteByte(c)
		return 2
	default:
		if k := strings.IndexByte("bfnrt", c); k >= 0 {
			b.WriteByte("\b\f\n\r\t"[k])
			return 2
		}
	}
	b.WriteByte('\\')
	return 1
}

func writeUnicode(b *strings.Builder, s string) int {
	r, ok := hexRune(s, 2, 6)
	if !ok {
		b.WriteByte('\\')
		return 1
	}
	if !utf16.IsSurrogate(r) {
		b.WriteRune(r)
		return 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, ok := hexRune(s, 8, 12); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				b.WriteRune(pair)
				return 12
			}
		}
	}
	b.WriteRune(utf8.RuneError)
	return 6
}

func hexRune(s string, lo, hi int) (rune, bool) {
	if len(s) < hi {
		return 0, false
	}
	n, err := strconv.ParseUint(s[lo:hi], 16, 32)
	return rune(n), err == nil
}

package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

var escapes = map[byte]byte{'\\': '\\', '/': '/', '"': '"', '\'': '\'', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape writes what the escape at the start of s stands for and returns
// its length.
func unescape(b *strings.Builder, s string) (size int, ok bool) {
	if len(s) < 2 {
		return 0, false
	}
	if c, ok := escapes[s[1]]; ok {
		b.WriteByte(c)
		return 2, true
	}
	r, ok := hex(s)
	if !ok {
		return 0, false
	}
	if utf16.IsSurrogate(r) {
		low, ok := hex(s[6:])
		if r = utf16.DecodeRune(r, low); !ok || r == '\uFFFD' {
			return 0, false
		}
		b.WriteRune(r)
		return 12, true
	}
	b.WriteRune(r)
	return 6, true
}

// hex reads \uXXXX.
func hex(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(r), err == nil
}

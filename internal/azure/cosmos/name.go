package cosmos

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Names of records and partitions are any UTF-8; ids in Cosmos DB are not:
// '/', '\', '?' and '#' are refused, and the SDK puts ids into batches and
// partition keys into headers without escaping them as JSON would. So names
// are escaped, and so that the order of the escaped is the order of the
// names, a character is escaped by a neighbour below it in the order, which
// is escaped itself:
//
//	U+0000 to U+0023   '!' and one of 0-9A-Z (among them '!', '"' and '#')
//	% &                %1 %2
//	. /                .1 .2
//	; < = > ?          ;1 to ;5
//	[ \                [1 [2
//	~ DEL              ~1 ~2
//	U+2027 to U+2029   U+2027 and 1 to 3
//	U+D7FB and above   U+D7FB and four digits of base 36
//
// What comes out is between '!' and U+D7FB, so it has the same order by code
// point, by UTF-8 byte and by UTF-16 unit, whichever a server compares, and
// nothing that JSON escapes, in the SDK's HTML-safe way neither.
const (
	highEscape = '\uD7FB' // below the surrogates
	digits     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	highDigits = 4
)

// escapes of all characters that have one, but for those from highEscape on;
// escapeChars are what they begin with.
var escapes, unescapes, escapeChars = escapeTables()

func escapeTables() (forth map[rune]string, back map[string]rune, begin map[rune]bool) {
	forth, back, begin = map[rune]string{}, map[string]rune{}, map[rune]bool{}
	add := func(escape, r rune, code byte) {
		s := string(escape) + string(rune(code))
		forth[r], back[s], begin[escape] = s, r, true
	}
	for r := range '#' + 1 {
		add('!', r, digits[r])
	}
	for _, group := range []string{"%&", "./", ";<=>?", `[\`, "~\x7f", "\u2027\u2028\u2029"} {
		escape, _ := utf8.DecodeRuneInString(group)
		code := byte('1')
		for _, r := range group {
			add(escape, r, code)
			code++
		}
	}
	return forth, back, begin
}

// escape is the order-preserving escape of a valid UTF-8 string.
func escape(s string) string {
	b := make([]byte, 0, len(s)+len(s)/4)
	for _, r := range s {
		b = appendRune(b, r)
	}
	return string(b)
}

func appendRune(b []byte, r rune) []byte {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' { // most of all names
		return append(b, byte(r))
	}
	if r >= highEscape {
		b = utf8.AppendRune(b, highEscape)
		rest := r - highEscape
		for div := rune(36 * 36 * 36); div > 0; div /= 36 {
			b = append(b, digits[rest/div%36])
		}
		return b
	}
	if e, ok := escapes[r]; ok {
		return append(b, e...)
	}
	return utf8.AppendRune(b, r)
}

// unescape takes the escape back; ok is false for what escape never makes.
func unescape(s string) (name string, ok bool) {
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == highEscape:
			r, size = unescapeHigh(s, size)
		case escapeChars[r]:
			size = min(size+1, len(s))
			if r, ok = unescapes[s[:size]]; !ok {
				return "", false
			}
		case r > highEscape || escapes[r] != "":
			return "", false
		}
		if size == 0 {
			return "", false
		}
		b, s = utf8.AppendRune(b, r), s[size:]
	}
	return string(b), true
}

// unescapeHigh reads the digits behind a highEscape of the given size; a size
// of 0 is a fault.
func unescapeHigh(s string, escape int) (r rune, size int) {
	if len(s) < escape+highDigits {
		return 0, 0
	}
	rest := rune(0)
	for _, c := range []byte(s[escape : escape+highDigits]) {
		i := strings.IndexByte(digits, c)
		if i < 0 {
			return 0, 0
		}
		rest = rest*36 + rune(i)
	}
	if r = highEscape + rest; !utf8.ValidRune(r) {
		return 0, 0
	}
	return r, escape + highDigits
}

// maxName is the longest id, in bytes.
const maxName = 1023

// cutMark begins the digest of a name that was cut: '~' is followed by 1 or 2
// in all others.
const cutMark = "~9"

// encodeName makes an id or a partition key of a name. One whose escape is
// too long (which takes more than 430 bytes of characters that need one) is
// cut and ends in a digest: it stays unique, but among names that share their
// first 950 bytes the order is not that of the names, and the name has to be
// kept beside it.
func encodeName(name string) (encoded string, cut bool) {
	encoded = escape(name)
	if len(encoded) <= maxName {
		return encoded, false
	}
	sum := sha256.Sum256([]byte(name))
	digest := cutMark + hex.EncodeToString(sum[:])
	head := make([]byte, 0, maxName)
	for _, r := range name {
		next := appendRune(head, r)
		if len(next) > maxName-len(digest) {
			break
		}
		head = next
	}
	return string(head) + digest, true
}

// bound is the escape of the least name that is not below b, which need not
// be UTF-8 itself; ok is false when there is none.
func bound(b string) (escaped string, ok bool) {
	name, ok := ceiling(b)
	return escape(name), ok
}

// ceiling is the least valid UTF-8 string that is not below b in byte order.
func ceiling(b string) (name string, ok bool) {
	valid := 0
	for valid < len(b) {
		r, size := utf8.DecodeRuneInString(b[valid:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		valid += size
	}
	head, tail := b[:valid], b[valid:]
	if tail == "" {
		return b, true
	}
	if r, ok := runeNotBelow(tail); ok {
		return head + string(r), true
	}
	return after(head)
}

// runeNotBelow is the least rune whose UTF-8 is not below tail.
func runeNotBelow(tail string) (rune, bool) {
	low, high := rune(0), rune(utf8.MaxRune+1)
	for low < high {
		mid := low + (high-low)/2
		if string(notSurrogate(mid)) < tail {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return notSurrogate(low), low <= utf8.MaxRune
}

// notSurrogate is r, or the first rune behind the surrogates if r is one.
func notSurrogate(r rune) rune {
	if r >= 0xD800 && r <= 0xDFFF {
		return 0xE000
	}
	return r
}

// after is the least string above all that begin with s, if there is one.
func after(s string) (string, bool) {
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
		if r < utf8.MaxRune {
			return s + string(notSurrogate(r+1)), true
		}
	}
	return "", false
}

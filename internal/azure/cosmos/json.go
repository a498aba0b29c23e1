package cosmos

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// escapes of one letter.
var shortEscapes = map[byte]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// appendJSON writes a valid UTF-8 string as JSON. encoding/json would escape
// more than must be.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		if short, ok := shortEscapes[c]; ok {
			b = append(b, '\\', short)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	return append(append(b, s[start:]...), '"')
}

// jsonSize is the length of a valid UTF-8 string within the JSON of a batch.
// The SDK marshals batches by encoding/json, which escapes also what HTML
// might trip over.
func jsonSize(s []byte) int {
	const long = len(`\u003c`)
	n := 0
	for _, r := range string(s) {
		switch {
		case r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029':
			n += long
		case r >= ' ' && r != '"' && r != '\\':
			n += utf8.RuneLen(r)
		case shortEscapes[byte(r)] != 0:
			n += 2
		default:
			n += long
		}
	}
	return n
}

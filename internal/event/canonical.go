package event

import (
	"time"
	"unicode/utf8"
)

// AppendJSON appends the envelope as one structured CloudEvents 1.0 event and
// returns the extended slice. Data, which must be JSON or empty, goes out byte
// for byte; the zero Time and an empty Subject are left out. [Split] reads the
// output back to an equal envelope, provided that strings are valid UTF-8 and
// Time lies between the years 2 and 9999.
func (e *Envelope) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendQuoted(dst, e.ID)
	dst = append(dst, `,"source":`...)
	dst = appendQuoted(dst, e.Source)
	dst = append(dst, `,"type":`...)
	dst = appendQuoted(dst, e.Type)
	if e.Subject != "" {
		dst = append(dst, `,"subject":`...)
		dst = appendQuoted(dst, e.Subject)
	}
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if e.Synthetic {
		dst = append(dst, `,"`+SyntheticExtension+`":true`...)
	}
	if len(e.Data) > 0 {
		dst = append(dst, `,"datacontenttype":"application/json","data":`...)
		dst = append(dst, e.Data...)
	}
	return append(dst, '}')
}

// appendQuoted appends s as a JSON string; invalid UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			if !plain[s[i]] {
				dst = appendEscaped(append(dst, s[from:i]...), s[i])
				from = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
			from = i + 1
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	if c >= 0x20 {
		return append(dst, '\\', c)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

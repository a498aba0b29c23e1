package event

import "strings"

// value steps over one value of any kind.
func (s *scanner) value(depth int) {
	s.space()
	if s.fault != sound || s.pos == len(s.buf) {
		s.stop()
		return
	}
	switch s.buf[s.pos] {
	case '"':
		s.quoted()
	case '{':
		s.nested('}', depth)
	case '[':
		s.nested(']', depth)
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

func (s *scanner) nested(end byte, depth int) {
	if depth > maxDepth {
		s.fault = faultDepth
		return
	}
	s.pos++
	for first := true; s.more(end, first); first = false {
		if end == '}' {
			s.name()
		}
		s.value(depth + 1)
	}
}

// plain tells the bytes that stand for themselves inside a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// quoted steps over a string, from its opening quote.
func (s *scanner) quoted() {
	buf, i := s.buf, s.pos+1
	for {
		for i < len(buf) && plain[buf[i]] {
			i++
		}
		s.pos = i
		if i == len(buf) || buf[i] < 0x20 {
			s.stop()
			return
		}
		if buf[i] == '"' {
			s.pos++
			return
		}
		n := escapeLen(buf[i:])
		if n == 0 {
			s.fault = faultChar
			return
		}
		i += n
	}
}

// escapeLen is the length of the escape that b begins with, or 0.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func (s *scanner) word(w string) {
	if !strings.HasPrefix(s.text[s.pos:len(s.buf)], w) {
		s.fault = faultChar
		return
	}
	s.pos += len(w)
}

// number steps over -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?.
func (s *scanner) number() {
	s.skip('-')
	if !s.skip('0') {
		s.digits()
	}
	if s.skip('.') {
		s.digits()
	}
	if s.skip('e') || s.skip('E') {
		_ = s.skip('+') || s.skip('-')
		s.digits()
	}
}

// digits steps over at least one digit.
func (s *scanner) digits() {
	from := s.pos
	for s.pos < len(s.buf) && '0' <= s.buf[s.pos] && s.buf[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == from {
		s.stop()
	}
}

func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.buf) && s.buf[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) expect(c byte) {
	if s.fault == sound && !s.skip(c) {
		s.stop()
	}
}

// stop records that the byte here, or the end of the text, is wrong.
func (s *scanner) stop() {
	switch {
	case s.fault != sound:
	case s.pos >= len(s.buf):
		s.fault = faultEnd
	default:
		s.fault = faultChar
	}
}

func (s *scanner) space() {
	for s.pos < len(s.buf) && isSpace(s.buf[s.pos]) {
		s.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

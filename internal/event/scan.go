package event

// maxDepth bounds how deep values may nest inside one event. Azure's own
// payloads stay below ten.
const maxDepth = 128

// fault is why a scanner stopped. The zero value means that it did not.
type fault uint8

const (
	sound      fault = iota
	faultChar        // a byte that the grammar does not allow here
	faultEnd         // the text ends inside a value
	faultDepth       // nested deeper than maxDepth
)

func (f fault) reason() string {
	if f == faultDepth {
		return ReasonTooDeep
	}
	return ReasonNotJSON
}

func (f fault) String() string {
	switch f {
	case faultEnd:
		return "the JSON ends before its value does"
	case faultDepth:
		return "the JSON nests deeper than 128 levels"
	default:
		return "the JSON breaks its grammar"
	}
}

// span is a half-open range of a scanner's text.
type span struct{ lo, hi int }

// scanner walks JSON once, checking the whole grammar on the way, and hands
// out members and elements as ranges of the text. It allocates nothing: strings
// are cut out of text, and only those with escapes are copied.
//
// It is written by hand because two needs meet here that no package serves
// together: raw ranges with full validation in one pass, and going on after a
// broken element of a batch. A fuzz test holds it against encoding/json.
type scanner struct {
	buf  []byte
	text string // the same bytes as buf
	pos  int
	// fault sticks: once set, every method returns at once.
	fault fault
	// key and val are the member or element that member or element found.
	key string
	val span
}

func newScanner(buf []byte) scanner {
	return scanner{buf: buf, text: string(buf)}
}

// at is a scanner of the same text that begins at v.
func (s *scanner) at(v span) scanner {
	return scanner{buf: s.buf[:v.hi], text: s.text, pos: v.lo}
}

// open enters the object ('{') or array ('[') that begins here and reports
// whether there is one.
func (s *scanner) open(bracket byte) bool {
	s.space()
	if s.fault != sound || s.pos == len(s.buf) || s.buf[s.pos] != bracket {
		return false
	}
	s.pos++
	return true
}

// member moves to the next member of the object that open entered and sets
// key and val; false at its end or at a fault. first is true on the first call.
func (s *scanner) member(first bool) bool {
	if !s.more('}', first) {
		return false
	}
	k := s.name()
	s.take(1)
	if s.fault != sound {
		return false
	}
	s.key = s.str(k)
	return true
}

// element moves to the next element of the array that open entered and sets
// val; false at its end or at a fault.
func (s *scanner) element(first bool) bool {
	if !s.more(']', first) {
		return false
	}
	s.take(1)
	return s.fault == sound
}

// take steps over the value that begins here and remembers its range.
func (s *scanner) take(depth int) {
	s.space()
	s.val.lo = s.pos
	s.value(depth)
	s.val.hi = s.pos
}

// more steps over the separator before the next member or element, or over
// the closing bracket.
func (s *scanner) more(end byte, first bool) bool {
	s.space()
	switch {
	case s.fault != sound:
		return false
	case s.pos == len(s.buf):
		s.fault = faultEnd
		return false
	case s.buf[s.pos] == end:
		s.pos++
		return false
	case first:
		return true
	case s.buf[s.pos] == ',':
		s.pos++
		s.space()
		return true
	}
	s.fault = faultChar
	return false
}

// name steps over a member's name and colon, and returns the name's range.
func (s *scanner) name() span {
	s.space()
	k := span{lo: s.pos}
	if s.pos < len(s.buf) && s.buf[s.pos] == '"' {
		s.quoted()
	} else {
		s.stop()
	}
	k.hi = s.pos
	s.space()
	s.expect(':')
	return k
}

// resync leaves a broken element that began at from: it moves to the comma or
// bracket that ends it, counting brackets and respecting quotes only. It
// reports false when the text ends first.
func (s *scanner) resync(from int) bool {
	s.fault = sound
	depth := 0
	for s.pos = from; s.pos < len(s.buf); s.pos++ {
		switch c := s.buf[s.pos]; {
		case c == '"':
			s.looseQuote()
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == ']'):
			return true
		case c == '}' || c == ']':
			depth = max(depth-1, 0)
		}
	}
	s.pos = len(s.buf)
	return false
}

// looseQuote moves to the closing quote of the string that begins here,
// whatever is in it.
func (s *scanner) looseQuote() {
	for s.pos++; s.pos < len(s.buf) && s.buf[s.pos] != '"'; s.pos++ {
		if s.buf[s.pos] == '\\' {
			s.pos++
		}
	}
}

// bytes are the raw bytes of v: they alias the text.
func (s *scanner) bytes(v span) []byte { return s.buf[v.lo:v.hi:v.hi] }

// str is the content of the JSON string at v, without quotes and escapes.
func (s *scanner) str(v span) string {
	if v.hi-v.lo < 2 {
		return ""
	}
	return unescape(s.text[v.lo+1 : v.hi-1])
}

// scalar is the value at v as text: a string's content, a number or boolean
// as written, nothing for null, and the raw JSON of an object or array.
func (s *scanner) scalar(v span) string {
	switch s.buf[v.lo] {
	case '"':
		return s.str(v)
	case 'n':
		return ""
	default:
		return s.text[v.lo:v.hi]
	}
}

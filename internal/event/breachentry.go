package event

import "strings"

// entryReader walks over one object of a breach list. It is laxer than JSON:
// quotes may be single, names and values bare, numbers in quotes, and the text
// may end anywhere.
type entryReader struct {
	text string
	pos  int
}

// readEntry reads the object that text begins with and returns its length, or
// 0 when it has no end or is no object; then the entry holds the members that
// are whole.
func readEntry(text string) (breachEntry, int) {
	var e breachEntry
	r := entryReader{text: text, pos: 1}
	for {
		r.skip(" ,\n\t\r")
		if r.done() {
			return e, 0
		}
		if r.text[r.pos] == '}' {
			return e, r.pos + 1
		}
		key, ok := r.word()
		if !ok || !r.colon() {
			return e, 0
		}
		value, ok := r.value()
		if !ok {
			return e, 0
		}
		e.set(key, value)
	}
}

// set takes over one member. The names are those of azureml-assets, and the
// plain words that other writers of such tags would use.
func (e *breachEntry) set(key, value string) {
	switch strings.ToLower(key) {
	case "group", "feature", "feature_name":
		e.feature = value
	case "metric_name", "metric":
		e.metric = value
	case "metric_value", "value":
		e.value = parseNumber(value)
	case "threshold_value", "threshold":
		e.threshold = parseNumber(value)
	}
}

func (r *entryReader) done() bool { return r.pos >= len(r.text) }

func (r *entryReader) skip(set string) {
	for !r.done() && strings.IndexByte(set, r.text[r.pos]) >= 0 {
		r.pos++
	}
}

func (r *entryReader) colon() bool {
	r.skip(" \n\t\r")
	if r.done() || r.text[r.pos] != ':' {
		return false
	}
	r.pos++
	r.skip(" \n\t\r")
	return !r.done()
}

// word reads a quoted or bare word up to its end, which must be there.
func (r *entryReader) word() (string, bool) {
	if c := r.text[r.pos]; c == '"' || c == '\'' {
		return r.quoted(c)
	}
	end := strings.IndexAny(r.text[r.pos:], ":,}]{['\"")
	if end <= 0 {
		return "", false
	}
	word := r.text[r.pos : r.pos+end]
	r.pos += end
	return strings.TrimSpace(word), true
}

func (r *entryReader) quoted(quote byte) (string, bool) {
	from := r.pos + 1
	for i := from; i < len(r.text); i++ {
		switch r.text[i] {
		case '\\':
			i++
		case quote:
			r.pos = i + 1
			return unescape(r.text[from:i]), true
		}
	}
	return "", false
}

// value reads a member's value: null words are "", nested ones are skipped.
func (r *entryReader) value() (string, bool) {
	switch r.text[r.pos] {
	case '{', '[':
		return "", r.nested()
	case '"', '\'':
		return r.word()
	}
	word, ok := r.word()
	switch word {
	case "null", "None":
		word = ""
	}
	return word, ok
}

// nested steps over an object or array.
func (r *entryReader) nested() bool {
	for depth := 0; !r.done(); r.pos++ {
		switch c := r.text[r.pos]; c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"', '\'':
			if _, ok := r.quoted(c); !ok {
				return false
			}
			r.pos--
		}
		if depth == 0 {
			r.pos++
			return true
		}
	}
	return false
}

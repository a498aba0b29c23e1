package event

import (
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"strconv"
	"strings"
)

// maxEntries bounds each map of an event. Azure allows 50 tags on a run; what
// lies beyond the bound is counted in Event.Trimmed.
const maxEntries = 512

// document is a payload: one JSON value, its syntax checked.
type document struct {
	scanner
	root span
	// trimmed counts the entries that a bound left out.
	trimmed int
}

// newDocument checks data and wraps it. A JSON object that was sent as a
// string, as some forwarders do, is taken out of it. No data is a document
// without members.
func newDocument(data []byte) (*document, bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return &document{}, true
	}
	d := &document{scanner: newScanner(data)}
	d.take(0)
	if d.fault != sound || d.pos != len(data) {
		return nil, false
	}
	d.root = d.val
	if data[0] == '"' {
		inner := strings.TrimSpace(d.str(d.root))
		if strings.HasPrefix(inner, "{") {
			return newDocument([]byte(inner))
		}
	}
	return d, true
}

// members yields the members of the object at v; none if it is no object.
func (d *document) members(v span) iter.Seq2[string, span] {
	return func(yield func(string, span) bool) {
		s := d.at(v)
		if !s.open('{') {
			return
		}
		for first := true; s.member(first); first = false {
			if !yield(s.key, s.val) {
				return
			}
		}
	}
}

// elements yields the elements of the array at v; none if it is no array.
func (d *document) elements(v span) iter.Seq[span] {
	return func(yield func(span) bool) {
		s := d.at(v)
		if !s.open('[') {
			return
		}
		for first := true; s.element(first); first = false {
			if !yield(s.val) {
				return
			}
		}
	}
}

// name is the value at v as text without white space around it.
func (d *document) name(v span) string { return strings.TrimSpace(d.scalar(v)) }

// is reports whether the value at v begins with c: '{', '[' or '"'.
func (d *document) is(v span, c byte) bool { return d.buf[v.lo] == c }

// number is the value at v, a number or a string that holds one; nil if it is
// neither or not finite.
func (d *document) number(v span) *float64 { return parseNumber(d.scalar(v)) }

// parseNumber is nil for what is no finite number: "NaN", "Infinity", "".
func parseNumber(s string) *float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

// stringMap is the object at v with its values as text, those that are objects
// or arrays as compact JSON; nil when it is empty, null or no object.
func (d *document) stringMap(v span) map[string]string {
	var m map[string]string
	for key, val := range d.members(v) {
		m = d.put(m, key, d.compact(val))
	}
	return m
}

// compact is scalar without white space inside objects and arrays.
func (d *document) compact(v span) string {
	if !d.is(v, '{') && !d.is(v, '[') {
		return d.scalar(v)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, d.bytes(v)); err != nil {
		return d.scalar(v)
	}
	return b.String()
}

func (d *document) put(m map[string]string, key, val string) map[string]string {
	if m == nil {
		m = make(map[string]string)
	}
	if _, ok := m[key]; !ok && len(m) >= maxEntries {
		d.trimmed++
		return m
	}
	m[key] = val
	return m
}

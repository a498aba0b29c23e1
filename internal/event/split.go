package event

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Item is one element of a body: an event, or what stood in its place.
type Item struct {
	// Envelope is the event; of little use when Problem is set.
	Envelope Envelope
	// Raw is the element as it was sent. It aliases the body.
	Raw []byte
	// Problem says why the element is not an event; nil when it is one.
	Problem *Problem
}

// maxBadItems is how many broken elements of one body stand as items of their
// own. Neighbours among those that follow share an item, so that a megabyte of
// commas does not become a million problems.
const maxBadItems = 100

// Split cuts a body into its events, whatever schema each is in: Event Grid
// schema, CloudEvents 1.0 (structured, batched, binary) or the common alert
// schema of Azure Monitor; one object, an array, or objects one after another.
// The content decides; the content type and the ce- headers count only where
// both agree on CloudEvents' binary mode. header returns a request header's
// value by name in any case, "" for none; nil stands for no headers.
//
// A broken element is an item with a Problem and spoils no other. The error is
// a *Problem, for a body in which no event could be read at all: empty, not
// JSON, or JSON that is neither object nor array. An empty array is no items
// and no error.
//
// Every item's syntax is checked as a whole, numbers keep their digits, and
// nesting is limited to 128 levels. Data and Raw alias body, which must not be
// changed afterwards; the envelopes' strings share one copy of it, so whoever
// keeps one of them for long should clone it. Only a body that is not valid
// UTF-8 is repaired into a copy first.
func Split(contentType string, header func(name string) string, body []byte) ([]Item, error) {
	binary, complete := binaryEnvelope(header)
	if complete && !saysStructured(contentType) {
		return []Item{binaryItem(binary, body)}, nil
	}
	items, err := splitBody(clean(body))
	if complete && !anyEvent(items) {
		return []Item{binaryItem(binary, body)}, nil
	}
	return items, err
}

// clean takes off a byte order mark and white space, and repairs UTF-8.
func clean(body []byte) []byte {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	body = bytes.TrimSpace(body)
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\ufffd"))
	}
	return body
}

func anyEvent(items []Item) bool {
	for i := range items {
		if items[i].Problem == nil {
			return true
		}
	}
	return false
}

// splitter is one body being cut.
type splitter struct {
	scanner
	items []Item
	count int // elements met
	bad   int // of them, broken ones
	good  int
	// lastBad is where the last item's Raw begins, if that item is broken.
	lastBad int
	// broken is the first violation of JSON's grammar.
	broken *Problem
	// many is the problem that broken items share when there are many.
	many *Problem
}

// usualEvent is the size by which the number of a body's events is guessed.
const usualEvent = 512

func splitBody(body []byte) ([]Item, error) {
	if len(body) == 0 {
		return nil, &Problem{ReasonEmpty, "the request has no body: post one event or an array of events"}
	}
	if body[0] != '{' && body[0] != '[' {
		return nil, notContainer(body)
	}
	s := splitter{scanner: newScanner(body)}
	s.items = make([]Item, 0, len(body)/usualEvent+1)
	for s.space(); s.pos < len(s.buf); s.space() {
		if s.buf[s.pos] == '[' {
			s.array()
		} else {
			s.single()
		}
	}
	if s.good == 0 && s.broken != nil {
		return nil, s.broken
	}
	return s.items, nil
}

// notContainer tells JSON of the wrong kind from no JSON.
func notContainer(body []byte) *Problem {
	s := newScanner(body)
	if s.value(0); s.fault != sound || s.pos != len(body) {
		return &Problem{ReasonNotJSON, fmt.Sprintf("the body is not JSON: it begins with %q", clip(string(body), 40))}
	}
	return &Problem{ReasonNotEvent, "the body is a single JSON value: post an object or an array of objects"}
}

// array cuts the array that begins here. A fault costs the text up to the next
// comma at the array's own level.
func (s *splitter) array() {
	s.pos++
	for first := true; s.more(']', first) || s.fault != sound; first = false {
		from := s.pos
		if s.one(); s.fault == sound {
			continue
		}
		f, at := s.fault, s.pos
		closed := s.resync(from)
		s.breaks(from, f, at)
		if !closed {
			return
		}
	}
}

// single reads an object that stands for itself. After a fault nothing says
// where the next one begins, so all that follows is one broken item.
func (s *splitter) single() {
	from := s.pos
	if s.one(); s.fault != sound {
		s.rest(from)
	}
}

func (s *splitter) rest(from int) {
	f, at := s.fault, s.pos
	s.pos, s.fault = len(s.buf), sound
	s.breaks(from, f, at)
}

// breaks adds a broken item for a fault at a byte of it.
func (s *splitter) breaks(from int, f fault, at int) {
	s.addBad(from, at, f.reason(), f.String())
	if s.broken == nil {
		s.broken = s.items[len(s.items)-1].Problem
	}
}

// one reads the element that begins here, unless it faults.
func (s *splitter) one() {
	from := s.pos
	if s.fault != sound || from == len(s.buf) || s.buf[from] != '{' {
		if s.value(0); s.fault == sound {
			s.addBad(from, from, ReasonNotEvent, "an event is an object")
		}
		return
	}
	var f fields
	if f.read(&s.scanner); s.fault != sound {
		return
	}
	raw := span{from, s.pos}
	env, reason, what := f.envelope(&s.scanner, raw)
	if reason != "" {
		s.addBad(from, from, reason, what)
		return
	}
	s.count++
	s.good++
	s.add(Item{Envelope: env, Raw: s.bytes(raw)})
}

// add appends an item. The room it makes is what the rest of the body needs if
// it goes on as it began, so that few batches are copied twice.
func (s *splitter) add(item Item) {
	if n := len(s.items); n == cap(s.items) {
		rest := n * (len(s.buf) - s.pos) / max(s.pos, 1)
		s.items = append(make([]Item, 0, n+rest+rest/8+4), s.items...)
	}
	s.items = append(s.items, item)
}

// addBad adds what stands between from and the scanner's position as a broken
// item, or lengthens the broken item before it when there are many.
func (s *splitter) addBad(from, at int, reason, what string) {
	s.count++
	s.bad++
	last := len(s.items) - 1
	if s.bad > maxBadItems && last >= 0 && s.items[last].Problem != nil {
		s.items[last].Raw = s.bytes(span{s.lastBad, s.pos})
		return
	}
	s.lastBad = from
	s.add(Item{Raw: s.bytes(span{from, s.pos}), Problem: s.why(at, reason, what)})
}

// why is the problem of a broken item. After the first hundred all share one.
func (s *splitter) why(at int, reason, what string) *Problem {
	if s.bad <= maxBadItems {
		return &Problem{reason, fmt.Sprintf("event %d of the body, at byte %d: %s", s.count, at, what)}
	}
	if s.many == nil {
		s.many = &Problem{reason, fmt.Sprintf("more than %d elements of the body are broken: the items before this one say how", maxBadItems)}
	}
	return s.many
}

// clip shortens s to at most n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

package lineage

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The two documents that are written for every event are encoded by hand:
// encoding/json spends a fifth of an event's time on them, mostly on checking
// again that embedded JSON is JSON. Decoding stays encoding/json's; a test
// holds the two together.

// encoder appends an object's members.
type encoder struct {
	b     []byte
	comma bool
}

func (e *encoder) key(name string) {
	if e.comma {
		e.b = append(e.b, ',')
	}
	e.comma = true
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(s string) { e.b = quote(e.b, s) }

func (e *encoder) member(name, value string) {
	if value != "" {
		e.key(name)
		e.text(value)
	}
}

func (e *encoder) time(name string, t time.Time) {
	if !t.IsZero() {
		e.key(name)
		e.b = append(t.UTC().AppendFormat(append(e.b, '"'), time.RFC3339Nano), '"')
	}
}

func (e *encoder) number(name string, n int64) {
	if n != 0 {
		e.key(name)
		e.b = strconv.AppendInt(e.b, n, 10)
	}
}

func (e *encoder) flag(name string, v bool) {
	if v {
		e.key(name)
		e.b = append(e.b, "true"...)
	}
}

func (e *encoder) raw(name string, v []byte) {
	if len(v) > 0 {
		e.key(name)
		e.b = append(e.b, v...)
	}
}

func (e *encoder) stamp(name string, s Stamp) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b, _ = s.AppendText(e.b) // a stamp's text has nothing to escape
	e.b = append(e.b, '"')
}

func (e *encoder) open(c byte)  { e.b, e.comma = append(e.b, c), false }
func (e *encoder) close(c byte) { e.b, e.comma = append(e.b, c), true }

func (e *encoder) texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	e.key(name)
	e.open('[')
	for _, s := range list {
		e.item()
		e.text(s)
		e.comma = true
	}
	e.close(']')
}

// item begins an array's element.
func (e *encoder) item() {
	if e.comma {
		e.b = append(e.b, ',')
	}
	e.comma = false
}

// quote appends a JSON string; bytes that are no UTF-8 become U+FFFD, as in
// encoding/json.
func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error says only that it replaced bytes
	return b
}

// AppendJSON appends the document's stored form, which DecodeAsset reads.
// Field, set and edge order are fixed, so equal documents give equal bytes.
func (a *Asset) AppendJSON(b []byte) []byte {
	e := &encoder{b: b}
	e.open('{')
	e.key("id")
	e.text(string(a.ID))
	e.stamp("first", a.First)
	e.stamp("last", a.Last)
	if len(a.Fields) > 0 {
		e.fields(a.Fields)
	}
	if len(a.Sets) > 0 {
		e.sets(a.Sets)
	}
	if len(a.Edges) > 0 {
		e.edges(a.Edges)
	}
	e.flag("overflow", a.Overflow)
	e.number("rev", a.Rev)
	e.time("recorded", a.Recorded)
	e.close('}')
	return e.b
}

func (e *encoder) fields(fields map[string]Field) {
	e.key("fields")
	e.open('{')
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		e.item()
		e.text(name)
		e.b = append(e.b, ':')
		e.open('{')
		e.raw("v", fields[name].V)
		e.stamp("s", fields[name].S)
		e.close('}')
	}
	e.close('}')
}

func (e *encoder) sets(sets map[string][]Member) {
	e.key("sets")
	e.open('{')
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		e.item()
		e.text(name)
		e.b = append(e.b, ':')
		e.open('[')
		for _, m := range sets[name] {
			e.item()
			e.open('{')
			e.key("k")
			e.text(m.K)
			e.raw("v", m.V)
			e.stamp("s", m.S)
			e.close('}')
		}
		e.close(']')
	}
	e.close('}')
}

func (e *encoder) edges(edges []Edge) {
	e.key("edges")
	e.open('[')
	for _, edge := range edges {
		e.item()
		e.open('{')
		e.flag("out", edge.Out)
		e.member("type", string(edge.Type))
		e.member("other", string(edge.Other))
		e.stamp("since", edge.Since)
		e.close('}')
	}
	e.close(']')
}

// AppendJSON appends the entry's stored form. loss is Loss as JSON, if any.
func (n *Entry) AppendJSON(b, loss []byte) []byte {
	e := &encoder{b: b}
	e.open('{')
	e.member("id", n.ID)
	e.member("kind", string(n.Kind))
	e.member("asset", string(n.Asset))
	e.member("workspace", n.Workspace)
	e.time("received", n.Received)
	e.time("queued", n.Queued)
	e.time("committed", n.Committed)
	e.member("via", n.Via)
	e.member("subscription", n.Subscription)
	e.member("deliveryCount", n.DeliveryCount)
	e.member("traceparent", n.TraceParent)
	e.flag("fenced", n.Fenced)
	e.member("page", n.Page)
	e.number("decisions", int64(n.Decisions))
	e.texts("actions", n.Actions)
	e.number("breaches", int64(n.Breaches))
	e.raw("loss", loss)
	e.texts("notes", n.Notes)
	if n.Enrichment != nil {
		b, _ := json.Marshal(n.Enrichment) // texts, a time: always JSON
		e.raw("enrichment", b)
	}
	e.number("chunks", int64(n.Chunks))
	e.raw("event", n.Event)
	e.close('}')
	return e.b
}

// AppendJSON appends the line as lists show it.
func (l *EventLine) AppendJSON(b []byte) []byte {
	e := &encoder{b: b}
	e.open('{')
	e.member("key", l.Key)
	e.member("id", l.ID)
	e.member("kind", string(l.Kind))
	e.member("asset", string(l.Asset))
	e.member("workspace", l.Workspace)
	e.member("type", l.Type)
	e.member("subject", l.Subject)
	e.time("time", l.Time)
	e.time("received", l.Received)
	e.time("committed", l.Committed)
	e.number("decisions", int64(l.Decisions))
	e.number("actions", int64(l.Actions))
	e.number("breaches", int64(l.Breaches))
	e.close('}')
	return e.b
}

// appendPage appends a journal page.
func appendPage(b []byte, entries []JournalEntry) []byte {
	e := &encoder{b: b}
	e.open('{')
	e.key("entries")
	e.open('[')
	for _, entry := range entries {
		e.item()
		e.open('{')
		e.key("k")
		e.text(entry.Key)
		e.raw("b", entry.Body)
		e.close('}')
	}
	e.close(']')
	e.close('}')
	return e.b
}

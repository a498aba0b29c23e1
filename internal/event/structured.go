package event

import (
	"cmp"
	"encoding/base64"
	"strings"
)

// fields are the members of an element that say what it is. Both schemas are
// read in one go: their names do not collide, Event Grid's differ only in
// topic, eventType and eventTime, and senders have been seen to mix them.
type fields struct {
	id, source, topic, typ, eventType span
	subject, time, eventTime          span
	data, base64, schema, synthetic   span
}

// read steps over the object that begins at the scanner's position. Names
// compare without case; of two members with one name the later counts.
func (f *fields) read(s *scanner) {
	s.pos++
	for first := true; s.member(first); first = false {
		if slot := f.slot(s.key); slot != nil && s.buf[s.val.lo] != 'n' {
			*slot = s.val
		}
	}
}

func (f *fields) slot(key string) *span {
	switch len(key) {
	case 2:
		return pick(key, "id", &f.id)
	case 4:
		return cmp.Or(pick(key, "type", &f.typ), pick(key, "time", &f.time), pick(key, "data", &f.data))
	case 5:
		return pick(key, "topic", &f.topic)
	case 6:
		return pick(key, "source", &f.source)
	case 7:
		return pick(key, "subject", &f.subject)
	case 8:
		return pick(key, "schemaId", &f.schema)
	case 9:
		return cmp.Or(pick(key, "eventType", &f.eventType), pick(key, "eventTime", &f.eventTime))
	case 11:
		return cmp.Or(pick(key, "data_base64", &f.base64), pick(key, SyntheticExtension, &f.synthetic))
	}
	return nil
}

func pick(key, name string, slot *span) *span {
	if strings.EqualFold(key, name) {
		return slot
	}
	return nil
}

// envelope makes the canonical event of an element whose whole text is raw. A
// reason, with a sentence, says why it can't.
func (f *fields) envelope(s *scanner, raw span) (e Envelope, reason, what string) {
	typ := cmp.Or(f.typ, f.eventType)
	if f.schema != (span{}) && typ == (span{}) {
		return alertEnvelope(s, f, raw)
	}
	e = Envelope{
		ID:      s.optional(f.id),
		Source:  s.optional(cmp.Or(f.source, f.topic)),
		Type:    s.optional(typ),
		Subject: s.optional(f.subject),
		Time:    parseInstant(s.optional(cmp.Or(f.time, f.eventTime))),

		Synthetic: s.optional(f.synthetic) == "true",
	}
	switch {
	case f.data != (span{}):
		e.Data = s.bytes(f.data)
	case f.base64 != (span{}):
		e.Data = decodeBase64(s.optional(f.base64))
	}
	reason, what = incomplete(&e)
	return e, reason, what
}

// optional is the text of a member that may be missing.
func (s *scanner) optional(v span) string {
	if v == (span{}) {
		return ""
	}
	return s.scalar(v)
}

// incomplete names the first attribute without which an event has no identity.
func incomplete(e *Envelope) (reason, what string) {
	switch {
	case e.ID == "" && e.Type == "" && e.Source == "":
		return ReasonNotEvent, "an object without id, type and source is no event of the Event Grid schema, CloudEvents or Azure Monitor"
	case e.ID == "":
		return ReasonMissingID, "the event has no id"
	case e.Type == "":
		return ReasonMissingType, "the event has neither type (CloudEvents) nor eventType (Event Grid schema)"
	case e.Source == "":
		return ReasonMissingSource, "the event has neither source (CloudEvents) nor topic (Event Grid schema)"
	}
	return "", ""
}

// decodeBase64 is the payload of data_base64: JSON where it is JSON. Text that
// is no base64 is kept as a JSON string.
func decodeBase64(text string) []byte {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(text); err == nil {
			return asJSON(b)
		}
	}
	return appendQuoted(nil, text)
}

package event

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// binaryEnvelope reads the ce- headers of CloudEvents' binary mode and reports
// whether the attributes that identify an event are all there.
func binaryEnvelope(header func(string) string) (e Envelope, complete bool) {
	if header == nil || header("ce-id") == "" {
		return Envelope{}, false
	}
	attribute := func(name string) string { return headerText(header("ce-" + name)) }
	e = Envelope{
		ID:      attribute("id"),
		Source:  attribute("source"),
		Type:    attribute("type"),
		Subject: attribute("subject"),
		Time:    parseInstant(attribute("time")),
	}
	missing, _ := incomplete(&e)
	return e, missing == ""
}

// headerText undoes the percent-encoding that the HTTP binding of CloudEvents
// prescribes; a value that is not encoded stays as it is.
func headerText(v string) string {
	if t, err := url.PathUnescape(v); err == nil {
		v = t
	}
	return strings.ToValidUTF8(v, "\ufffd")
}

// saysStructured reports whether the content type claims that the whole event
// is in the body, where the ce- headers would not count.
func saysStructured(contentType string) bool {
	const prefix = "application/cloudevents"
	contentType = strings.TrimSpace(contentType)
	return len(contentType) >= len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix)
}

func binaryItem(e Envelope, body []byte) Item {
	e.Data = asJSON(body)
	return Item{Envelope: e, Raw: body}
}

// asJSON makes JSON of any payload: JSON stays as it is, text becomes a
// string, other bytes an object with one member, data_base64. Nothing and
// null are no payload. JSON that nests too deep to stand in an event counts as
// text.
func asJSON(b []byte) []byte {
	text := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	if !utf8.Valid(text) {
		out := append(make([]byte, 0, len(b)*4/3+24), `{"data_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(out, b), `"}`...)
	}
	s := newScanner(text)
	if s.value(1); s.fault == sound && s.pos == len(text) {
		return text
	}
	return appendQuoted(nil, string(b))
}

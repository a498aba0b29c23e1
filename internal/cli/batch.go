package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Bounds of one request to the subscriber. They are Event Grid's own: at most
// 5,000 events and 1,024 KB in a batch.
const (
	maxBatchEvents = 5000
	maxBatchBytes  = 1 << 20
	// maxEventBytes bounds one event: more than this no server takes.
	maxEventBytes = 16 << 20
)

// schema is the shape of an event's envelope.
type schema int

const (
	otherSchema schema = iota
	eventGridSchema
	cloudEvents
	handshakeSchema
)

const handshakeType = "Microsoft.EventGrid.SubscriptionValidationEvent"

// schemaOf looks at the keys that tell the schemas apart. What is none of
// them is for the server to judge.
func schemaOf(raw json.RawMessage) schema {
	var keys struct {
		SpecVersion json.RawMessage `json:"specversion"`
		EventType   json.RawMessage `json:"eventType"`
	}
	switch err := json.Unmarshal(raw, &keys); {
	case err != nil:
		return otherSchema
	case keys.SpecVersion != nil:
		return cloudEvents
	case strings.Contains(string(keys.EventType), handshakeType):
		return handshakeSchema
	case keys.EventType != nil:
		return eventGridSchema
	}
	return otherSchema
}

// batch is what one request carries: events of one schema.
type batch struct {
	schema schema
	events []json.RawMessage
	bytes  int
}

func (b *batch) add(raw json.RawMessage) {
	b.events = append(b.events, raw)
	b.bytes += len(raw) + 1
}

// fits tells whether the event may join the batch. A handshake stands alone,
// and so does an event that fills a batch by itself.
func (b *batch) fits(s schema, raw json.RawMessage) bool {
	return len(b.events) == 0 || s == b.schema && s != handshakeSchema &&
		len(b.events) < maxBatchEvents && b.bytes+len(raw)+1 < maxBatchBytes
}

// body is the batch as its schema wants it: CloudEvents has a media type for
// one event and one for many, Event Grid always sends an array.
func (b *batch) body() (body []byte, contentType string) {
	if b.schema == cloudEvents && len(b.events) == 1 {
		return b.events[0], "application/cloudevents+json; charset=utf-8"
	}
	contentType = "application/json; charset=utf-8"
	switch {
	case b.schema == cloudEvents:
		contentType = "application/cloudevents-batch+json; charset=utf-8"
	case b.schema == otherSchema && len(b.events) == 1:
		return b.events[0], contentType
	}
	body = make([]byte, 0, b.bytes+1)
	for i, e := range b.events {
		body = append(body, "[,"[min(i, 1)])
		body = append(body, e...)
	}
	return append(body, ']'), contentType
}

// batches cuts a stream of events into requests.
func batches(r io.Reader) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		b := &batch{}
		for raw, err := range readEvents(r) {
			if err != nil {
				yield(nil, err)
				return
			}
			s := schemaOf(raw)
			if !b.fits(s, raw) {
				if !yield(b, nil) {
					return
				}
				b = &batch{}
			}
			b.schema = s
			b.add(raw)
		}
		if len(b.events) > 0 {
			yield(b, nil)
		}
	}
}

// errLargeEvent means that there was no end to one event.
var errLargeEvent = fmt.Errorf("an event is larger than %d MiB", maxEventBytes>>20)

// readEvents yields the events of a file: an array of objects, or values one
// after another (JSON lines), each an object or an array of them. An array
// at the beginning is streamed, whatever its length.
func readEvents(r io.Reader) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		buffered := bufio.NewReader(r)
		array := beginsArray(buffered)
		e := &eventReader{ration: ration{r: buffered, left: maxEventBytes}}
		e.dec = json.NewDecoder(&e.ration)
		err := error(nil)
		if array {
			_, err = e.dec.Token()
		}
		for err == nil {
			var raw json.RawMessage
			if raw, err = e.next(&array); err == nil && !e.yield(raw, yield) {
				return
			}
		}
		if !errors.Is(err, io.EOF) || array {
			yield(nil, e.explain(err))
		}
	}
}

// beginsArray takes off a byte order mark and white space, and looks at what
// comes first.
func beginsArray(r *bufio.Reader) bool {
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = r.Discard(3)
	}
	for {
		c, err := r.Peek(1)
		switch {
		case err != nil:
			return false
		case bytes.ContainsAny(c, " \t\r\n"):
			_, _ = r.Discard(1)
		default:
			return c[0] == '['
		}
	}
}

// eventReader decodes values and counts them.
type eventReader struct {
	ration ration
	dec    *json.Decoder
	count  int
}

// next reads one value. array is whether the decoder is inside the array
// that the file began with.
func (e *eventReader) next(array *bool) (raw json.RawMessage, err error) {
	if *array && !e.dec.More() {
		if _, err := e.dec.Token(); err != nil {
			return nil, err
		}
		*array = false
	}
	e.ration.left = maxEventBytes
	err = e.dec.Decode(&raw)
	return raw, err
}

// yield passes a value on; an array as its elements.
func (e *eventReader) yield(raw json.RawMessage, yield func(json.RawMessage, error) bool) bool {
	var elements []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
		elements = []json.RawMessage{raw}
	}
	for _, one := range elements {
		e.count++
		if !yield(one, nil) {
			return false
		}
	}
	return true
}

func (e *eventReader) explain(err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("the array has no end")
	}
	return fmt.Errorf("event %d, after byte %d: %w", e.count+1, e.dec.InputOffset(), err)
}

// ration is a reader that gives at most `left` bytes, which its user renews
// for each event: no event makes the decoder collect a whole file.
type ration struct {
	r    io.Reader
	left int
}

func (r *ration) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLargeEvent
	}
	n, err := r.r.Read(b[:min(len(b), r.left)])
	r.left -= n
	return n, err
}

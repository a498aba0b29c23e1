package eventgrid

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Schema is the shape in which events travel, by the names that Azure
// Resource Manager gives them.
type Schema string

// The schemas. The custom input schema is not simulated.
const (
	EventGrid   Schema = "EventGridSchema"
	CloudEvents Schema = "CloudEventSchemaV1_0"
)

// Event is one event, whatever schema it came in or goes out in.
type Event struct {
	// ID, Source, Subject and Type are CloudEvents' attributes. In the Event
	// Grid schema Source is called topic and Type eventType.
	ID, Source, Subject, Type string
	// Time is eventTime in the Event Grid schema; zero leaves it out.
	Time time.Time
	// Data is the payload, any JSON; nil leaves it out.
	Data json.RawMessage
	// DataVersion exists in the Event Grid schema only.
	DataVersion string
	// Attributes are CloudEvents' other attributes by name: datacontenttype,
	// dataschema, data_base64 and extensions.
	Attributes map[string]json.RawMessage
}

// errNotEvent wraps what is wrong with an event that somebody published.
var errNotEvent = errors.New("not a valid event")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNotEvent, fmt.Sprintf(format, args...))
}

// render writes the event in a schema, without white space.
func (e Event) render(schema Schema) json.RawMessage {
	m := map[string]any{"id": e.ID, "subject": e.Subject}
	if schema == EventGrid {
		m["topic"], m["eventType"] = e.Source, e.Type
		m["eventTime"], m["metadataVersion"], m["dataVersion"] = e.Time.UTC().Format(time.RFC3339Nano), "1", e.DataVersion
		m["data"] = e.Data
		return encode(m)
	}
	m["specversion"], m["source"], m["type"] = "1.0", e.Source, e.Type
	if e.Subject == "" {
		delete(m, "subject")
	}
	if !e.Time.IsZero() {
		m["time"] = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if e.Data != nil {
		m["data"] = e.Data
	}
	for name, value := range e.Attributes {
		m[name] = value
	}
	return encode(m)
}

// encode is json.Marshal that leaves <, > and & as they are. What it is given
// here can always be encoded.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("eventgrid: encode: %v", err))
	}
	return bytes.TrimSpace(b.Bytes())
}

// decodeGrid reads an array of the Event Grid schema. The service wants an
// array even for one event.
func decodeGrid(body []byte) ([]Event, error) {
	var elements []struct {
		ID, Topic, Subject, EventType, DataVersion string
		EventTime                                  *time.Time
		Data                                       json.RawMessage
	}
	if err := json.Unmarshal(body, &elements); err != nil {
		return nil, invalid("the body must be an array of the Event Grid schema: %v", err)
	}
	events := make([]Event, 0, len(elements))
	for i, g := range elements {
		switch {
		case g.ID == "":
			return nil, invalid("element %d: id must be a non-empty string", i)
		case g.Subject == "":
			return nil, invalid("element %d: subject must be a non-empty string", i)
		case g.EventType == "":
			return nil, invalid("element %d: eventType must be a non-empty string", i)
		case g.EventTime == nil:
			return nil, invalid("element %d: eventTime is missing", i)
		}
		events = append(events, Event{ID: g.ID, Source: g.Topic, Subject: g.Subject, Type: g.EventType,
			Time: *g.EventTime, Data: g.Data, DataVersion: g.DataVersion})
	}
	return events, nil
}

// decodeCloud reads a request of CloudEvents' HTTP binding: structured,
// batched or binary, as its content type says.
func decodeCloud(header http.Header, body []byte) ([]Event, error) {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return nil, invalid("the content type is missing or malformed")
	}
	var elements []json.RawMessage
	switch mediaType {
	case "application/cloudevents+json":
		elements = []json.RawMessage{body}
	case "application/cloudevents-batch+json":
		if err := json.Unmarshal(body, &elements); err != nil {
			return nil, invalid("the body is not a batch of CloudEvents: %v", err)
		}
	default:
		return decodeBinary(header, body)
	}
	events := make([]Event, 0, len(elements))
	for _, raw := range elements {
		e, err := decodeStructured(raw)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// decodeStructured reads one CloudEvent in JSON, attributes by their exact
// names.
func decodeStructured(raw []byte) (Event, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return Event{}, invalid("not a JSON object: %v", err)
	}
	var e Event
	var version, at string
	for name, slot := range map[string]*string{
		"specversion": &version, "id": &e.ID, "source": &e.Source, "type": &e.Type, "subject": &e.Subject, "time": &at,
	} {
		value, ok := m[name]
		delete(m, name)
		if ok && json.Unmarshal(value, slot) != nil {
			return Event{}, invalid("`%s` must be a string", name)
		}
	}
	e.Data = m["data"]
	delete(m, "data")
	if len(m) > 0 {
		e.Attributes = maps.Clone(m)
	}
	return e, e.complete(version, at)
}

// decodeBinary reads an event whose attributes are ce- headers.
func decodeBinary(header http.Header, body []byte) ([]Event, error) {
	e := Event{ID: header.Get("ce-id"), Source: header.Get("ce-source"), Type: header.Get("ce-type"), Subject: header.Get("ce-subject")}
	for name, values := range header {
		name = strings.ToLower(name)
		extension, ok := strings.CutPrefix(name, "ce-")
		switch extension {
		case "id", "source", "type", "subject", "time", "specversion":
		default:
			if ok {
				e.attribute(extension, values[0])
			}
		}
	}
	contentType := header.Get("Content-Type")
	e.attribute("datacontenttype", contentType)
	isJSON := strings.HasPrefix(contentType, "application/json") || strings.Contains(contentType, "+json")
	switch {
	case len(body) == 0:
	case isJSON && !json.Valid(body):
		return nil, invalid("the body is not JSON, as its content type says")
	case isJSON:
		e.Data = body
	case strings.HasPrefix(contentType, "text/") && utf8.Valid(body):
		e.Data = encode(string(body))
	default:
		e.attribute("data_base64", base64.StdEncoding.EncodeToString(body))
	}
	return []Event{e}, e.complete(header.Get("ce-specversion"), header.Get("ce-time"))
}

func (e *Event) attribute(name, value string) {
	if e.Attributes == nil {
		e.Attributes = make(map[string]json.RawMessage)
	}
	e.Attributes[name] = encode(value)
}

// complete checks what CloudEvents requires and reads the time.
func (e *Event) complete(version, at string) error {
	switch {
	case version != "1.0":
		return invalid("`specversion` must be 1.0")
	case e.ID == "":
		return invalid("`id` must be non-empty string")
	case e.Source == "":
		return invalid("`source` must be non-empty string")
	case e.Type == "":
		return invalid("`type` must be non-empty string")
	}
	if at == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return invalid("`time` must be an RFC 3339 time")
	}
	e.Time = t
	return nil
}

package servicebus

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// viaServiceBus is the way in of a message that somebody else, such as Event
// Grid, put straight into the queue.
const viaServiceBus = "servicebus"

// Bounds of the properties that are kept of foreign messages; the contract of
// lineage.Message.
const (
	maxProperties    = 32
	maxPropertyBytes = 16 << 10
)

// received is what a message of the broker says.
type received struct {
	message lineage.Message
	// before counts deliveries of earlier copies, deliveries those of this
	// one, the current one included.
	before, deliveries int
	enqueued           time.Time
	// meta are the reserved properties and the broker's own two.
	meta map[string]string
}

// read understands a message, ours or anybody's.
func read(m *azservicebus.ReceivedMessage) received {
	r := received{meta: map[string]string{}, deliveries: 1}
	properties := map[string]string{}
	for k, v := range m.ApplicationProperties {
		name, known := unescapeName(k)
		if known {
			r.meta[name] = text(v)
		} else {
			properties[name] = text(v)
		}
	}
	if h := m.RawAMQPMessage; h != nil && h.Header != nil {
		r.deliveries = int(h.Header.DeliveryCount) + 1
	}
	r.message = lineage.Message{ID: r.id(m), Body: body(m), Properties: properties}
	if r.meta[propFormat] == "" {
		r.foreign(m)
	}
	if r.meta[propEncoding] == gzipped {
		if plain, err := unzip(r.message.Body); err == nil {
			r.message.Body = plain
		}
	}
	r.history(m)
	return r
}

// history finds out what was before. The attempts of a message that carries
// a dead letter's reason are over: somebody sent it again by hand, as the
// portal's explorer does. (A dead letter's own count is in propDeadAttempt.)
func (r *received) history(m *azservicebus.ReceivedMessage) {
	if _, resent := r.meta[brokerReason]; !resent {
		r.before, _ = strconv.Atoi(r.meta[propAttempt])
	}
	r.enqueued, _ = time.Parse(time.RFC3339Nano, r.meta[propEnqueued])
	if r.enqueued.IsZero() && m.EnqueuedTime != nil {
		r.enqueued = m.EnqueuedTime.UTC()
	}
}

// id is the message's own id where it is known, else the broker's, which may
// be of any of AMQP's types.
func (r *received) id(m *azservicebus.ReceivedMessage) string {
	if id, ok := r.meta[propID]; ok {
		return id
	}
	if raw := m.RawAMQPMessage; m.MessageID == "" && raw != nil && raw.Properties != nil {
		return text(raw.Properties.MessageID)
	}
	return m.MessageID
}

// foreign adds what our own messages say by themselves, and keeps to the
// contract's bounds.
func (r *received) foreign(m *azservicebus.ReceivedMessage) {
	p := r.message.Properties
	if m.ContentType != nil && p[lineage.PropContentType] == "" {
		p[lineage.PropContentType] = *m.ContentType
	}
	if p[lineage.PropVia] == "" {
		p[lineage.PropVia] = viaServiceBus
	}
	size := 0
	for i, name := range slices.SortedFunc(maps.Keys(p), byImportance) {
		if n := len(name) + len(p[name]); i < maxProperties && size+n <= maxPropertyBytes {
			size += n
		} else {
			delete(p, name)
		}
	}
}

// byImportance puts the properties first that mean something to us.
func byImportance(a, b string) int {
	rank := func(name string) int {
		switch {
		case strings.HasPrefix(name, "mw-"):
			return 0
		case name == lineage.PropTraceParent, strings.HasPrefix(name, "aeg-"):
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
}

// unescapeName is the name that a property had when it was sent; meta says
// that it is not a property of the message's at all.
func unescapeName(name string) (real string, meta bool) {
	if escaped, ok := strings.CutPrefix(name, propEscaped); ok {
		if real, err := url.QueryUnescape(escaped); err == nil {
			return real, false
		}
	}
	return name, name == brokerReason || name == brokerDescription || strings.HasPrefix(name, reserved)
}

// body is the message's body, whichever of AMQP's three kinds it is: data as
// it is, in one piece; a text or bytes as a value too; anything else as JSON.
func body(m *azservicebus.ReceivedMessage) []byte {
	raw := m.RawAMQPMessage
	switch {
	case raw == nil:
		return m.Body
	case raw.Body.Value != nil:
		return valueBody(raw.Body.Value)
	case len(raw.Body.Sequence) > 0:
		return valueBody(slices.Concat(raw.Body.Sequence...))
	case len(raw.Body.Data) == 1:
		return raw.Body.Data[0]
	}
	return bytes.Join(raw.Body.Data, nil)
}

func valueBody(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []byte:
		return v
	}
	b, err := json.Marshal(jsonable(v))
	if err != nil {
		return []byte(text(v)) // such as a number that JSON lacks
	}
	return b
}

// jsonable turns AMQP's maps, whose keys may be anything, into JSON's.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[text(k)] = jsonable(e)
		}
		return m
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = jsonable(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = jsonable(e)
		}
		return l
	}
	return v
}

// text writes an AMQP value.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return stamp(v)
	}
	return fmt.Sprint(v)
}

package servicebus

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// arrive makes of a sent message what a receiver sees, by way of AMQP's
// encoding of its properties.
func arrive(t *testing.T, m *azservicebus.Message) *azservicebus.ReceivedMessage {
	t.Helper()
	wire, err := (&amqp.Message{ApplicationProperties: m.ApplicationProperties, Data: [][]byte{m.Body}}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back amqp.Message
	if err := back.UnmarshalBinary(wire); err != nil {
		t.Fatal(err)
	}
	return &azservicebus.ReceivedMessage{
		ApplicationProperties: back.ApplicationProperties, MessageID: *m.MessageID,
		RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{
			Body:   azservicebus.AMQPAnnotatedMessageBody{Data: back.Data},
			Header: &azservicebus.AMQPAnnotatedMessageHeader{DeliveryCount: 2},
		},
	}
}

func TestMessagesSurvive(t *testing.T) {
	survives := func(id string, body []byte, names, values []string, zipped bool) bool {
		m := lineage.Message{ID: id, Body: body, Properties: map[string]string{}}
		for i, name := range names {
			m.Properties[name] = values[i%max(1, len(values))]
		}
		encoding := ""
		if zipped {
			body, encoding = zip(body), gzipped
		}
		got := read(arrive(t, fresh(m).encode(body, encoding)))
		ok := got.message.ID == id && bytes.Equal(got.message.Body, m.Body) && maps.Equal(got.message.Properties, m.Properties)
		if !ok {
			t.Logf("sent %+v, got %+v", m, got.message)
		}
		return ok
	}
	hostile := []string{"", "k", reserved, propID, propFormat, propEscaped, propEscaped + "%zz", brokerReason, brokerDescription, "\xff", "ü", "a b&c=%"}
	for _, id := range append(hostile, strings.Repeat("x", 129), strings.Repeat("ü", 80)) {
		for _, zipped := range []bool{false, true} {
			if !survives(id, []byte("\x00\xff"), hostile, hostile[1:], zipped) {
				t.Errorf("a message with the id %q does not survive", id)
			}
		}
	}
	if err := quick.Check(func(id string, body []byte, names []string, value string, zipped bool) bool {
		return survives(id, body, names, []string{value, "\xfe" + value}, zipped)
	}, nil); err != nil {
		t.Error(err)
	}
}

func TestBrokerIDs(t *testing.T) {
	for _, id := range []string{"", "a", "\xff", strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("ü", 64)} {
		for _, suffix := range []string{"", "~1z", "~replay-1y2p0ij32e8e7"} {
			got := brokerID(id, suffix)
			if got == "" || len(got) > maxBrokerID || !utf8.ValidString(got) || !strings.HasSuffix(got, suffix) {
				t.Errorf("%q with %q became %q", id, suffix, got)
			}
			if again := brokerID(id, suffix); id+suffix != "" && again != got {
				t.Errorf("%q with %q is %q once and %q the next time", id, suffix, got, again)
			}
		}
	}
	if one, other := brokerID("", ""), brokerID("", ""); one == other {
		t.Error("two messages without a name have the same id: a queue that detects duplicates drops one")
	}
	at := time.Unix(1, 0)
	wake := func(at time.Time) string { return fresh(lineage.Message{ID: "wake", NotBefore: at}).id }
	if first, again := wake(at), wake(at); first != again || first == wake(at.Add(time.Millisecond)) || first == wake(time.Time{}) {
		t.Error("a wake-up's id must be the same for the same time and only then")
	}
}

func TestDueIsNeverEarly(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, past := range []time.Duration{0, 1, time.Millisecond, time.Second - 1} {
		o := outgoing{message: lineage.Message{NotBefore: start.Add(past)}}
		if late := o.due().Sub(o.message.NotBefore); late < 0 || late >= time.Second {
			t.Errorf("%v past the second: due %v late", past, late)
		}
	}
	if due := (outgoing{}).due(); !due.IsZero() {
		t.Errorf("a message for now is due %v", due)
	}
}

func TestForeignProperties(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &azservicebus.ReceivedMessage{
		MessageID: "m", ContentType: to.Ptr("application/json"),
		ApplicationProperties: map[string]any{
			"aeg-delivery-count": int32(3), "b": true, "f": 1.5, "u": uint64(math.MaxUint64), "t": at,
			"y": []byte("bytes"), "n": nil, "id": amqp.UUID{1}, "s": "text",
		},
	}
	want := map[string]string{
		"aeg-delivery-count": "3", "b": "true", "f": "1.5", "u": "18446744073709551615", "t": "2026-01-02T03:04:05Z",
		"y": "bytes", "n": "", "id": "01000000-0000-0000-0000-000000000000", "s": "text",
		lineage.PropContentType: "application/json", lineage.PropVia: "servicebus",
	}
	if got := read(m).message.Properties; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	m.ApplicationProperties = map[string]any{lineage.PropVia: "bridge", lineage.PropContentType: "text/plain"}
	if got := read(m).message.Properties; got[lineage.PropVia] != "bridge" || got[lineage.PropContentType] != "text/plain" {
		t.Errorf("what the sender said was overwritten: %v", got)
	}
}

func TestForeignPropertiesAreBounded(t *testing.T) {
	m := &azservicebus.ReceivedMessage{ApplicationProperties: map[string]any{
		"a-large": strings.Repeat("x", maxPropertyBytes), "mw-kind": "event", "aeg-subscription-name": "s", "traceparent": "00-1",
	}}
	for i := range 100 {
		m.ApplicationProperties[fmt.Sprintf("p%03d", i)] = strings.Repeat("v", 700)
	}
	got := read(m).message.Properties
	size := 0
	for k, v := range got {
		size += len(k) + len(v)
	}
	if len(got) > maxProperties || size > maxPropertyBytes || len(got) < 20 {
		t.Errorf("%d properties of %d bytes were kept", len(got), size)
	}
	for _, name := range []string{"mw-kind", "mw-via", "aeg-subscription-name", "traceparent"} {
		if got[name] == "" {
			t.Errorf("%s was dropped", name)
		}
	}
}

func TestForeignBodies(t *testing.T) {
	for name, c := range map[string]struct {
		body azservicebus.AMQPAnnotatedMessageBody
		want string
	}{
		"data":           {azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("a")}}, "a"},
		"two data":       {azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("a"), []byte("b")}}, "ab"},
		"nothing":        {azservicebus.AMQPAnnotatedMessageBody{}, ""},
		"a text":         {azservicebus.AMQPAnnotatedMessageBody{Value: `{"a":1}`}, `{"a":1}`},
		"bytes":          {azservicebus.AMQPAnnotatedMessageBody{Value: []byte("a\xff")}, "a\xff"},
		"a number":       {azservicebus.AMQPAnnotatedMessageBody{Value: int64(7)}, "7"},
		"no JSON number": {azservicebus.AMQPAnnotatedMessageBody{Value: math.Inf(1)}, "+Inf"},
		"a map":          {azservicebus.AMQPAnnotatedMessageBody{Value: map[any]any{"a": map[string]any{"b": []any{true, map[any]any{1: 2}}}}}, `{"a":{"b":[true,{"1":2}]}}`},
		"a sequence":     {azservicebus.AMQPAnnotatedMessageBody{Sequence: [][]any{{"a", 1}, {map[any]any{"k": "v"}}}}, `["a",1,{"k":"v"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			m := &azservicebus.ReceivedMessage{RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{Body: c.body}}
			if got := string(read(m).message.Body); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestForeignIDs(t *testing.T) {
	for want, id := range map[string]any{"7": uint64(7), "bytes": []byte("bytes"), "01000000-0000-0000-0000-000000000000": amqp.UUID{1}, "": nil} {
		m := &azservicebus.ReceivedMessage{RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: id},
		}}
		if got := read(m).message.ID; got != want {
			t.Errorf("the id %v is read as %q", id, got)
		}
	}
}

// A message that says it is compressed and is not, or is a bomb, comes as it
// is: nothing that was accepted may be lost.
func TestBadCompression(t *testing.T) {
	for name, body := range map[string][]byte{
		"no gzip":   []byte("plain"),
		"cut short": zip(bytes.Repeat([]byte("x"), 1000))[:20],
		"a bomb":    zip(make([]byte, maxUnzipped+1)),
	} {
		m := arrive(t, outgoing{id: "m"}.encode(body, gzipped))
		if got := read(m).message.Body; !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes became %d", name, len(body), len(got))
		}
	}
}

func TestHistory(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	m := arrive(t, outgoing{message: lineage.Message{ID: "m"}, id: "m~1", attempt: 4, enqueued: first}.encode(nil, ""))
	if r := read(m); r.message.ID != "m" || r.before != 4 || r.deliveries != 3 || !r.enqueued.Equal(first) {
		t.Errorf("a copy reads as %+v", r)
	}
	m.ApplicationProperties[brokerReason] = "x"
	if r := read(m); r.before != 0 {
		t.Errorf("a dead letter that was sent again by hand begins with %d attempts", r.before)
	}
	later := first.Add(time.Hour)
	m = &azservicebus.ReceivedMessage{EnqueuedTime: &later}
	if r := read(m); r.before != 0 || r.deliveries != 1 || !r.enqueued.Equal(later) {
		t.Errorf("a message without a header reads as %+v", r)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abcd", "abcü": "abc", "\xff": "\uFFFD"} {
		if got := clip(in, 4); got != want {
			t.Errorf("%q is clipped to %q, want %q", in, got, want)
		}
	}
}

func TestISODuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"PT1M": time.Minute, "PT30S": 30 * time.Second, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond} {
		if got, ok := isoDuration(&in); !ok || got != want {
			t.Errorf("%s is %v, %v", in, got, ok)
		}
	}
	if _, ok := isoDuration(to.Ptr("a minute")); ok {
		t.Error("nonsense was read")
	}
}

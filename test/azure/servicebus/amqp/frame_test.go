package amqp_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// performatives have every field set.
func performatives() []any {
	symbols := []amqp.Symbol{"a", "b"}
	m := amqp.Map{{Key: amqp.Symbol("k"), Value: "v"}}
	source := &amqp.Source{Address: "q", Durable: 1, ExpiryPolicy: "never", Timeout: 2, Dynamic: true, DynamicNodeProperties: m,
		DistributionMode: "move", Filter: m, DefaultOutcome: &amqp.Modified{DeliveryFailed: true}, Outcomes: symbols, Capabilities: symbols}
	target := &amqp.Target{Address: "q", Durable: 1, ExpiryPolicy: "never", Timeout: 2, Dynamic: true, DynamicNodeProperties: m, Capabilities: symbols}
	problem := &amqp.Error{Condition: "c", Description: "d", Info: m}
	return []any{
		&amqp.Open{ContainerID: "c", Hostname: "h", MaxFrameSize: new(uint32(512)), ChannelMax: new(uint16(0)), IdleTimeout: new(uint32(1)),
			OutgoingLocales: symbols, IncomingLocales: symbols, OfferedCapabilities: symbols, DesiredCapabilities: symbols, Properties: m},
		&amqp.Begin{RemoteChannel: new(uint16(0)), NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 3, HandleMax: new(uint32(4)),
			OfferedCapabilities: symbols, DesiredCapabilities: symbols, Properties: m},
		&amqp.Attach{Name: "n", Handle: 1, Role: true, SndSettleMode: new(uint8(0)), RcvSettleMode: 1, Source: source, Target: target,
			Unsettled: m, IncompleteUnsettled: true, InitialDeliveryCount: new(uint32(0)), MaxMessageSize: new(uint64(1)),
			OfferedCapabilities: symbols, DesiredCapabilities: symbols, Properties: m},
		&amqp.Attach{Name: "n", Target: &amqp.Coordinator{Capabilities: symbols}},
		&amqp.Flow{NextIncomingID: new(uint32(0)), IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3, Handle: new(uint32(0)),
			DeliveryCount: new(uint32(0)), LinkCredit: new(uint32(0)), Available: new(uint32(0)), Drain: true, Echo: true, Properties: m},
		&amqp.Transfer{Handle: 1, DeliveryID: new(uint32(0)), DeliveryTag: []byte("t"), MessageFormat: new(uint32(0)), Settled: new(false),
			More: true, RcvSettleMode: new(uint8(1)), State: &amqp.Received{SectionNumber: 1, SectionOffset: 2}, Resume: true, Aborted: true, Batchable: true},
		&amqp.Disposition{Role: true, First: 1, Last: new(uint32(2)), Settled: true, State: &amqp.Rejected{Error: problem}, Batchable: true},
		&amqp.Disposition{State: &amqp.Modified{DeliveryFailed: true, UndeliverableHere: true, MessageAnnotations: m}},
		&amqp.Disposition{State: &amqp.Accepted{}},
		&amqp.Disposition{State: &amqp.Released{}},
		&amqp.Disposition{State: &amqp.Described{Descriptor: uint64(0x34), Value: amqp.List{}}}, // transactional, not ours
		&amqp.Detach{Handle: 1, Closed: true, Error: problem},
		&amqp.End{Error: problem}, &amqp.Close{Error: problem}, &amqp.End{}, &amqp.Close{},
		&amqp.SASLMechanisms{Mechanisms: symbols},
		&amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("x"), Hostname: "h"},
		&amqp.SASLOutcome{Code: 1, AdditionalData: []byte("x")}, &amqp.SASLOutcome{},
	}
}

func TestFramesRoundTrip(t *testing.T) {
	for _, p := range performatives() {
		frame := amqp.Frame{Type: amqp.FrameSASL, Channel: 513, Body: p, Payload: []byte("payload")}
		got, err := amqp.ReadFrame(bytes.NewReader(amqp.AppendFrame(nil, frame)), 1<<20)
		if err != nil || !reflect.DeepEqual(got, frame) {
			t.Errorf("%T: %+v, %v", p, got.Body, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for want, c := range map[string]any{
		"Accepted{}":                                   &amqp.Accepted{},
		"Detach{Handle:3 Closed:true}":                 &amqp.Detach{Handle: 3, Closed: true},
		"End{Error:Error{Condition:x:y}}":              &amqp.End{Error: &amqp.Error{Condition: "x:y"}},
		"Disposition{First:1 Last:2 State:Released{}}": &amqp.Disposition{First: 1, Last: new(uint32(2)), State: &amqp.Released{}},
		"<nil>": nil,
	} {
		if got := amqp.Format(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Other clients leave trailing fields out, use longer encodings and names for
// numbers.
func TestFramesOfOtherClients(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want any
	}{
		"heartbeat":           {"\x00\x00\x00\x08\x02\x00\x00\x00", nil},
		"extended header":     {"\x00\x00\x00\x10\x03\x00\x00\x00abcd\x00\x53\x18\x45", &amqp.Close{}},
		"long descriptor":     {"\x00\x00\x00\x13\x02\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x18\x45", &amqp.Close{}},
		"symbolic descriptor": {"\x00\x00\x00\x1a\x02\x00\x00\x00\x00\xa3\x0famqp:close:list\x45", &amqp.Close{}},
		"null fields":         {"\x00\x00\x00\x10\x02\x00\x00\x00\x00\x53\x16\xc0\x03\x02\x43\x40", &amqp.Detach{}},
		"single symbol":       {"\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x40\xc0\x04\x01\xa3\x01X", &amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"X"}}},
		"more fields":         {"\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x18\xc0\x04\x03\x40\x41\x42", &amqp.Close{}},
	} {
		in := []byte(c.in)
		in[3] = byte(len(in))
		got, err := amqp.ReadFrame(bytes.NewReader(in), 1<<20)
		if err != nil || !reflect.DeepEqual(got.Body, c.want) {
			t.Errorf("%s: %+v, %v", name, got.Body, err)
		}
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"too large":           "\x00\x01\x00\x00\x02\x00\x00\x00",
		"smaller than header": "\x00\x00\x00\x07\x02\x00\x00\x00",
		"offset too small":    "\x00\x00\x00\x08\x01\x00\x00\x00",
		"offset too large":    "\x00\x00\x00\x08\x03\x00\x00\x00",
		"body cut off":        "\x00\x00\x00\x0c\x02\x00\x00\x00\x00",
		"no performative":     "\x00\x00\x00\x09\x02\x00\x00\x00\x40\x40",
		"unknown":             "\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x99\x45",
		"no list":             "\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x18\x41",
		"wrong field":         "\x00\x00\x00\x0f\x02\x00\x00\x00\x00\x53\x16\xc0\x02\x01\x41",
		"number too large":    "\x00\x00\x00\x13\x02\x00\x00\x00\x00\x53\x44\xc0\x06\x01\x70\x00\x00\x01\x00",
	} {
		f, err := amqp.ReadFrame(bytes.NewReader([]byte(in)), 1024)
		if err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, err := amqp.ReadFrame(bytes.NewReader(nil), 1024); !errors.Is(err, io.EOF) {
		t.Errorf("end of input: %v", err)
	}
}

// message has all sections.
func message() *amqp.Message {
	return &amqp.Message{
		Header:              &amqp.Header{Durable: true, Priority: new(uint8(9)), TTL: new(uint32(1000)), FirstAcquirer: true, DeliveryCount: 3},
		DeliveryAnnotations: amqp.Map{{Key: amqp.Symbol("x-opt-d"), Value: int32(1)}},
		Annotations:         amqp.Map{{Key: amqp.Symbol("x-opt-m"), Value: int64(2)}},
		Properties: &amqp.Properties{MessageID: "id", UserID: []byte("u"), To: "to", Subject: new("s"), ReplyTo: "r", CorrelationID: uint64(5),
			ContentType: "ct", ContentEncoding: "ce", AbsoluteExpiryTime: time.UnixMilli(9).UTC(), CreationTime: time.UnixMilli(8).UTC(),
			GroupID: new("g"), GroupSequence: new(uint32(7)), ReplyToGroupID: new("rg")},
		ApplicationProperties: amqp.Map{{Key: "p", Value: "v"}},
		Body:                  amqp.DataBody([]byte("body")),
	}
}

func TestMessageRoundTrip(t *testing.T) {
	want := message()
	got, err := amqp.ParseMessage(want.Append(nil))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// go-amqp is a codec that was written by others: it reads what we write, and we
// read what it writes.
func TestMessageAgreesWithGoAMQP(t *testing.T) {
	var theirs goamqp.Message
	if err := theirs.UnmarshalBinary(message().Append(nil)); err != nil {
		t.Fatal(err)
	}
	if theirs.Header.DeliveryCount != 3 || theirs.Header.TTL != time.Second || theirs.Annotations["x-opt-m"] != int64(2) ||
		theirs.DeliveryAnnotations["x-opt-d"] != int32(1) || theirs.Properties.MessageID != "id" || *theirs.Properties.ContentType != "ct" ||
		!theirs.Properties.CreationTime.Equal(time.UnixMilli(8)) || theirs.ApplicationProperties["p"] != "v" || string(theirs.GetData()) != "body" {
		t.Errorf("go-amqp reads %+v", theirs)
	}
	encoded, err := theirs.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := amqp.ParseMessage(encoded)
	if err != nil || !reflect.DeepEqual(ours, message()) {
		t.Errorf("we read %+v, %v", ours, err)
	}
}

func TestSections(t *testing.T) {
	data := func(s string) []byte { return amqp.DataBody([]byte(s)) }
	footer := amqp.Append(nil, &amqp.Described{Descriptor: uint64(0x78), Value: amqp.Map{}})
	for name, c := range map[string]struct {
		body []byte
		want []any
	}{
		"none":  {nil, nil},
		"data":  {append(append(data("a"), data("b")...), footer...), []any{[]byte("a"), []byte("b")}},
		"value": {amqp.ValueBody("v"), []any{"v"}},
	} {
		m, err := amqp.ParseMessage(c.body)
		if err != nil || !reflect.DeepEqual(m.Sections(), c.want) {
			t.Errorf("%s: %v, %v", name, m.Sections(), err)
		}
	}
}

func TestParseMessageRefuses(t *testing.T) {
	section := func(code uint64, v any) []byte {
		return amqp.Append(nil, &amqp.Described{Descriptor: code, Value: v})
	}
	for name, in := range map[string][]byte{
		"rubbish":             {0xff},
		"a bare value":        amqp.Append(nil, "x"),
		"unknown section":     section(0x79, "x"),
		"unknown name":        amqp.Append(nil, &amqp.Described{Descriptor: amqp.Symbol("x:y"), Value: nil}),
		"header no list":      section(0x70, "x"),
		"annotations no map":  section(0x72, "x"),
		"properties no list":  section(0x73, amqp.Map{}),
		"section after body":  append(amqp.DataBody(nil), section(0x72, amqp.Map{})...),
		"value after body":    append(amqp.DataBody(nil), 0x40),
		"rubbish after body":  append(amqp.DataBody(nil), 0xff),
		"wrong property type": section(0x73, amqp.List{nil, "user-id is binary"}),
	} {
		if m, err := amqp.ParseMessage(in); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// No frame makes the reader fail other than by an error, and what it reads can
// be written.
func FuzzReadFrame(f *testing.F) {
	for _, p := range performatives() {
		f.Add(amqp.AppendFrame(nil, amqp.Frame{Body: p}))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := amqp.ReadFrame(bytes.NewReader(in), 1<<16)
		if err != nil {
			return
		}
		out := amqp.AppendFrame(nil, frame)
		again, err := amqp.ReadFrame(bytes.NewReader(out), 1<<20)
		if err != nil || !bytes.Equal(amqp.AppendFrame(nil, again), out) {
			t.Fatalf("%x became %x: %v", in, out, err)
		}
	})
}

// The same for messages, whose body stays byte for byte.
func FuzzParseMessage(f *testing.F) {
	f.Add(message().Append(nil))
	f.Add(amqp.ValueBody(amqp.Map{{Key: "k", Value: amqp.List{"v"}}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := amqp.ParseMessage(in)
		if err != nil {
			return
		}
		m.Sections()
		again, err := amqp.ParseMessage(m.Append(nil))
		if err != nil || !bytes.Equal(again.Body, m.Body) {
			t.Fatalf("%x: %v", in, err)
		}
	})
}

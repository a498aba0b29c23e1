package amqp_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// Every encoding of every type, by the tables of AMQP 1.0 part 1, 1.6.
func TestDecodeEveryEncoding(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want any
	}{
		"null":             {"\x40", nil},
		"true":             {"\x41", true},
		"false":            {"\x42", false},
		"boolean 1":        {"\x56\x01", true},
		"boolean 0":        {"\x56\x00", false},
		"ubyte":            {"\x50\xff", uint8(255)},
		"ushort":           {"\x60\x01\x02", uint16(0x102)},
		"uint":             {"\x70\x00\x00\x01\x00", uint32(256)},
		"smalluint":        {"\x52\xff", uint32(255)},
		"uint0":            {"\x43", uint32(0)},
		"ulong":            {"\x80\xff\xff\xff\xff\xff\xff\xff\xff", uint64(math.MaxUint64)},
		"smallulong":       {"\x53\x10", uint64(16)},
		"ulong0":           {"\x44", uint64(0)},
		"byte":             {"\x51\xff", int8(-1)},
		"short":            {"\x61\xff\xfe", int16(-2)},
		"int":              {"\x71\x80\x00\x00\x00", int32(math.MinInt32)},
		"smallint":         {"\x54\xff", int32(-1)},
		"long":             {"\x81\xff\xff\xff\xff\xff\xff\xff\xff", int64(-1)},
		"smalllong":        {"\x55\x80", int64(-128)},
		"float":            {"\x72\x3f\x80\x00\x00", float32(1)},
		"double":           {"\x82\x3f\xf0\x00\x00\x00\x00\x00\x00", float64(1)},
		"decimal32":        {"\x74abcd", amqp.Decimal("abcd")},
		"decimal64":        {"\x84abcdefgh", amqp.Decimal("abcdefgh")},
		"decimal128":       {"\x94abcdefghabcdefgh", amqp.Decimal("abcdefghabcdefgh")},
		"char":             {"\x73\x00\x01\xf6\x00", amqp.Char('😀')},
		"timestamp":        {"\x83\x00\x00\x00\x00\x00\x00\x03\xe8", time.Unix(1, 0).UTC()},
		"uuid":             {"\x98abcdefghabcdefgh", amqp.UUID([]byte("abcdefghabcdefgh"))},
		"vbin8":            {"\xa0\x02\x00\xff", []byte{0, 255}},
		"vbin32":           {"\xb0\x00\x00\x00\x01x", []byte("x")},
		"str8":             {"\xa1\x02hi", "hi"},
		"str32":            {"\xb1\x00\x00\x00\x02hi", "hi"},
		"sym8":             {"\xa3\x02hi", amqp.Symbol("hi")},
		"sym32":            {"\xb3\x00\x00\x00\x02hi", amqp.Symbol("hi")},
		"list0":            {"\x45", amqp.List{}},
		"list8":            {"\xc0\x03\x02\x41\x40", amqp.List{true, nil}},
		"list32":           {"\xd0\x00\x00\x00\x05\x00\x00\x00\x01\x43", amqp.List{uint32(0)}},
		"map8":             {"\xc1\x05\x02\xa1\x01k\x41", amqp.Map{{Key: "k", Value: true}}},
		"map32":            {"\xd1\x00\x00\x00\x08\x00\x00\x00\x02\xa3\x01k\x42", amqp.Map{{Key: amqp.Symbol("k"), Value: false}}},
		"array8":           {"\xe0\x06\x02\xa3\x01a\x01b", amqp.Array{amqp.Symbol("a"), amqp.Symbol("b")}},
		"array32":          {"\xf0\x00\x00\x00\x09\x00\x00\x00\x01\x70\x00\x00\x00\x07", amqp.Array{uint32(7)}},
		"empty array":      {"\xe0\x02\x00\x40", amqp.Array{}},
		"array of nothing": {"\xe0\x01\x00", amqp.Array{}},
		"array of true":    {"\xe0\x02\x03\x41", amqp.Array{true, true, true}},
		"array of described": {"\xe0\x07\x02\x00\x53\x24\x50\x05\x06", amqp.Array{
			&amqp.Described{Descriptor: uint64(0x24), Value: uint8(5)}, &amqp.Described{Descriptor: uint64(0x24), Value: uint8(6)}}},
		"described": {"\x00\x53\x24\x45", &amqp.Described{Descriptor: uint64(0x24), Value: amqp.List{}}},
	} {
		got, rest, err := amqp.Decode([]byte(c.in))
		if err != nil || len(rest) > 0 || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, %d left, %v; want %#v", name, got, len(rest), err, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                "",
		"unknown code":           "\x4f",
		"unknown fixed code":     "\x5f\x00",
		"unknown variable code":  "\xa2\x00",
		"unknown compound code":  "\xc3\x01\x00",
		"unknown array code":     "\xe1\x01\x00",
		"reserved code":          "\x10",
		"short number":           "\x70\x00",
		"short text":             "\xa1\x05hi",
		"huge text":              "\xb1\xff\xff\xff\xffhi",
		"list count too high":    "\xc0\x02\x09\x40",
		"list size too small":    "\xc0\x01\x01",
		"map without value":      "\xc1\x02\x01\x40",
		"array count too high":   "\xf0\x00\x00\x00\x05\x7f\xff\xff\xff\x41",
		"array without code":     "\xe0\x01\x01",
		"array too short":        "\xe0\x06\x02\x00\x53\x24\x50\x05",
		"described without rest": "\x00\x53\x24",
		"deep":                   strings.Repeat("\x00", 1000),
		"deep list":              nest(100),
	} {
		if v, _, err := amqp.Decode([]byte(in)); err == nil {
			t.Errorf("%s: decoded as %#v", name, v)
		}
	}
}

// nest wraps a list into n others.
func nest(n int) string {
	in := []byte{0x45}
	for range n {
		body := append([]byte{0, 0, 0, 1}, in...)
		in = append([]byte{0xd0, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	return string(in)
}

// values are one or more of each type.
func values() []any {
	long := strings.Repeat("x", 300)
	return []any{
		nil, true, false, uint8(1), uint16(2), uint32(0), uint32(3), uint32(300), uint64(0), uint64(4), uint64(1 << 40),
		int8(-1), int16(-2), int32(-3), int64(-4), float32(1.5), 2.5, amqp.Char('é'), amqp.Decimal("1234"), amqp.Decimal("12345678"),
		time.UnixMilli(-1).UTC(), time.UnixMilli(1 << 40).UTC(), amqp.UUID{1, 2}, []byte("b"), []byte(long), "s", long,
		amqp.Symbol("y"), amqp.Symbol(long), amqp.List{}, amqp.List{nil, amqp.List{"deep"}}, amqp.Map{}, amqp.Map{{Key: "k", Value: amqp.Map{}}},
		amqp.Array{}, amqp.Array{"a", long}, amqp.Array{true, false}, amqp.Array{amqp.List{"x"}, amqp.List{}},
		amqp.Array{amqp.Map{}, amqp.Map{{Key: uint32(1), Value: nil}}}, amqp.Array{amqp.Array{int64(1)}}, amqp.Array{uint32(0), uint32(1 << 20)},
		amqp.Array{uint64(0), uint64(1)}, amqp.Array{time.UnixMilli(5).UTC()}, amqp.Array{amqp.UUID{}}, amqp.Array{nil, nil},
		&amqp.Described{Descriptor: amqp.Symbol("a:b"), Value: "v"},
		amqp.Array{&amqp.Described{Descriptor: uint64(9), Value: "v"}, &amqp.Described{Descriptor: uint64(9), Value: "w"}},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, v := range values() {
		got, rest, err := amqp.Decode(append(amqp.Append(nil, v), "rest"...))
		if err != nil || string(rest) != "rest" || !reflect.DeepEqual(got, v) {
			t.Errorf("%#v came back as %#v, %q, %v", v, got, rest, err)
		}
	}
}

func TestAppendRefusesWhatIsNoValue(t *testing.T) {
	for _, v := range []any{struct{}{}, 1, amqp.Array{"a", 1}, amqp.List{make(chan int)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%#v was encoded", v)
				}
			}()
			amqp.Append(nil, v)
		}()
	}
}

func TestMap(t *testing.T) {
	var m amqp.Map
	m.Set(amqp.Symbol("a"), 1)
	m.Set("b", 2)
	m.Set("a", 3) // the key stays a symbol
	m.Set(uint32(1), "n")
	copied := m.Clone()
	copied.Set("a", 4)
	want := amqp.Map{{Key: amqp.Symbol("a"), Value: 3}, {Key: "b", Value: 2}, {Key: uint32(1), Value: "n"}}
	if !reflect.DeepEqual(m, want) || m.Get("a") != 3 || m.Get("c") != nil {
		t.Errorf("map %#v", m)
	}
}

func TestInt(t *testing.T) {
	for _, v := range []any{uint8(5), uint16(5), uint32(5), uint64(5), int8(5), int16(5), int32(5), int64(5)} {
		if n, ok := amqp.Int(v); n != 5 || !ok {
			t.Errorf("%T: %d, %v", v, n, ok)
		}
	}
	for _, v := range []any{nil, "5", 5.0, uint64(math.MaxUint64)} {
		if _, ok := amqp.Int(v); ok {
			t.Errorf("%T is an integer", v)
		}
	}
}

// What can be decoded can be encoded, and comes to the same value again.
func FuzzDecode(f *testing.F) {
	for _, v := range values() {
		f.Add(amqp.Append(nil, v))
	}
	f.Add([]byte("\xc0\x03\x02\x41\x40"))
	f.Add([]byte("\xe0\x06\x02\x00\x53\x24\x50\x05"))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, rest, err := amqp.Decode(in)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(in, rest) {
			t.Fatal("the rest is not the input's")
		}
		once := amqp.Append(nil, v)
		again, rest, err := amqp.Decode(once)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%x encodes to %x: %v", in, once, err)
		}
		if twice := amqp.Append(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%x, then %x", once, twice)
		}
	})
}

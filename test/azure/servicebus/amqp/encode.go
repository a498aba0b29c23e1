package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Format codes (AMQP 1.0 part 1, 1.6).
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBool       = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBinary8    = 0xa0
	codeString8    = 0xa1
	codeSymbol8    = 0xa3
	codeBinary32   = 0xb0
	codeString32   = 0xb1
	codeSymbol32   = 0xb3
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray32    = 0xf0
)

// Append encodes a value behind dst. It panics on a type that is not an AMQP
// value, and on an Array of mixed types: both are mistakes of the caller that
// no input can cause, since what Decode returns can be encoded.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, codeNull)
	case bool:
		if v {
			return append(dst, codeTrue)
		}
		return append(dst, codeFalse)
	case uint32:
		return appendUint(dst, v)
	case uint64:
		return appendUlong(dst, v)
	case List:
		return appendList(dst, v)
	case Map:
		return appendMap(dst, v)
	case Array:
		return appendArray(dst, v)
	case *Described:
		return Append(Append(append(dst, codeDescribed), v.Descriptor), v.Value)
	}
	code := arrayCode(v, compact)
	return appendRaw(append(dst, code), code, v)
}

// appendUint and appendUlong use the shortest form: peers compare descriptors
// and small numbers byte by byte more often than they should.
func appendUint(dst []byte, v uint32) []byte {
	switch {
	case v == 0:
		return append(dst, codeUint0)
	case v <= math.MaxUint8:
		return append(dst, codeSmallUint, byte(v))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeUint), v)
}

func appendUlong(dst []byte, v uint64) []byte {
	switch {
	case v == 0:
		return append(dst, codeUlong0)
	case v <= math.MaxUint8:
		return append(dst, codeSmallUlong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUlong), v)
}

// appendSized fills in size and count around what body appends.
func appendSized(dst []byte, code byte, count int, body func([]byte) []byte) []byte {
	dst = append(dst, code)
	return appendSizedBody(dst, count, body)
}

func appendSizedBody(dst []byte, count int, body func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(count))
	dst = body(dst)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

func appendList(dst []byte, v List) []byte {
	if len(v) == 0 {
		return append(dst, codeList0)
	}
	return appendSized(dst, codeList32, len(v), v.members)
}

func (v List) members(dst []byte) []byte {
	for _, e := range v {
		dst = Append(dst, e)
	}
	return dst
}

func appendMap(dst []byte, v Map) []byte {
	return appendSized(dst, codeMap32, 2*len(v), v.members)
}

func (m Map) members(dst []byte) []byte {
	for _, e := range m {
		dst = Append(Append(dst, e.Key), e.Value)
	}
	return dst
}

func appendArray(dst []byte, v Array) []byte {
	return appendSized(dst, codeArray32, len(v), v.members)
}

// members writes the constructor that all share, then each without one.
func (v Array) members(dst []byte) []byte {
	if len(v) == 0 {
		return append(dst, codeNull)
	}
	first := v[0]
	if d, ok := first.(*Described); ok {
		dst = Append(append(dst, codeDescribed), d.Descriptor)
		first = d.Value
	}
	code := arrayCode(first, wide)
	dst = append(dst, code)
	for _, e := range v {
		if d, ok := e.(*Described); ok {
			e = d.Value
		}
		if arrayCode(e, wide) != code {
			panic(fmt.Sprintf("amqp: an array of %T holds a %T", first, e))
		}
		dst = appendRaw(dst, code, e)
	}
	return dst
}

// Widths that arrayCode can choose: the shortest that fits the value, or the
// one that fits every value of its type.
const (
	compact = false
	wide    = true
)

// arrayCode is the format code for a value.
func arrayCode(v any, width bool) byte {
	switch v := v.(type) {
	case nil:
		return codeNull
	case bool:
		return codeBool
	case []byte:
		return variableCode(codeBinary8, len(v), width)
	case string:
		return variableCode(codeString8, len(v), width)
	case Symbol:
		return variableCode(codeSymbol8, len(v), width)
	case List:
		return codeList32
	case Map:
		return codeMap32
	case Array:
		return codeArray32
	case Decimal:
		return map[int]byte{4: codeDecimal32, 8: codeDecimal64, 16: codeDecimal128}[len(v)]
	}
	return numberCode(v)
}

// variableCode is the short code or, 16 above it, the wide one.
func variableCode(short byte, n int, width bool) byte {
	if width || n > math.MaxUint8 {
		return short + 0x10
	}
	return short
}

// numberCode is the full-width code of types that have a fixed length.
func numberCode(v any) byte {
	switch v.(type) {
	case uint8:
		return codeUbyte
	case int8:
		return codeByte
	case uint16:
		return codeUshort
	case int16:
		return codeShort
	case uint32:
		return codeUint
	case int32:
		return codeInt
	case uint64:
		return codeUlong
	case int64:
		return codeLong
	case float32:
		return codeFloat
	case float64:
		return codeDouble
	case Char:
		return codeChar
	case time.Time:
		return codeTimestamp
	case UUID:
		return codeUUID
	}
	panic(fmt.Sprintf("amqp: %T is not an AMQP value", v))
}

// appendRaw writes a value without its constructor.
func appendRaw(dst []byte, code byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return dst
	case bool:
		if v {
			return append(dst, 1)
		}
		return append(dst, 0)
	case []byte:
		return append(appendLength(dst, code, len(v)), v...)
	case string:
		return append(appendLength(dst, code, len(v)), v...)
	case Symbol:
		return append(appendLength(dst, code, len(v)), v...)
	case List:
		return appendSizedBody(dst, len(v), v.members)
	case Map:
		return appendSizedBody(dst, 2*len(v), v.members)
	case Array:
		return appendSizedBody(dst, len(v), v.members)
	}
	return appendNumber(dst, v)
}

func appendLength(dst []byte, code byte, n int) []byte {
	if code&0x10 == 0 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// appendNumber writes what has a fixed length.
func appendNumber(dst []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case uint8:
		return append(dst, v)
	case int8:
		return append(dst, byte(v))
	case uint16:
		return be.AppendUint16(dst, v)
	case int16:
		return be.AppendUint16(dst, uint16(v))
	case uint32:
		return be.AppendUint32(dst, v)
	case int32:
		return be.AppendUint32(dst, uint32(v))
	case uint64:
		return be.AppendUint64(dst, v)
	case int64:
		return be.AppendUint64(dst, uint64(v))
	case float32:
		return be.AppendUint32(dst, math.Float32bits(v))
	case float64:
		return be.AppendUint64(dst, math.Float64bits(v))
	case Char:
		return be.AppendUint32(dst, uint32(v))
	case time.Time:
		return be.AppendUint64(dst, uint64(v.UnixMilli()))
	case UUID:
		return append(dst, v[:]...)
	case Decimal:
		return append(dst, v...)
	}
	panic(fmt.Sprintf("amqp: %T is not an AMQP value", v))
}

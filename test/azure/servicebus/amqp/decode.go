package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// maxDepth bounds the nesting of values.
const maxDepth = 32

// maxFree bounds the elements of arrays whose members take no bytes at all
// (null, true, 0, the empty list).
const maxFree = 16

// ErrShort means that the input ends within a value.
var ErrShort = errors.New("amqp: input ends within a value")

// Decode reads one value from the front of b and returns what is behind it.
// Byte slices in the value share memory with b.
func Decode(b []byte) (v any, rest []byte, err error) {
	d := decoder{b: b}
	v, err = d.value(0)
	return v, d.b, err
}

// decoder consumes b.
type decoder struct{ b []byte }

// take cuts off n bytes.
func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.b) {
		return nil, ErrShort
	}
	head := d.b[:n:n]
	d.b = d.b[n:]
	return head, nil
}

// code reads a format code.
func (d *decoder) code() (byte, error) {
	head, err := d.take(1)
	if err != nil {
		return 0, err
	}
	return head[0], nil
}

// value reads a constructor and its value.
func (d *decoder) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("amqp: values nest too deeply")
	}
	code, err := d.code()
	if err != nil {
		return nil, err
	}
	if code == codeDescribed {
		return d.described(depth)
	}
	return d.coded(code, depth)
}

// described reads a descriptor and the value behind it.
func (d *decoder) described(depth int) (any, error) {
	descriptor, err := d.value(depth + 1)
	if err != nil {
		return nil, err
	}
	v, err := d.value(depth + 1)
	if err != nil {
		return nil, err
	}
	return &Described{Descriptor: descriptor, Value: v}, nil
}

// coded reads the value that a format code announces. The upper half of the
// code tells how long it is (AMQP 1.0 part 1, 1.2.1).
func (d *decoder) coded(code byte, depth int) (any, error) {
	switch code >> 4 {
	case 0x4:
		return decodeEmpty(code)
	case 0x5, 0x6, 0x7, 0x8, 0x9:
		raw, err := d.take(1 << (code>>4 - 5))
		if err != nil {
			return nil, err
		}
		return decodeFixed(code, raw)
	case 0xa, 0xb:
		raw, err := d.sized(code&0x10 != 0)
		if err != nil {
			return nil, err
		}
		return decodeVariable(code, raw)
	case 0xc, 0xd:
		return d.compound(code, depth)
	case 0xe, 0xf:
		return d.array(code, depth)
	}
	return nil, unknownCode(code)
}

func unknownCode(code byte) error { return fmt.Errorf("amqp: unknown format code %#02x", code) }

// length reads a size or a count of one or four bytes.
func (d *decoder) length(wide bool) (int, error) {
	if !wide {
		head, err := d.take(1)
		if err != nil {
			return 0, err
		}
		return int(head[0]), nil
	}
	head, err := d.take(4)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > math.MaxInt32 {
		return 0, ErrShort
	}
	return int(n), nil
}

// sized reads a length and as many bytes.
func (d *decoder) sized(wide bool) ([]byte, error) {
	n, err := d.length(wide)
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

// compound reads a list or a map.
func (d *decoder) compound(code byte, depth int) (any, error) {
	wide := code&0x10 != 0
	body, err := d.sized(wide)
	if err != nil {
		return nil, err
	}
	in := decoder{b: body}
	count, err := in.length(wide)
	if err != nil {
		return nil, err
	}
	if count > len(in.b) {
		return nil, ErrShort
	}
	switch code & 0xf {
	case 0:
		return in.list(count, depth)
	case 1:
		return in.mapping(count, depth)
	}
	return nil, unknownCode(code)
}

func (d *decoder) list(count, depth int) (any, error) {
	out := make(List, 0, count)
	for range count {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *decoder) mapping(count, depth int) (any, error) {
	if count%2 != 0 {
		return nil, errors.New("amqp: a map has a key without a value")
	}
	out := make(Map, 0, count/2)
	for range count / 2 {
		k, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, Entry{Key: k, Value: v})
	}
	return out, nil
}

// array reads values that share one constructor.
func (d *decoder) array(code byte, depth int) (any, error) {
	wide := code&0x10 != 0
	if code&0xf != 0 {
		return nil, unknownCode(code)
	}
	body, err := d.sized(wide)
	if err != nil {
		return nil, err
	}
	in := decoder{b: body}
	count, err := in.length(wide)
	if err != nil || count == 0 {
		return Array{}, err
	}
	return in.elements(count, depth)
}

// elements reads the constructor of an array and its members.
func (d *decoder) elements(count, depth int) (any, error) {
	var descriptor any
	code, err := d.code()
	if err == nil && code == codeDescribed {
		if descriptor, err = d.value(depth + 1); err == nil {
			code, err = d.code()
		}
	}
	if err != nil {
		return nil, err
	}
	if count > max(len(d.b), maxFree) {
		return nil, ErrShort
	}
	out := make(Array, 0, min(count, len(d.b)))
	for range count {
		v, err := d.element(code, descriptor, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// element reads one member of an array.
func (d *decoder) element(code byte, descriptor any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("amqp: values nest too deeply")
	}
	v, err := d.coded(code, depth)
	if err != nil || descriptor == nil {
		return v, err
	}
	return &Described{Descriptor: descriptor, Value: v}, nil
}

// decodeEmpty knows the codes that have no bytes behind them.
func decodeEmpty(code byte) (any, error) {
	switch code {
	case codeNull:
		return nil, nil
	case codeTrue:
		return true, nil
	case codeFalse:
		return false, nil
	case codeUint0:
		return uint32(0), nil
	case codeUlong0:
		return uint64(0), nil
	case codeList0:
		return List{}, nil
	}
	return nil, unknownCode(code)
}

// decodeFixed knows the codes with 1, 2, 4, 8 or 16 bytes.
func decodeFixed(code byte, raw []byte) (any, error) {
	switch code {
	case codeFloat:
		return math.Float32frombits(binary.BigEndian.Uint32(raw)), nil
	case codeDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(raw)), nil
	case codeChar:
		return Char(binary.BigEndian.Uint32(raw)), nil
	case codeTimestamp:
		return time.UnixMilli(int64(binary.BigEndian.Uint64(raw))).UTC(), nil
	case codeUUID:
		return UUID(raw), nil
	case codeDecimal32, codeDecimal64, codeDecimal128:
		return Decimal(raw), nil
	case codeBool:
		return raw[0] != 0, nil
	}
	return decodeInteger(code, raw)
}

// decodeInteger knows the whole numbers of all widths.
func decodeInteger(code byte, raw []byte) (any, error) {
	switch code {
	case codeUbyte:
		return raw[0], nil
	case codeByte:
		return int8(raw[0]), nil
	case codeSmallUint:
		return uint32(raw[0]), nil
	case codeSmallUlong:
		return uint64(raw[0]), nil
	case codeSmallInt:
		return int32(int8(raw[0])), nil
	case codeSmallLong:
		return int64(int8(raw[0])), nil
	case codeUshort:
		return binary.BigEndian.Uint16(raw), nil
	case codeShort:
		return int16(binary.BigEndian.Uint16(raw)), nil
	case codeUint:
		return binary.BigEndian.Uint32(raw), nil
	case codeInt:
		return int32(binary.BigEndian.Uint32(raw)), nil
	case codeUlong:
		return binary.BigEndian.Uint64(raw), nil
	case codeLong:
		return int64(binary.BigEndian.Uint64(raw)), nil
	}
	return nil, unknownCode(code)
}

// decodeVariable knows binaries, strings and symbols.
func decodeVariable(code byte, raw []byte) (any, error) {
	switch code & 0xf {
	case 0:
		return raw, nil
	case 1:
		return string(raw), nil
	case 3:
		return Symbol(raw), nil
	}
	return nil, unknownCode(code)
}

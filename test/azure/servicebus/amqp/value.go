package amqp

import (
	"fmt"
	"time"
)

// An AMQP value is an any that holds one of these Go types:
//
//	null                      nil
//	boolean                   bool
//	ubyte ushort uint ulong   uint8 uint16 uint32 uint64
//	byte short int long       int8 int16 int32 int64
//	float double              float32 float64
//	decimal32/64/128          Decimal
//	char                      Char
//	timestamp                 time.Time (whole milliseconds)
//	uuid                      UUID
//	binary string symbol      []byte string Symbol
//	list map array            List Map Array
//	described type            *Described
type (
	// Symbol is a name from a constrained domain.
	Symbol string
	// UUID is in RFC 4122 order.
	UUID [16]byte
	// Char is one Unicode character.
	Char rune
	// Decimal is an IEEE 754 decimal number of 4, 8 or 16 bytes, not interpreted.
	Decimal string
	// List holds values of any types.
	List []any
	// Array holds values of one type.
	Array []any
	// Map keeps its entries in order; keys may be of any type.
	Map []Entry
	// Entry is a key of a Map with its value.
	Entry struct{ Key, Value any }
	// Described is a value with a descriptor that says what it means.
	Described struct{ Descriptor, Value any }
)

// Get returns what stands under a key that is a string or a symbol, or nil.
func (m Map) Get(key string) any {
	for _, e := range m {
		if Text(e.Key) == key {
			return e.Value
		}
	}
	return nil
}

// Set puts a value under a key, in place if the key is there already.
func (m *Map) Set(key, value any) {
	for i, e := range *m {
		if isName(e.Key) && isName(key) && Text(e.Key) == Text(key) {
			(*m)[i].Value = value
			return
		}
	}
	*m = append(*m, Entry{Key: key, Value: value})
}

// Clone copies the entries, not what they refer to.
func (m Map) Clone() Map { return append(Map(nil), m...) }

func isName(v any) bool {
	switch v.(type) {
	case string, Symbol:
		return true
	}
	return false
}

// Text is the text of a string or symbol, and "" for anything else.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Symbol:
		return string(v)
	}
	return ""
}

// Int is the value of an integer of any width; ok is false for other types and
// for what an int64 can't hold.
func Int(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= 1<<63-1
	}
	return 0, false
}

// Elements are the members of a list or an array; a single value is taken for
// a list of itself, null for none.
func Elements(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case List:
		return v
	case Array:
		return v
	}
	return []any{v}
}

// FromGo turns a simple Go value, int and uint of the machine's size included,
// into an AMQP value. It is an error if there is no AMQP type for it.
func FromGo(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
		float32, float64, Decimal, Char, UUID, []byte, string, Symbol:
		return v, nil
	case time.Time:
		return v.UTC(), nil
	case int:
		return int64(v), nil
	case uint:
		return uint64(v), nil
	}
	return nil, fmt.Errorf("amqp: no AMQP type for %T", v)
}

package sql

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Undefined is the value of what is not there. All other values are those
// that encoding/json decodes into an any.
type Undefined struct{}

// rank orders values of different types, as ORDER BY does.
func rank(v any) int {
	switch v := v.(type) {
	case Undefined:
		return 0
	case nil:
		return 1
	case bool:
		if v {
			return 3
		}
		return 2
	case float64:
		return 4
	case string:
		return 5
	case []any:
		return 6
	default:
		return 7
	}
}

// Compare orders any two values: undefined, null, false, true, numbers,
// strings by code point, arrays, objects. Arrays and objects among
// themselves are not ordered.
func Compare(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case float64:
		return cmp.Compare(a, b.(float64))
	case string:
		return strings.Compare(a, b.(string)) // bytes of UTF-8 are ordered as code points
	}
	return 0
}

// comparable says whether two values can be compared by < and >.
func comparable(a, b any) bool {
	ra, rb := rank(a), rank(b)
	both := ra == rb || ra/2 == 1 && rb/2 == 1 // booleans have two ranks
	return both && ra >= 1 && ra <= 5
}

// equal compares deeply; it is undefined for values of different types.
func equal(a, b any) any {
	switch a := a.(type) {
	case []any:
		if b, ok := b.([]any); ok {
			return slices.EqualFunc(a, b, same)
		}
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return maps.EqualFunc(a, b, same)
		}
	default:
		if comparable(a, b) {
			return a == b
		}
	}
	return Undefined{}
}

func same(a, b any) bool { return equal(a, b) == true }

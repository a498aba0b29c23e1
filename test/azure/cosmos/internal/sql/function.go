package sql

import (
	"slices"
	"strings"
)

// function is one that a query may call; optional arguments come last.
type function struct {
	least, most int
	f           func(args []any) any
}

// functions by upper-case name.
var functions = map[string]function{
	"IS_DEFINED":     {1, 1, func(a []any) any { return a[0] != any(Undefined{}) }},
	"IS_NULL":        {1, 1, func(a []any) any { return a[0] == nil }},
	"STARTSWITH":     {2, 3, onStrings(strings.HasPrefix)},
	"ENDSWITH":       {2, 3, onStrings(strings.HasSuffix)},
	"CONTAINS":       {2, 3, onStrings(strings.Contains)},
	"ARRAY_CONTAINS": {2, 2, arrayContains},
}

// onStrings makes a function of two strings and, optionally, true for
// ignoring case.
func onStrings(test func(s, part string) bool) func([]any) any {
	return func(args []any) any {
		s, ok1 := args[0].(string)
		part, ok2 := args[1].(string)
		if !ok1 || !ok2 {
			return Undefined{}
		}
		if len(args) == 3 && args[2] == true {
			s, part = strings.ToLower(s), strings.ToLower(part)
		}
		return test(s, part)
	}
}

func arrayContains(args []any) any {
	list, ok := args[0].([]any)
	if !ok {
		return Undefined{}
	}
	return slices.ContainsFunc(list, func(v any) bool { return same(v, args[1]) })
}

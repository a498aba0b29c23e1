package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

var fieldCache sync.Map // reflect.Type → map[string][]int

// fieldsOf lists a struct's keys with their field indices, inline structs
// flattened.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fieldCache.Load(t); ok {
		return known.(map[string][]int)
	}
	out := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case slices.Contains(strings.Split(options, ","), "inline"):
			for inner, index := range fieldsOf(f.Type) {
				out[inner] = append([]int{i}, index...)
			}
		case name != "":
			out[name] = []int{i}
		}
	}
	fieldCache.Store(t, out)
	return out
}

// secretWords are keys under which people put what must not be in a file.
var secretWords = []string{
	"secret", "token", "password", "passwd", "key", "apikey", "accesskey", "privatekey",
	"credential", "credentials", "clientsecret", "connectionstring", "sharedsecret",
}

// unknownKey says what to do about a key that a struct does not have.
func unknownKey(name string, fields map[string][]int) string {
	known := make([]string, 0, len(fields))
	for f := range fields {
		known = append(known, f)
	}
	slices.Sort(known)
	if slices.Contains(secretWords, strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))) {
		if refs := secretRefs(known); len(refs) > 0 {
			return "a secret does not belong in this file: name where it is with " + strings.Join(refs, " or ")
		}
	}
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("unknown key: did you mean %s?", near)
	}
	if len(known) == 0 {
		return "unknown key: nothing can be set here, write {}"
	}
	return "unknown key: this can have " + strings.Join(known, ", ")
}

// secretRefs picks the keys that say where a secret is.
func secretRefs(known []string) []string {
	var out []string
	for _, k := range known {
		if strings.HasSuffix(k, "Env") || strings.HasSuffix(k, "File") {
			out = append(out, k)
		}
	}
	return out
}

// Nearest is the word a person most likely meant by name: the one with the
// fewest changed letters, "" when none is near.
func Nearest(name string, words []string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", max(len(name)/3, 1)+1
	for _, w := range words {
		if n := changes(strings.ToLower(name), strings.ToLower(w)); n < least {
			best, least = w, n
		}
	}
	return best
}

// changes counts the letters to insert, delete, replace or swap with their
// neighbour to get from a to b.
func changes(a, b string) int {
	older := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, last, row = last, row, older
	}
	return last[len(b)]
}

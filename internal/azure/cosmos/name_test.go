package cosmos

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// runes near every border that the escape has.
var borders = []rune{
	0, 1, 0x1f, ' ', '!', '"', '#', '$', '%', '&', '\'', '-', '.', '/', '0', '1', '9', ':', ';', '<', '=', '>', '?', '@', 'A', 'Z', '[', '\\', ']',
	'a', 'z', '{', '~', 0x7f, 0x80, 'é', 0x7ff, 0x800, 0x2026, 0x2027, 0x2028, 0x2029, 0x202a, 0xd7fa, 0xd7fb, 0xd7fc, 0xd7ff, 0xe000, 0xfffd, 0xffff,
	0x10000, 0x1f986, 0x10ffff,
}

var drawName = rapid.Custom(func(t *rapid.T) string {
	return string(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(borders), rapid.Rune()), 0, 12).Draw(t, "runes"))
})

// escapesWell checks all that is promised of two names.
func escapesWell(t interface{ Fatalf(string, ...any) }, a, b string) {
	x, y := escape(a), escape(b)
	if back, ok := unescape(x); !ok || back != a {
		t.Fatalf("%q became %q and came back as %q, %v", a, x, back, ok)
	}
	if escape(a+b) != x+y {
		t.Fatalf("%q and %q are not escaped rune by rune", a, b)
	}
	want := cmp.Compare(a, b)
	if got := cmp.Compare(x, y); got != want {
		t.Fatalf("by bytes %q and %q compare %d, escaped %d", a, b, want, got)
	}
	if got := slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y))); got != want {
		t.Fatalf("by bytes %q and %q compare %d, escaped by UTF-16 %d", a, b, want, got)
	}
	quoted, err := json.Marshal(x)
	if err != nil || string(quoted) != `"`+x+`"` || strings.ContainsAny(x, `/\?# `) {
		t.Fatalf("%q became %q, which is not safe in ids and JSON", a, x)
	}
}

func TestEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { escapesWell(t, drawName.Draw(t, "a"), drawName.Draw(t, "b")) })
	for _, a := range borders {
		for _, b := range borders {
			escapesWell(t, string(a), string(b))
			escapesWell(t, "x"+string(a)+"y", "x"+string(b))
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("event/2026-01-02T03:04:05Z", "event/2026-01-02T03:04:05.1Z")
	f.Add("~\x7f", "\ud7fb")
	f.Fuzz(func(t *testing.T, a, b string) {
		if utf8.ValidString(a) && utf8.ValidString(b) {
			escapesWell(t, a, b)
		}
	})
}

// FuzzUnescape: what is accepted is what escape makes, and nothing else.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"a.2b", "!", "!z", ".3", "\ud7fb0000", "\ud7fbZZZZ", "\ud7fb12", "/", "\xff", "~9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := unescape(s); ok && escape(name) != s {
			t.Errorf("%q was read as %q, which is escaped as %q", s, name, escape(name))
		}
	})
}

// TestBound compares names with any bytes as a bound.
func TestBound(t *testing.T) {
	bytes := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\x00/\x7f\x80\xbf\xc3\xed\x9f\xa0\xf4\x8f\xff"))), 0, 4))
	rapid.Check(t, func(t *rapid.T) {
		name := drawName.Draw(t, "name")
		b := name[:rapid.IntRange(0, len(name)).Draw(t, "cut")] + string(bytes.Draw(t, "bytes"))
		for _, s := range []string{name, drawName.Draw(t, "other")} {
			limit, ok := bound(b)
			if above := ok && escape(s) >= limit; above != (s >= b) {
				t.Fatalf("%q >= %q is %v, escaped with the bound %q, %v it is %v", s, b, s >= b, limit, ok, above)
			}
		}
	})
}

func TestNamesThatAreCut(t *testing.T) {
	long := strings.Repeat("/", 900)
	seen := map[string]bool{}
	for _, name := range []string{long, long[1:], long + "a", strings.Repeat("/", 600), strings.Repeat("\U0010ffff", 225), strings.Repeat("\uffff", 300)} {
		encoded, cut := encodeName(name)
		if !cut || len(encoded) > maxName || seen[encoded] || !utf8.ValidString(encoded) {
			t.Errorf("a name of %d bytes became %d bytes, cut %v", len(name), len(encoded), cut)
		}
		if _, ok := unescape(encoded); ok {
			t.Errorf("%q could be another name", encoded)
		}
		seen[encoded] = true
	}
	if encoded, cut := encodeName(strings.Repeat("/", 511)); cut || len(encoded) != 1022 {
		t.Errorf("a name that just fits is cut: %v, %d bytes", cut, len(encoded))
	}
}

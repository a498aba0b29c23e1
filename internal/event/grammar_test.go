package event

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// wellFormed is the scanner's verdict on one JSON text.
func wellFormed(text []byte) (bool, fault) {
	s := newScanner(text)
	s.value(0)
	s.space()
	return s.fault == sound && s.pos == len(text), s.fault
}

// FuzzGrammar holds the scanner against encoding/json: both accept the same
// texts, down to the depth that the scanner allows.
func FuzzGrammar(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+7,true,false,null,"\u00e9\"\\"]}`, `[]`, `{}`, `""`, ` 1 `, `01`, `1.`, `.5`, `-`, `1e`, `+1`,
		`{"a":1,}`, `[1,]`, `[,1]`, `{"a"}`, `{a:1}`, `"\x"`, `"\u12"`, "\"\n\"", `tru`, `nulll`, `{"a":1}}`, `"`, `"\`, "\"\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, fault := wellFormed(text)
		if want := json.Valid(text); got != want && fault != faultDepth {
			t.Fatalf("%q: %v, encoding/json says %v", text, got, want)
		}
	})
}

// FuzzUnescape holds unescape against encoding/json on every valid string.
func FuzzUnescape(f *testing.F) {
	f.Add(`"a\u00e9\ud83d\ude00\ud800x\n\/\\"`)
	f.Add(`"\udead\u0041\ud800\u0042"`)
	f.Fuzz(func(t *testing.T, text string) {
		var want string
		if !utf8.ValidString(text) || !strings.HasPrefix(text, `"`) || json.Unmarshal([]byte(text), &want) != nil {
			return
		}
		text = strings.TrimSpace(text)
		if got := unescape(text[1 : len(text)-1]); got != want {
			t.Fatalf("%s: %q, want %q", text, got, want)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	for depth, want := range map[int]fault{maxDepth: sound, maxDepth + 1: sound, maxDepth + 2: faultDepth, 1 << 20: faultDepth} {
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if _, got := wellFormed([]byte(text)); got != want {
			t.Errorf("depth %d: fault %d, want %d", depth, got, want)
		}
	}
}

func TestUnescapeKeepsWhatIsNoEscape(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: `plain`, `it\'s`: `it's`, `\x41\x`: `A\x`, `\q`: `\q`, `\`: `\`, `\u12`: `\u12`, `\ud83d`: "\ufffd", `a\\nb`: `a\nb`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

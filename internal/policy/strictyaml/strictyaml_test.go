package strictyaml_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

type inner struct {
	Name  string            `yaml:"name"`
	Count int               `yaml:"count"`
	Ratio float64           `yaml:"ratio"`
	On    *bool             `yaml:"on"`
	Tags  map[string]string `yaml:"tags"`
}

type outer struct {
	inner     `yaml:"-"`
	Common    `yaml:",inline"`
	Items     []inner           `yaml:"items"`
	Any       map[string]any    `yaml:"any"`
	TokenEnv  string            `yaml:"tokenEnv"`
	ByName    map[string]*inner `yaml:"byName"`
	Unchanged string
}

// Common is part of outer, inline.
type Common struct {
	Mode string `yaml:"mode"`
}

func decode(t testing.TB, text string) (outer, strictyaml.Problems) {
	t.Helper()
	doc, err := strictyaml.Parse("f.yaml", []byte(text))
	if err != nil {
		return outer{}, err.(strictyaml.Problems)
	}
	var o outer
	return o, doc.Decode(&o)
}

func TestDecode(t *testing.T) {
	doc, err := strictyaml.Parse("f.yaml", []byte(`
mode: x
items:
  - {name: "a", count: 0x10, ratio: 1, on: false, tags: {"1": one, true: two}}
  - &second {name: b, ratio: 1.5e3}
  - *second
any: {s: text, i: 3, f: 0.5, b: true, l: [1, [2]], m: {x: y}}
byName: {x: {count: -4}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var o outer
	if problems := doc.Decode(&o); len(problems) > 0 {
		t.Fatal(problems)
	}
	got := fmt.Sprintf("%s %+v %v %d", o.Mode, o.Items[1:], o.Any, o.ByName["x"].Count)
	want := "x [{Name:b Count:0 Ratio:1500 On:<nil> Tags:map[]} {Name:b Count:0 Ratio:1500 On:<nil> Tags:map[]}] map[b:true f:0.5 i:3 l:[1 [2]] m:map[x:y] s:text] -4"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if a := o.Items[0]; a.Count != 16 || *a.On || a.Tags["true"] != "two" || a.Tags["1"] != "one" {
		t.Errorf("read %+v", a)
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"mdoe: x":               "f.yaml:1:1: mdoe: unknown key: did you mean mode?",
		"mode: 3":               "f.yaml:1:7: mode: wants text, not a number: put it in quotes",
		"mode: [a]":             "f.yaml:1:7: mode: wants text, not a list",
		"mode:":                 "f.yaml:1:7: mode: is empty: give it a value or remove the key",
		"mode: ~":               "f.yaml:1:7: mode: is empty: give it a value or remove the key",
		"mode: !!str x":         "f.yaml:1:7: mode: tags such as !!str are not read: remove it",
		"mode: *nowhere":        "f.yaml:1:7: mode: alias *nowhere: there is no anchor &nowhere",
		"items: {name: a}":      "f.yaml:1:8: items: wants a list, not keys with values: put it in [ ]",
		"items: [{count: 1.5}]": "f.yaml:1:17: items[0].count: wants a whole number, not a number",
		"items: [{count: 9999999999999999999999}]": "f.yaml:1:17: items[0].count: wants a whole number, not text",
		"items: [{on: yes}]":                       "f.yaml:1:14: items[0].on: wants true or false, not text",
		"items: [{ratio: x}]":                      "f.yaml:1:17: items[0].ratio: wants a number, not text",
		"byName: {a.b: {counts: 1}}":               `f.yaml:1:16: byName["a.b"].counts: unknown key: did you mean count?`,
		"token: abc":                               "f.yaml:1:1: token: a secret does not belong in this file: name where it is with tokenEnv",
		"[]":                                       "f.yaml:1:1: wants keys with values, not a list",
		"mode: x\n---\nmode: y":                    "f.yaml:3:1: a second document begins here; write one document per file",
		"mode: x\nmode: y":                         "f.yaml:2:1: not valid YAML: mapping key \"mode\" already defined at [1:1]",
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || problems[0].Error() != want {
			t.Errorf("%q\ngot  %v\nwant %s", text, problems, want)
		}
	}
}

// Documents made to take time or memory are refused soon.
func TestHostileDocumentsAreBounded(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("any:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&laughs, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	for name, text := range map[string]string{
		"billion laughs":  laughs.String(),
		"self reference":  "any: &a {b: *a}",
		"mutual":          "any: {a: &a [*b], b: &b [*a]}",
		"open brackets":   "any: " + strings.Repeat("[", 100_000),
		"open braces":     "any: " + strings.Repeat("{a: ", 100_000),
		"dashes":          strings.Repeat("- ", 100_000),
		"question marks":  strings.Repeat("? ", 100_000),
		"anchors":         "any: " + strings.Repeat("&a ", 100_000) + "x",
		"tags":            "any: " + strings.Repeat("!a ", 100_000) + "x",
		"colons":          strings.Repeat(": ", 100_000),
		"too large":       "mode: " + strings.Repeat("x", strictyaml.MaxBytes),
		"deep blocks":     deepBlocks(2000),
		"control bytes":   "mode: \x00\x01\xff\xfe",
		"carriage return": "\r: \r- \r\r",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, problems := decode(t, text)
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if len(problems) == 0 && name != "control bytes" {
				t.Error("was read")
			}
			if len(problems.Error()) > 100_000 {
				t.Error("the problems are as large as the document")
			}
		})
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func FuzzDecode(f *testing.F) {
	f.Add("mode: x\nitems: [{name: a}]")
	f.Add("any: &a {b: *a}")
	f.Add("? [a]\n: b")
	f.Add("a: >-\n  x\n\n  y\nb: |2\n   z")
	f.Fuzz(func(t *testing.T, text string) {
		begin := time.Now()
		_, problems := decode(t, text)
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("took %v for %d bytes", took, len(text))
		}
		for _, p := range problems {
			if p.File != "f.yaml" || p.Message == "" || p.Line < 0 || p.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+2 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

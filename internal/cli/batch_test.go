package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func collect(file string) (all []*batch, err error) {
	for b, err := range batches(strings.NewReader(file)) {
		if err != nil {
			return all, err
		}
		all = append(all, b)
	}
	return all, nil
}

func TestBatchesOfAnyLayout(t *testing.T) {
	one := `{"specversion":"1.0","id":"1"}`
	for name, file := range map[string]string{
		"array":                  "[" + one + "," + one + "," + one + "]",
		"array with white space": "\ufeff \n[ " + one + " ,\n" + one + ", " + one + " ]\n\n",
		"lines":                  one + "\n" + one + "\r\n" + one,
		"one after another":      one + one + one,
		"lines of arrays":        one + "\n[" + one + "," + one + "]\n",
		"array, then a line":     "[" + one + "," + one + "]\n" + one,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(file)
			if err != nil || len(got) != 1 || len(got[0].events) != 3 || got[0].schema != cloudEvents {
				t.Fatalf("got %+v, %v, want one batch of three", got, err)
			}
		})
	}
	for name, file := range map[string]string{"empty": "", "white space": " \n", "empty array": "[]"} {
		if got, err := collect(file); err != nil || len(got) != 0 {
			t.Errorf("%s: got %+v, %v, want nothing", name, got, err)
		}
	}
}

func TestBatchesStayWithinEventGridsBounds(t *testing.T) {
	var file strings.Builder
	for i := range 12_001 {
		fmt.Fprintf(&file, `{"eventType":"x","id":"%d"}`+"\n", i)
	}
	sizes := batchSizes(t, file.String())
	if fmt.Sprint(sizes) != "[5000 5000 2001]" {
		t.Errorf("12,001 small events: batches of %v", sizes)
	}
	large := `{"eventType":"x","id":"` + strings.Repeat("a", 400<<10) + `"}`
	huge := `{"eventType":"x","id":"` + strings.Repeat("a", 2<<20) + `"}`
	sizes = batchSizes(t, large+large+large+huge+large)
	if fmt.Sprint(sizes) != "[2 1 1 1]" {
		t.Errorf("large events: batches of %v, want [2 1 1 1]", sizes)
	}
}

func batchSizes(t *testing.T, file string) (sizes []int) {
	t.Helper()
	got, err := collect(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range got {
		body, _ := b.body()
		if len(body) > maxBatchBytes && len(b.events) > 1 {
			t.Errorf("a batch of %d events has %d bytes", len(b.events), len(body))
		}
		sizes = append(sizes, len(b.events))
	}
	return sizes
}

func TestOneEventCantFillMemory(t *testing.T) {
	_, err := collect(`[{"id":"1"},{"id":"` + strings.Repeat("a", maxEventBytes+maxBatchBytes))
	if !errors.Is(err, errLargeEvent) {
		t.Errorf("got %v, want %v", err, errLargeEvent)
	}
	// Many events of a good size pass, however large the file.
	one := `{"id":"` + strings.Repeat("a", maxEventBytes/3) + `"}` + "\n"
	if got, err := collect(strings.Repeat(one, 5)); err != nil || len(got) != 5 {
		t.Errorf("got %d batches, %v, want 5", len(got), err)
	}
}

// FuzzBatches: whatever the file holds, reading it ends, and every request's
// body is JSON within bounds.
func FuzzBatches(f *testing.F) {
	for _, seed := range []string{``, `[`, `[{}]`, `{}[]{}`, `{"specversion":"1.0"}{"eventType":"x"}`, "\ufeff[1,2,[3]]", `[{"a":1}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		for b, err := range batches(strings.NewReader(file)) {
			if err != nil {
				if !strings.Contains(err.Error(), "event ") {
					t.Errorf("error %q does not say where", err)
				}
				return
			}
			if body, _ := b.body(); len(b.events) == 0 || !json.Valid(body) {
				t.Errorf("batch of %d events: %q", len(b.events), body)
			}
		}
	})
}

// FuzzPrintable: nothing that comes out can control a terminal, and what is
// harmless stays as it is.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\x1b[31mb", "\xff\x9b", "é日本", "\u202ebad", "a\tb\nc\\", "\u00ad\u200d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || printable(got) != got {
			t.Errorf("printable(%q) = %q is not printable", s, got)
		}
		if columns(clip(got, 10)) > 10 {
			t.Errorf("clip of %q has %d columns", got, columns(clip(got, 10)))
		}
		if back := tsvUnescape(tsvEscape(s)); back != s {
			t.Errorf("tsv of %q reads back as %q", s, back)
		}
		if strings.ContainsAny(tsvEscape(s), "\t\n\r\x1b\x7f") {
			t.Errorf("tsv of %q is %q", s, tsvEscape(s))
		}
	})
}

// tsvUnescape is what a reader of the format does.
func tsvUnescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b = append(b, '\t')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 'x':
			var c byte
			_, _ = fmt.Sscanf(s[i+1:i+3], "%02x", &c)
			b, i = append(b, c), i+2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

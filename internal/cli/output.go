package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// Output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatTSV   = "tsv"
)

// output is what a reading command prints to, and how.
type output struct {
	to        io.Writer
	now       time.Time
	format    string
	noHeaders bool
}

// flags declares -o and, for commands that print a table, --no-headers.
func (o *output) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", formatTable, "`FORMAT`: table, json or tsv")
	c.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave out the line of column names")
	complete(c, "output", formatTable, formatJSON, formatTSV)
}

// open checks the flags and binds the streams.
func (o *output) open(p *program) error {
	switch o.format {
	case formatTable, formatJSON, formatTSV:
	default:
		return Usagef("-o %q: want table, json or tsv", o.format)
	}
	o.to, o.now = p.Stdout, p.Now()
	return nil
}

// cell is one value of a row: as people read it in a table, and exactly as
// scripts want it.
type cell struct{ human, exact string }

func text(s string) cell { return cell{s, s} }

// prose is text that a table may cut short.
func prose(s string) cell { return cell{clip(printable(s), 120), s} }

func number(n int) cell { return text(strconv.Itoa(n)) }

// when shows a time with its age, and exactly in RFC 3339.
func (o *output) when(t time.Time) cell {
	if t.IsZero() {
		return cell{"-", ""}
	}
	return cell{withAge(t, o.now), t.UTC().Format(time.RFC3339Nano)}
}

// column is one column of a list of T. The names and their order are part of
// the tsv format.
type column[T any] struct {
	name string
	of   func(T) cell
}

// listOf prints a list as it arrives, its header with the first item or at
// the end of an empty list: a list that never came prints nothing. Every item
// is decoded for tables and tsv; json passes on what the server said.
func listOf[T any](o *output, items iter.Seq2[json.RawMessage, error], columns []column[T]) error {
	if o.format == formatJSON {
		return o.array(items)
	}
	w := newRowWriter(o, len(columns))
	headed := o.noHeaders
	head := func() {
		if !headed {
			w.row(header(columns))
			headed = true
		}
	}
	for raw, err := range items {
		var item T
		if err == nil {
			err = json.Unmarshal(raw, &item)
		}
		if err != nil {
			return w.fail(err)
		}
		head()
		row := make([]cell, len(columns))
		for i, c := range columns {
			row[i] = c.of(item)
		}
		w.row(row)
	}
	head()
	return w.flush()
}

func header[T any](columns []column[T]) []cell {
	out := make([]cell, len(columns))
	for i, c := range columns {
		out[i] = cell{strings.ToUpper(c.name), c.name}
	}
	return out
}

// array prints items as one JSON array. After an error it stays without its
// end, so that nobody takes a part for the whole.
func (o *output) array(items iter.Seq2[json.RawMessage, error]) error {
	w := bufio.NewWriter(o.to)
	separator := "[\n  "
	for raw, err := range items {
		if err == nil {
			var pretty []byte
			pretty, err = indented(raw, "  ")
			_, _ = w.WriteString(separator)
			_, _ = w.Write(pretty)
			separator = ",\n  "
		}
		if err != nil {
			_ = w.Flush()
			return err
		}
	}
	end := "\n]\n"
	if separator[0] == '[' {
		end = "[]\n"
	}
	_, _ = w.WriteString(end)
	return w.Flush()
}

// document prints one JSON document.
func (o *output) document(raw json.RawMessage) error {
	pretty, err := indented(raw, "")
	if err != nil {
		return err
	}
	_, err = o.to.Write(append(pretty, '\n'))
	return err
}

// indented formats JSON without changing a value. Invisible and control
// characters outside ASCII, which JSON allows as they are, become escapes.
func indented(raw json.RawMessage, prefix string) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, prefix, "  "); err != nil {
		return nil, fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	if bytes.IndexFunc(b.Bytes(), unsafeInJSON) < 0 {
		return b.Bytes(), nil
	}
	var safe []byte
	for _, r := range b.String() {
		if unsafeInJSON(r) && r < 0x10000 {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		} else {
			safe = append(safe, string(r)...)
		}
	}
	return safe, nil
}

func unsafeInJSON(r rune) bool {
	return r >= 0x7f && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
}

// fact is one line of a page about one thing.
type fact struct {
	name  string
	value cell
}

// facts prints a page about one thing: a line per fact that is known. In tsv
// every fact is printed, one "name<tab>value" a line.
func (o *output) facts(facts []fact) error {
	w := bufio.NewWriter(o.to)
	widest := 0
	for _, f := range facts {
		widest = max(widest, len(f.name))
	}
	for _, f := range facts {
		switch {
		case o.format == formatTSV:
			fmt.Fprintf(w, "%s\t%s\n", f.name, tsvEscape(f.value.exact))
		case f.value.human != "" && f.value.human != "-":
			fmt.Fprintf(w, "%-*s  %s\n", widest, f.name, printable(f.value.human))
		}
	}
	return w.Flush()
}

// show reads one document and prints it: as the server said it, or by page.
func show[T any](o *output, raw json.RawMessage, page func(T) error) error {
	if o.format == formatJSON {
		return o.document(raw)
	}
	var doc T
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	return page(doc)
}

package cli

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tableBlock is how many rows are lined up at a time: a list of any length
// is printed in bounded memory.
const tableBlock = 1000

// rowWriter writes rows as an aligned table or as tsv. Write errors stay in
// the buffered writer until flush.
type rowWriter struct {
	w      *bufio.Writer
	tsv    bool
	rows   [][]string
	widths []int
}

func newRowWriter(o *output, columns int) *rowWriter {
	return &rowWriter{w: bufio.NewWriter(o.to), tsv: o.format == formatTSV, widths: make([]int, columns)}
}

func (w *rowWriter) row(cells []cell) {
	if w.tsv {
		for i, c := range cells {
			if i > 0 {
				_ = w.w.WriteByte('\t')
			}
			_, _ = w.w.WriteString(tsvEscape(c.exact))
		}
		_ = w.w.WriteByte('\n')
		return
	}
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = printable(c.human)
		if row[i] == "" {
			row[i] = "-"
		}
		w.widths[i] = max(w.widths[i], columns(row[i]))
	}
	if w.rows = append(w.rows, row); len(w.rows) == tableBlock {
		w.align()
	}
}

// align writes the collected rows. The widths stay, so later blocks line up
// with earlier ones unless they hold something wider.
func (w *rowWriter) align() {
	for _, row := range w.rows {
		for i, s := range row {
			_, _ = w.w.WriteString(s)
			if i < len(row)-1 {
				_, _ = w.w.WriteString(strings.Repeat(" ", w.widths[i]-columns(s)+2))
			}
		}
		_ = w.w.WriteByte('\n')
	}
	w.rows = w.rows[:0]
}

func (w *rowWriter) flush() error {
	w.align()
	return w.w.Flush()
}

// fail writes what there is and returns the error that ended it.
func (w *rowWriter) fail(err error) error {
	_ = w.flush()
	return err
}

// tsvEscape writes a value on one line without tabs: \t, \n, \r and \\ stand
// for themselves, the bytes of what is not printable are \xNN. Undoing the
// escapes gives the value back.
func tsvEscape(s string) string {
	if isPlain(s) && !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case !strconv.IsPrint(r) || r == utf8.RuneError && size == 1:
			for i := range size {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			}
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the report: a number, what it is beside, and whether
// that is enough.
type row struct {
	Section string `json:"section"`
	What    string `json:"what"`
	// Value is what was measured, in Unit.
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Beside names the baseline, Baseline is its value in the same unit. Ratio
	// is that of the two values, or the median of the ratios of the rounds:
	// what runs one after the other meets the same mood of the machine.
	Beside   string  `json:"beside,omitempty"`
	Baseline float64 `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	// Target is checked on the ratio where there is one, else on the value.
	Target *target `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"`
	// Spread is the smallest and largest of the rounds of which Value is the
	// median.
	Spread []float64 `json:"spread,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// target is a bound that a number has to keep.
type target struct {
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
}

func atLeast(v float64) *target { return &target{AtLeast: &v} }
func atMost(v float64) *target  { return &target{AtMost: &v} }

func (t *target) met(v float64) bool {
	return (t.AtLeast == nil || v >= *t.AtLeast) && (t.AtMost == nil || v <= *t.AtMost)
}

// String is "≥ 5" or "≤ 150".
func (t *target) String() string {
	if t.AtLeast != nil {
		return "≥ " + number(*t.AtLeast)
	}
	return "≤ " + number(*t.AtMost)
}

// besides fills in the numbers of a row from the rounds of both sides.
func besides(x row, value, baseline rounds) row {
	x.Value, x.Spread = value.median(), value.spread()
	x.Baseline, x.Ratio = baseline.median(), value.over(baseline).median()
	return x
}

// report is everything one run found.
type report struct {
	Started time.Time `json:"started"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Cores   int       `json:"cores"`
	Seconds float64   `json:"seconds"`
	Rows    []row     `json:"rows"`
}

func newReport() *report {
	return &report{Started: time.Now().UTC(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}
}

// add completes a row: its ratio, and whether the target is met.
func (r *report) add(x row) {
	if x.Baseline > 0 && x.Ratio == 0 {
		x.Ratio = x.Value / x.Baseline
	}
	if x.Target != nil {
		v := x.Value
		if x.Baseline > 0 {
			v = x.Ratio
		}
		met := x.Target.met(v)
		x.Met = &met
	}
	r.Rows = append(r.Rows, x)
}

// missed counts the targets that were not met.
func (r *report) missed() (n int) {
	for _, x := range r.Rows {
		if x.Met != nil && !*x.Met {
			n++
		}
	}
	return n
}

// print writes the table.
func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "WHAT\tMEASURED\tBESIDE\tRATIO\tTARGET\t")
	section := ""
	for _, x := range r.Rows {
		if x.Section != section {
			section = x.Section
			_, _ = fmt.Fprintf(t, "%s\t\t\t\t\t\n", section)
		}
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", x.What, x.measured(), x.beside(), x.ratio(), x.target(), x.verdict())
	}
	return t.Flush()
}

func (x *row) measured() string {
	s := quantity(x.Value, x.Unit)
	if len(x.Spread) == 2 {
		s += fmt.Sprintf(" (%s..%s)", number(x.Spread[0]), number(x.Spread[1]))
	}
	return s
}

func (x *row) beside() string {
	if x.Beside == "" {
		return ""
	}
	return x.Beside + " " + number(x.Baseline)
}

func (x *row) ratio() string {
	if x.Baseline == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", x.Ratio)
}

func (x *row) target() string {
	if x.Target == nil {
		return ""
	}
	return x.Target.String()
}

func (x *row) verdict() string {
	switch {
	case x.Met == nil:
		return x.Note
	case *x.Met:
		return join("pass", x.Note)
	}
	return join("MISSED", x.Note)
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}

// save writes the report as JSON.
func (r *report) save(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func quantity(v float64, unit string) string {
	if unit == "" {
		return number(v)
	}
	return number(v) + " " + unit
}

// number writes three digits that count, and all those before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0 || a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// rounds are the results of the same measurement, repeated.
type rounds []float64

// median is the middle one, or the mean of the two in the middle.
func (r rounds) median() float64 {
	if len(r) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(r))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func (r rounds) spread() []float64 { return []float64{slices.Min(r), slices.Max(r)} }

// over are the ratios of rounds that belong together.
func (r rounds) over(baseline rounds) rounds {
	out := make(rounds, 0, len(r))
	for i := range min(len(r), len(baseline)) {
		if baseline[i] > 0 {
			out = append(out, r[i]/baseline[i])
		}
	}
	return out
}

// quantile is the value that the share q, 0 to 1, of all is not above.
func (r rounds) quantile(q float64) float64 {
	if len(r) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(r))
	return s[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

package azureml

import (
	"strconv"
	"strings"
	"time"
)

// cronGap is the longest time between two runs of a schedule in cron's five
// fields (minute, hour, day of month, month, day of week), as the triggers of
// Azure Machine Learning have them [CLI (v2) schedule YAML schema]. ok is
// false for what it does not understand or what runs less than twice in the
// two years from now.
//
// Libraries for cron give the next run after a time; a schedule of every
// minute would be asked a million times. Here a day is looked at as a whole.
func cronGap(expr string, from time.Time) (gap time.Duration, ok bool) {
	f := strings.Fields(expr)
	if len(f) != 5 {
		return 0, false
	}
	var sets [5]cronSet
	for i, bounds := range cronBounds {
		if sets[i], ok = parseCron(f[i], bounds); !ok {
			return 0, false
		}
	}
	minutes := minutesOfDay(sets[0], sets[1])
	var last time.Time
	day := from.UTC().Truncate(24 * time.Hour)
	for range 2 * 366 {
		if onDay(sets, f, day) {
			for _, m := range minutes {
				at := day.Add(time.Duration(m) * time.Minute)
				if !last.IsZero() {
					gap = max(gap, at.Sub(last))
				}
				last = at
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return gap, gap > 0
}

// cronSet has a bit per value of a field.
type cronSet uint64

func (s cronSet) has(n int) bool { return s&(1<<n) != 0 }

// cronField is a field's range and the names of its values, if it has any.
type cronField struct {
	lo, hi int
	names  []string
}

var cronBounds = [5]cronField{
	{0, 59, nil}, {0, 23, nil}, {1, 31, nil},
	{1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// parseCron reads one field: lists of values, ranges and steps.
func parseCron(text string, f cronField) (set cronSet, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > f.hi {
				return 0, false
			}
			step = n
		}
		lo, hi, ok := f.span(span, stepped)
		if !ok {
			return 0, false
		}
		for n := lo; n <= hi; n += step {
			set |= 1 << n
		}
	}
	if f.hi == 7 && set.has(7) {
		set |= 1 // both 0 and 7 are Sunday
	}
	return set, set != 0
}

// span reads `*`, a value or a range; a single value with a step goes on to
// the end of the field.
func (f cronField) span(text string, open bool) (lo, hi int, ok bool) {
	if text == "*" {
		return f.lo, f.hi, true
	}
	from, to, ranged := strings.Cut(text, "-")
	lo, ok = f.value(from)
	if !ok {
		return 0, 0, false
	}
	switch hi = lo; {
	case ranged:
		hi, ok = f.value(to)
	case open:
		hi = f.hi
	}
	return lo, hi, ok && lo <= hi
}

func (f cronField) value(text string) (int, bool) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.lo + i, true
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.lo && n <= f.hi
}

func minutesOfDay(minutes, hours cronSet) []int {
	var out []int
	for h := range 24 {
		for m := range 60 {
			if hours.has(h) && minutes.has(m) {
				out = append(out, h*60+m)
			}
		}
	}
	return out
}

// onDay is cron's rule for days: where both day fields are restricted, either
// may match.
func onDay(sets [5]cronSet, fields []string, day time.Time) bool {
	if !sets[3].has(int(day.Month())) {
		return false
	}
	dom, dow := sets[2].has(day.Day()), sets[4].has(int(day.Weekday()))
	if fields[2] == "*" || fields[4] == "*" {
		return dom && dow
	}
	return dom || dow
}

package azureml

import (
	"testing"
	"time"
)

func TestCronGap(t *testing.T) {
	const day = 24 * time.Hour
	for expr, want := range map[string]time.Duration{
		"15 3 * * *":                    day,
		"0 */6 * * *":                   6 * time.Hour,
		"0 8-18/5 * * *":                14 * time.Hour, // 8, 13, 18
		"*/15 * * * *":                  15 * time.Minute,
		"0 0 * * 1-5":                   3 * day, // over the weekend
		"0 0 * * mon,Thu":               4 * day,
		"0 0 * * 7":                     7 * day,
		"0 0 1 * *":                     31 * day,
		"0 0 1 1 *":                     366 * day, // 2028 is a leap year
		"0 0 31 * *":                    61 * day,  // from August to October
		"0 0 1 * sun":                   7 * day,   // either the first or a Sunday
		"30 5/12 * * *":                 12 * time.Hour,
		"0 0 29 2 *":                    0, // once in the two years looked at
		"61 * * * *":                    0,
		"0 0 * *":                       0,
		"":                              0,
		"0 0 * * x":                     0,
		"5-1 * * * *":                   0,
		"*/0 * * * *":                   0,
		"0 0 * * * *":                   0,
		"99999999999 * * *":             0,
		"0 0 */9223372036854775807 * *": 0,
	} {
		got, ok := cronGap(expr, time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC))
		if got != want || ok != (want > 0) {
			t.Errorf("%q: %s %v, want %s", expr, got, ok, want)
		}
	}
}

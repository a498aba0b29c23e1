package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// timeLayouts are the ways a person may write a time; those without a zone
// mean UTC, as tables show it.
var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	time.DateOnly,
}

// parseTime reads a time; a duration ("2h", "3d") means that long before now.
func parseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	ago := strings.TrimSpace(strings.TrimSuffix(s, " ago"))
	if d, err := policy.ParseDuration(ago); err == nil && ago != "" && d >= 0 {
		return now.Add(-time.Duration(d)).UTC(), nil
	}
	return time.Time{}, Usagef("%q is not a time: write 2026-03-01T09:30:00Z, 2026-03-01, or how long ago, such as 2h or 3d", s)
}

// parseFuture reads a point in the future: a time as written by people, or a
// duration from now.
func parseFuture(s string, now time.Time) (time.Time, error) {
	if d, err := policy.ParseDuration(strings.TrimSpace(s)); err == nil && s != "" {
		return now.Add(time.Duration(d)).UTC(), nil
	}
	t, err := parseTime(s, now)
	if err != nil {
		return t, Usagef("%q is not a time: write 2026-03-01T09:30:00Z, 2026-03-01, or how long from now, such as 2h or 3d", s)
	}
	return t, nil
}

// shownTime writes a time for people: UTC to the second.
func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// withAge writes a time for people, with how far it is from now.
func withAge(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	if d := t.Sub(now); d > 0 {
		return fmt.Sprintf("%s (in %s)", shownTime(t), span(d))
	}
	return fmt.Sprintf("%s (%s ago)", shownTime(t), span(now.Sub(t)))
}

// span writes a length of time in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// delay writes a short length of time with a sensible precision.
func delay(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(100 * time.Millisecond).String()
	}
}

package event

import (
	"strings"
	"time"
)

// instantLayouts are what senders write where RFC 3339 was asked for: no zone
// (taken as UTC), a space for the T, a zone without a colon. Fractions of any
// length are read by all of them.
var instantLayouts = []string{
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
}

// parseInstant reads a time and returns it in UTC. What can't be read, and
// the year 1 that .NET writes for "not set", is the zero Time.
func parseInstant(s string) time.Time {
	if s == "" || len(s) > 64 {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t = parseOdd(strings.ToUpper(strings.TrimSpace(s)))
	}
	if t = t.UTC(); t.Year() < 2 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

func parseOdd(s string) time.Time {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

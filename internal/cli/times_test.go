package cli

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestParseTime(t *testing.T) {
	for typed, want := range map[string]string{
		"2026-03-01T09:30:00Z":       "2026-03-01T09:30:00Z",
		"2026-03-01T09:30:00.5Z":     "2026-03-01T09:30:00.5Z",
		"2026-03-01T11:30:00+02:00":  "2026-03-01T09:30:00Z",
		"2026-03-01 09:30:00Z":       "2026-03-01T09:30:00Z", // as tables show it
		"2026-03-01 09:30:00":        "2026-03-01T09:30:00Z",
		"2026-03-01T09:30":           "2026-03-01T09:30:00Z",
		"2026-03-01":                 "2026-03-01T00:00:00Z",
		"2h":                         "2026-03-04T10:00:00Z",
		"3d":                         "2026-03-01T12:00:00Z",
		"1d12h":                      "2026-03-03T00:00:00Z",
		"90m ago":                    "2026-03-04T10:30:00Z",
		" 0s ":                       "2026-03-04T12:00:00Z",
		"":                           "",
		"ago":                        "",
		"-2h":                        "",
		"yesterday":                  "",
		"2026-13-01":                 "",
		"2026-03-01T09:30:00":        "2026-03-01T09:30:00Z",
		"999999999999999999999999h":  "",
		"2026-03-01T09:30:00Z extra": "",
	} {
		got, err := parseTime(typed, noon)
		switch {
		case want == "" && err == nil:
			t.Errorf("parseTime(%q) = %s, want an error", typed, got)
		case want != "" && (err != nil || got.Format(time.RFC3339Nano) != want):
			t.Errorf("parseTime(%q) = %s, %v, want %s", typed, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

func TestParseFuture(t *testing.T) {
	for typed, want := range map[string]string{
		"4h":                   "2026-03-04T16:00:00Z",
		"2d":                   "2026-03-06T12:00:00Z",
		"2026-03-05":           "2026-03-05T00:00:00Z",
		"2026-03-05T09:00:00Z": "2026-03-05T09:00:00Z",
		"":                     "",
		"tomorrow":             "",
	} {
		got, err := parseFuture(typed, noon)
		if (err != nil) != (want == "") || want != "" && got.Format(time.RFC3339) != want {
			t.Errorf("parseFuture(%q) = %s, %v, want %q", typed, got, err, want)
		}
	}
}

func TestWithAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                 "2026-03-04 12:00:00Z (0s ago)",
		-59 * time.Second: "2026-03-04 11:59:01Z (59s ago)",
		-90 * time.Minute: "2026-03-04 10:30:00Z (1h ago)",
		-47 * time.Hour:   "2026-03-02 13:00:00Z (47h ago)",
		-72 * time.Hour:   "2026-03-01 12:00:00Z (3d ago)",
		30 * time.Minute:  "2026-03-04 12:30:00Z (in 30m)",
	} {
		if got := withAge(noon.Add(d), noon); got != want {
			t.Errorf("withAge(%s) = %q, want %q", d, got, want)
		}
	}
	if got := withAge(time.Time{}, noon); got != "" {
		t.Errorf("withAge(zero) = %q, want nothing", got)
	}
}

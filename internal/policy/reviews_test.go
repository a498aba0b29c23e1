package policy_test

import (
	"testing"
	"time"
)

func TestMaintenanceHolds(t *testing.T) {
	set := compile(t, `
policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]
maintenance:
  - {name: once, from: 2026-12-20, to: 2026-12-21}
  - {name: day, from: 2026-03-01, to: 2026-03-01, repeat: daily, timezone: Europe/Berlin}
  - {name: night, from: "2026-03-01T22:00:00+01:00", to: "2026-03-02T02:00:00+01:00", repeat: daily, timezone: Europe/Berlin}
  - {name: sunday, from: "2026-03-01T09:00:00+01:00", to: "2026-03-01T11:00:00+01:00", repeat: weekly, timezone: Europe/Berlin}
  - {name: utc, from: "2026-03-01T22:00:00+01:00", to: "2026-03-01T23:00:00+01:00", repeat: daily}`)
	windows := map[string]func(time.Time) (time.Time, time.Time, bool){}
	for _, m := range set.File().Maintenance {
		windows[m.Name] = m.Holds
	}
	for _, tc := range []struct {
		name, at    string
		from, until string // "" where it does not hold
	}{
		{"once", "2026-12-19T23:59:59Z", "", ""},
		{"once", "2026-12-20T00:00:00Z", "2026-12-20T00:00:00Z", "2026-12-22T00:00:00Z"},
		{"once", "2026-12-21T23:59:59Z", "2026-12-20T00:00:00Z", "2026-12-22T00:00:00Z"},
		{"once", "2026-12-22T00:00:00Z", "", ""},
		{"once", "2027-12-20T12:00:00Z", "", ""},
		// A day is a day, whether it has 23, 24 or 25 hours.
		{"day", "2026-02-28T12:00:00Z", "", ""},
		{"day", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"day", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		// 22:00 stays 22:00 when clocks change.
		{"night", "2026-03-01T20:59:59Z", "", ""},
		{"night", "2026-03-02T00:59:59Z", "2026-03-01T21:00:00Z", "2026-03-02T01:00:00Z"},
		{"night", "2026-03-02T01:00:00Z", "", ""},
		{"night", "2026-03-28T23:00:00Z", "2026-03-28T21:00:00Z", "2026-03-29T01:00:00Z"},
		{"night", "2026-07-01T20:00:00Z", "2026-07-01T20:00:00Z", "2026-07-02T00:00:00Z"},
		{"night", "2026-07-01T19:59:59Z", "", ""},
		{"night", "2030-01-15T22:00:00Z", "2030-01-15T21:00:00Z", "2030-01-16T01:00:00Z"},
		{"sunday", "2026-03-08T09:00:00Z", "2026-03-08T08:00:00Z", "2026-03-08T10:00:00Z"},
		{"sunday", "2026-03-09T09:00:00Z", "", ""},
		{"sunday", "2026-06-07T07:30:00Z", "2026-06-07T07:00:00Z", "2026-06-07T09:00:00Z"},
		// Without a time zone it is UTC that it keeps to.
		{"utc", "2026-07-01T21:30:00Z", "2026-07-01T21:00:00Z", "2026-07-01T22:00:00Z"},
	} {
		at, _ := time.Parse(time.RFC3339, tc.at)
		from, until, ok := windows[tc.name](at)
		got := [2]string{}
		if ok {
			got = [2]string{from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339)}
		}
		if got != [2]string{tc.from, tc.until} {
			t.Errorf("%s at %s: %q, want %s to %s", tc.name, tc.at, got, tc.from, tc.until)
		}
	}
}

// Whenever a window that repeats holds, it holds now, and it holds once in each
// period.
func TestARepeatingWindowHoldsOnceInEachPeriod(t *testing.T) {
	set := compile(t, `
policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]
maintenance: [{name: night, from: "2026-03-01T22:00:00-05:00", to: "2026-03-02T03:30:00-05:00", repeat: daily, timezone: America/New_York}]`)
	m := set.File().Maintenance[0]
	starts := map[time.Time]bool{}
	first, _ := time.Parse(time.RFC3339, "2026-03-01T00:00:00Z")
	for at := first; at.Before(first.AddDate(1, 0, 0)); at = at.Add(15 * time.Minute) {
		from, until, ok := m.Holds(at)
		if ok && (at.Before(from) || !at.Before(until)) {
			t.Fatalf("at %s it holds from %s to %s", at, from, until)
		}
		if ok {
			starts[from.UTC()] = true
		}
	}
	if len(starts) != 364 && len(starts) != 365 {
		t.Errorf("it held %d times in a year", len(starts))
	}
}

func TestReviewSettingsHaveDefaults(t *testing.T) {
	set := compile(t, "reviews: {holdDown: 2h}\npolicies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]")
	s := set.File().ReviewSettings()
	got := [3]time.Duration{time.Duration(s.ReopenWithin), time.Duration(s.HoldDown), time.Duration(s.UpdateEvery)}
	if got != [3]time.Duration{6 * time.Hour, 2 * time.Hour, 5 * time.Minute} {
		t.Errorf("got %s", got)
	}
}

// A severity follows how far the worst breach lies beyond its threshold, upwards
// only; what the step says of people goes along.
func TestSeverityFollowsHowFarTheThresholdWasExceeded(t *testing.T) {
	set := compile(t, `
policies:
  - name: p
    on: [monitor.breached]
    then:
      - review: {severity: warning, severityAt: {error: 0.5, critical: 1}, ackWithin: 30m, target: a, escalate: [{target: b, ackWithin: 1h}], repeat: 2, runbook: "https://wiki.contoso.example/p"}
targets: {a: {log: {}}, b: {log: {}}}`)
	for _, tc := range []struct {
		value float64
		want  string
	}{{0.25, "warning"}, {0.31, "error"}, {0.39, "error"}, {0.41, "critical"}} {
		got := newWorld(set).breach("w1", tc.value).Actions[0]
		if got.Severity != tc.want {
			t.Errorf("PSI %g over 0.2 is %s, want %s", tc.value, got.Severity, tc.want)
		}
		if len(got.Escalate) != 1 || got.Escalate[0].Target != "b" || got.Repeat != 2 || got.Runbook != "https://wiki.contoso.example/p" {
			t.Errorf("the action tells %+v", got)
		}
	}
}

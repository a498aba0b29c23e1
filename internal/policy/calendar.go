package policy

import (
	"fmt"
	"time"
	_ "time/tzdata" // a freeze means the same on a machine without time zones
)

// Freeze is a time in which actions of some types are withheld.
type Freeze struct {
	// Name is unique; decisions that the freeze withheld an action from
	// carry it.
	Name string `yaml:"name" json:"name"`
	// From and To are days (2026-12-20), both inclusive, or moments
	// (2026-12-20T18:00:00Z), of which To is the first that is free again.
	From Moment `yaml:"from" json:"from"`
	To   Moment `yaml:"to" json:"to"`
	// Timezone is where days begin, an IANA name. Defaults to UTC.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	// Actions are the types withheld. Defaults to retrain and rollback:
	// people are still told.
	Actions []ActionType `yaml:"actions,omitempty" json:"actions,omitempty"`
	// Match narrows the freeze down. Defaults to every event.
	Match Match `yaml:"match,omitempty" json:"match,omitzero"`
}

// Moment is a day, or a point in time, as a freeze names it.
type Moment struct {
	time time.Time
	day  bool
}

// UnmarshalText reads 2026-12-20 or an RFC 3339 timestamp.
func (m *Moment) UnmarshalText(b []byte) error {
	if t, err := time.Parse(time.DateOnly, string(b)); err == nil {
		*m = Moment{time: t, day: true}
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("%q is neither a day such as 2026-12-20 nor a time such as 2026-12-20T18:00:00Z", clip(string(b), 40))
	}
	*m = Moment{time: t}
	return nil
}

// MarshalText writes what UnmarshalText reads; an unset moment is empty.
func (m Moment) MarshalText() ([]byte, error) {
	switch {
	case m.IsZero():
		return nil, nil
	case m.day:
		return []byte(m.time.Format(time.DateOnly)), nil
	}
	return []byte(m.time.Format(time.RFC3339)), nil
}

// IsZero reports whether the moment was never set.
func (m Moment) IsZero() bool { return m.time.IsZero() }

// begin is the first instant of the moment; end the first after it.
func (m Moment) begin(zone *time.Location) time.Time {
	if !m.day {
		return m.time
	}
	y, month, d := m.time.Date()
	return time.Date(y, month, d, 0, 0, 0, 0, zone)
}

func (m Moment) end(zone *time.Location) time.Time {
	if !m.day {
		return m.time
	}
	y, month, d := m.time.Date()
	return time.Date(y, month, d+1, 0, 0, 0, 0, zone)
}

// span is the freeze's first frozen and first free instant.
func (f Freeze) span() (from, to time.Time, err error) {
	zone := time.UTC
	if f.Timezone != "" {
		if zone, err = time.LoadLocation(f.Timezone); err != nil || f.Timezone == "Local" {
			return from, to, fmt.Errorf("%q is not a time zone such as Europe/Berlin", clip(f.Timezone, 40))
		}
	}
	return f.From.begin(zone), f.To.end(zone), nil
}

// holds reports whether the freeze withholds actions of the type.
func (f Freeze) holds(t ActionType) bool {
	if len(f.Actions) == 0 {
		return t == Retrain || t == Rollback
	}
	for _, a := range f.Actions {
		if a == t {
			return true
		}
	}
	return false
}

// Budget limits actions over all assets and policies that it matches. The
// worker keeps it when it dispatches.
type Budget struct {
	// Name is unique and stays the same while the budget means the same: the
	// count is kept under it. Defaults to one made from the match.
	Name  string      `yaml:"name,omitempty" json:"name,omitempty"`
	Match BudgetMatch `yaml:"match,omitempty" json:"match,omitzero"`
	// RetrainsPerDay and RollbacksPerDay are the most within a day; zero
	// allows none. Default to no limit.
	RetrainsPerDay  *int `yaml:"retrainsPerDay,omitempty" json:"retrainsPerDay,omitempty"`
	RollbacksPerDay *int `yaml:"rollbacksPerDay,omitempty" json:"rollbacksPerDay,omitempty"`
}

// BudgetMatch says what counts against a budget; like Match.
type BudgetMatch struct {
	Workspace Patterns `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	Model     Patterns `yaml:"model,omitempty" json:"model,omitempty"`
}

// PerDay is the budget's limit on an action type; false is no limit.
func (b Budget) PerDay(t ActionType) (int, bool) {
	limit := b.RollbacksPerDay
	switch t {
	case Retrain:
		limit = b.RetrainsPerDay
	case Rollback:
	default:
		return 0, false
	}
	if limit == nil {
		return 0, false
	}
	return *limit, true
}

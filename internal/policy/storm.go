package policy

import "time"

// Storm says when retrains are held because one data asset has several models
// breach: the data is to be looked at, once, not every model retrained on it.
//
// A retrain whose data feeds at least Models models waits for Settle before it
// starts, so that what happens to the others can be seen; any other retrain
// starts at once.
type Storm struct {
	// Models is how many models of one data asset make a storm, at least 2; 0
	// switches the rule off. Defaults to 3.
	Models *int `yaml:"models,omitempty" json:"models,omitempty"`
	// Within is how far apart their breaches may be, by the events' own times.
	// Defaults to 1h.
	Within Duration `yaml:"within,omitempty" json:"within,omitempty"`
	// Settle is how long a retrain waits to see. Defaults to 2m.
	Settle Duration `yaml:"settle,omitempty" json:"settle,omitempty"`
}

// Defaults and bounds of Storm.
const (
	defaultStormModels = 3
	defaultStormWithin = Duration(time.Hour)
	defaultStormSettle = Duration(2 * time.Minute)

	maxStormModels = 50
)

func (s *Storm) withDefaults() Storm {
	var out Storm
	if s != nil {
		out = *s
	}
	if out.Models == nil {
		n := defaultStormModels
		out.Models = &n
	}
	if out.Within == 0 {
		out.Within = defaultStormWithin
	}
	if out.Settle == 0 {
		out.Settle = min(defaultStormSettle, out.Within)
	}
	return out
}

// Storm is the rule in force: how many models make a storm (0 is off), how far
// apart their breaches may be, and how long a retrain waits to see.
func (s *Set) Storm() (models int, within, settle time.Duration) {
	return *s.storm.Models, time.Duration(s.storm.Within), time.Duration(s.storm.Settle)
}

// storm checks the rule.
func (c *checker) storm(path string, s Storm) {
	c.duration(path+".within", s.Within)
	c.duration(path+".settle", s.Settle)
	if n := s.Models; n != nil && (*n < 0 || *n == 1 || *n > maxStormModels) {
		c.fail(path+".models", "is %d: write 2 to %d, or 0 to switch the rule off", *n, maxStormModels)
	}
	if full := s.withDefaults(); full.Settle > full.Within {
		c.fail(path+".settle", "is longer than within (%s): breaches that far apart are no storm", full.Within)
	}
}

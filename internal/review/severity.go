package review

import "fmt"

// Severity is how bad a signal is.
type Severity string

// Severities, mildest first.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Error    Severity = "error"
	Critical Severity = "critical"
)

// Severities lists every severity, mildest first.
func Severities() []Severity { return []Severity{Info, Warning, Error, Critical} }

// ParseSeverity reads a severity; nothing written means Warning.
func ParseSeverity(s string) (Severity, error) {
	if s == "" {
		return Warning, nil
	}
	if v := Severity(s); v.rank() > 0 {
		return v, nil
	}
	return "", fmt.Errorf("severity %q: want info, warning, error or critical", s)
}

// Exceeds reports whether s is worse than other.
func (s Severity) Exceeds(other Severity) bool { return s.rank() > other.rank() }

// rank orders severities; 0 is none of them.
func (s Severity) rank() int {
	for i, known := range Severities() {
		if s == known {
			return i + 1
		}
	}
	return 0
}

package sandbox

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// runFilter is the part of MLflow's search syntax that clients use to find a
// run: comparisons joined by AND.
//
//	tags."modelwarden.action" = 'x' AND metrics.accuracy >= 0.8
type runFilter []comparison

type comparison struct{ entity, key, op, text string }

var comparisonPattern = regexp.MustCompile("(?i)^\\s*(?:(tags|tag|params|param|parameters|metrics|metric|attributes|attribute|attr|run)\\.)?" +
	"(?:\"([^\"]+)\"|`([^`]+)`|([\\w./-]+))\\s*(!=|>=|<=|=|>|<|\\bLIKE\\b)\\s*(?:'([^']*)'|\"([^\"]*)\"|(-?[\\d.]+(?:e[-+]?\\d+)?))\\s*(?:\\bAND\\b|$)")

// maxFilter bounds the length of a filter, in bytes.
const maxFilter = 10_000

func parseFilter(s string) (runFilter, error) {
	if len(s) > maxFilter {
		return nil, fmt.Errorf("the filter is longer than %d bytes", maxFilter)
	}
	var f runFilter
	for rest := s; strings.TrimSpace(rest) != ""; {
		m := comparisonPattern.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("invalid clause(s) in filter string: %q", strings.TrimSpace(rest))
		}
		f = append(f, comparison{
			entity: entityOf(m[1]), key: m[2] + m[3] + m[4],
			op: strings.ToUpper(m[5]), text: m[6] + m[7] + m[8],
		})
		rest = rest[len(m[0]):]
	}
	return f, nil
}

func entityOf(word string) string {
	word = strings.ToLower(word)
	switch {
	case word == "" || word == "run" || strings.HasPrefix(word, "attr"):
		return "attribute"
	case strings.HasPrefix(word, "param"):
		return "param"
	}
	return strings.TrimSuffix(word, "s")
}

func (f runFilter) matches(j *job) bool {
	for _, c := range f {
		if !c.holds(j) {
			return false
		}
	}
	return true
}

func (c comparison) holds(j *job) bool {
	if c.entity == "metric" {
		m := j.metric(c.key)
		want, err := strconv.ParseFloat(c.text, 64)
		return len(m.points) > 0 && err == nil && compareWith(c.op, m.last(), want)
	}
	got, ok := c.textOf(j)
	if !ok {
		return false
	}
	if c.op == "LIKE" {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(c.text), "%", ".*")
		matched, err := regexp.MatchString("(?s)^"+pattern+"$", got)
		return err == nil && matched
	}
	return compareWith(c.op, got, c.text)
}

func (c comparison) textOf(j *job) (string, bool) {
	var v string
	ok := true
	switch {
	case c.entity == "tag":
		v, ok = j.tags[c.key]
	case c.entity == "param":
		v, ok = j.spec.Inputs[c.key]
	case c.key == "status":
		v = j.status.mlflow()
	case c.key == "run_id" || c.key == "run_name":
		v = j.name
	default:
		ok = false
	}
	return v, ok
}

func compareWith[T float64 | string](op string, got, want T) bool {
	switch op {
	case "=":
		return got == want
	case "!=":
		return got != want
	case ">":
		return got > want
	case ">=":
		return got >= want
	case "<":
		return got < want
	case "<=":
		return got <= want
	}
	return false
}

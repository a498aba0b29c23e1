package event

import (
	"math"
	"strings"
)

// lowerIsBad are parts of the names, letters and digits only, of metrics that
// are bad below their threshold: the p-values of the two-sample
// Kolmogorov-Smirnov and Pearson's chi-squared tests, NDCG, the pass rates of
// generation quality, and scores of models. [azureml-assets, model monitoring
// components]
var lowerIsBad = []string{
	"kolmogorovsmirnov", "chisquare",
	"ndcg", "normalizeddiscountedcumulativegain", "normaliseddiscountedcumulativegain",
	"passrate",
	"accuracy", "precision", "recall", "f1score", "auc", "r2score",
}

// direction says which side of the threshold is bad for a metric. Names are
// open: one that is unknown is taken for a distance, a rate or an error, of
// which more is worse. No name, no direction.
func direction(metric string) Direction {
	name := lettersAndDigits(metric)
	if name == "" {
		return ""
	}
	for _, part := range lowerIsBad {
		if strings.Contains(name, part) {
			return LowerIsBad
		}
	}
	return HigherIsBad
}

// lettersAndDigits reduces a name to its ASCII letters, in lower case, and
// digits, so that spelling with spaces, dashes or underscores is one.
func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}

// exceeded is how far beyond its threshold a value lies, as a ratio of the
// threshold: positive on the bad side. It is rounded to nine decimals, so that
// 0.35 over 0.2 is 0.75; nil where it can't be told.
func exceeded(value, threshold *float64, d Direction) *float64 {
	if value == nil || threshold == nil || *threshold == 0 || d == "" {
		return nil
	}
	ratio := (*value - *threshold) / math.Abs(*threshold)
	if d == LowerIsBad {
		ratio = -ratio
	}
	if math.Abs(ratio) < 1e6 {
		ratio = math.Round(ratio*1e9)/1e9 + 0 // no negative zero
	}
	if math.IsInf(ratio, 0) || math.IsNaN(ratio) {
		return nil
	}
	return &ratio
}

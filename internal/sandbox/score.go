package sandbox

import (
	"math"
	"time"
)

// trainingSteps is how many points a training metric's history has.
const trainingSteps = 10

// metric is one metric of a run with its history, oldest first.
type metric struct {
	key    string
	points []point
}

type point struct {
	value float64
	at    time.Time
	step  int
}

func (m metric) last() float64 { return m.points[len(m.points)-1].value }

// NextAccuracy sets the accuracy that the next training ends with, instead of
// one that the seed decides. Calls queue up.
func (w *Workspace) NextAccuracy(accuracy float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accuracy = append(w.accuracy, accuracy)
}

// trainingMetrics are learning curves decided by seed and job name alone.
// Callers hold w.mu.
func (w *Workspace) trainingMetrics(j *job) []metric {
	rng := seeded(w.opts.Seed, "metrics/"+j.name)
	accuracy := 0.87 + 0.06*rng.Float64()
	if len(w.accuracy) > 0 {
		accuracy, w.accuracy = w.accuracy[0], w.accuracy[1:]
	}
	span := w.stamp().Sub(j.started)
	curves := []struct {
		key      string
		from, to float64
	}{
		{"accuracy", 0.5, accuracy},
		{"auc", 0.5, math.Min(0.999, accuracy+0.02+0.02*rng.Float64())},
		{"f1", 0.3, accuracy - 0.03 - 0.02*rng.Float64()},
		{"log_loss", 0.693, 1.05 - accuracy},
	}
	out := make([]metric, 0, len(curves))
	for _, c := range curves {
		m := metric{key: c.key}
		for step := range trainingSteps {
			share := float64(step+1) / trainingSteps
			m.points = append(m.points, point{
				value: round4(c.from + (c.to-c.from)*math.Sqrt(share)),
				at:    j.started.Add(time.Duration(share * float64(span))),
				step:  step,
			})
		}
		out = append(out, m)
	}
	return out
}

func round4(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// measure computes a monitor's metric for one feature whose distribution
// moved by shift standard deviations between training and production. For
// two normal distributions of equal width the population stability index is
// exactly shift², so a shift of 0.6 measures 0.36; the other metrics are
// likewise closed forms or close to them.
func measure(name string, shift, trainedAccuracy float64) float64 {
	moved := math.Abs(shift)
	overlap := math.Erf(moved / (2 * math.Sqrt2)) // the Kolmogorov-Smirnov statistic
	switch name {
	case "PopulationStabilityIndex":
		return moved * moved
	case "JensenShannonDistance":
		return math.Sqrt(math.Ln2) * math.Sqrt(1-math.Exp(-moved*moved/8/math.Ln2))
	case "TwoSampleKolmogorovSmirnovTest", "PearsonsChiSquaredTest":
		return math.Min(1, 2*math.Exp(-1000*overlap*overlap)) // a p-value
	case "NullValueRate", "OutOfBoundsRate", "DataTypeErrorRate":
		return math.Min(1, moved/4)
	case "Accuracy", "Precision", "Recall", "NormalizedDiscountedCumulativeGain":
		return math.Max(0, trainedAccuracy-0.2*moved)
	default: // NormalizedWassersteinDistance, MAE, RMSE, ...: grow with the shift
		return moved
	}
}

// lowerIsBad tells on which side of its threshold a metric violates it.
func lowerIsBad(name string) bool {
	switch name {
	case "TwoSampleKolmogorovSmirnovTest", "PearsonsChiSquaredTest", "Accuracy", "Precision",
		"Recall", "NormalizedDiscountedCumulativeGain":
		return true
	}
	return false
}

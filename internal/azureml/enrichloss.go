package azureml

import (
	"maps"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// maxRehydrated bounds the breaches that are added to one event.
const maxRehydrated = 1000

// rehydrate adds to an event whose breach tag was cut the breaches that are
// missing. A monitor's run logs what it measured as <feature>/<metric>; which
// of it violates a threshold the monitor's definition tells, else the breaches
// that the tag kept: one signal holds a metric to one threshold, the kinds of
// feature aside.
func rehydrate(ev *event.Event, m Monitor, metrics map[string]float64) {
	if ev.Loss == nil || len(metrics) == 0 {
		return
	}
	loss := *ev.Loss
	bounds := boundsOf(loss.Signals, m, ev.Breaches)
	for _, key := range slices.Sorted(maps.Keys(metrics)) {
		feature, metric, ok := measured(key)
		found := bounds[strings.ToLower(metric)]
		if !ok || len(found) != 1 || loss.Rehydrated >= maxRehydrated {
			continue
		}
		value, of := metrics[key], found[0]
		b := event.NewBreach(ev.Monitor.Name, of.signal, feature, metric, &value, of.threshold)
		if b.Violates() && !has(ev.Breaches, b) {
			ev.Breaches = append(ev.Breaches, b)
			loss.Rehydrated++
		}
	}
	ev.Loss = &loss
}

// bound is the threshold that a signal holds a metric to.
type bound struct {
	signal    string
	threshold *float64
}

// boundsOf are the bounds by metric in lower case. Where two of the signals
// hold the same metric, nothing tells which of them a number belongs to.
func boundsOf(signals []string, m Monitor, kept []event.Breach) map[string][]bound {
	out := map[string][]bound{}
	for _, signal := range signals {
		for metric, threshold := range thresholdsOf(signal, m, kept) {
			if threshold != nil {
				out[metric] = append(out[metric], bound{signal, threshold})
			}
		}
	}
	return out
}

// measured splits a metric's key into the feature and the metric proper.
func measured(key string) (feature, metric string, ok bool) {
	i := strings.LastIndexByte(key, '/')
	if i <= 0 || i == len(key)-1 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

// thresholdsOf are the bounds of a signal's metrics, by metric in lower case.
func thresholdsOf(signal string, m Monitor, kept []event.Breach) map[string]*float64 {
	out := map[string]*float64{}
	for _, s := range m.Signals {
		if !strings.EqualFold(s.Name, signal) {
			continue
		}
		for _, t := range s.Thresholds {
			out[strings.ToLower(t.Metric)] = t.Value
		}
	}
	for _, b := range kept {
		if b.Signal == signal && b.Threshold != nil {
			out[strings.ToLower(b.Metric)] = b.Threshold
		}
	}
	return out
}

func has(list []event.Breach, b event.Breach) bool {
	return slices.ContainsFunc(list, func(o event.Breach) bool {
		return o.Signal == b.Signal && o.Feature == b.Feature && strings.EqualFold(o.Metric, b.Metric)
	})
}

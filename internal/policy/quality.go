package policy

import (
	"strings"
	"unicode"

	"github.com/modelwarden/modelwarden/internal/event"
)

// dataQuality is the type of the signals that measure the data itself.
const dataQuality = "data_quality"

// DataCause is the cause of reviews about a data asset.
func DataCause(asset string) string { return "data:" + asset }

// TellsOfBadData reports whether an event says that the data itself is broken:
// that a data quality signal breached, in whole or in what is left of a cut
// report.
func TellsOfBadData(ev *event.Event) bool {
	for i := range ev.Breaches {
		if ev.Breaches[i].SignalType == dataQuality {
			return true
		}
	}
	if ev.Loss == nil {
		return false
	}
	for _, signal := range ev.Loss.Signals {
		if namesQuality(signal) {
			return true
		}
	}
	return false
}

// namesQuality tells by a signal's name that it measures data quality: of a
// signal whose breaches were all cut nothing else is known.
func namesQuality(signal string) bool {
	letters := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, signal)
	return strings.HasSuffix(letters, "dataquality")
}

// broken withholds a retrain that would train on broken data: whatever else
// the event reports, it also reports a breach of data quality.
func (d *decider) broken(_ *rule, s *step, _ *recall) (string, string) {
	if s.Type != Retrain || d.set.retrainOnBadData || !TellsOfBadData(d.event) {
		return "", ""
	}
	return ReasonDataQuality, "the data itself is broken, and a retrain would learn from it (retrainOnDataQuality is false)"
}

// dataReview plans the review on the data that stands in for retrains held for
// data quality: one per window, of the cause that lies upstream as far as the
// lineage knows it.
func (d *decider) dataReview(g grounds) {
	key := event.Digest(dataQuality, d.asset, g.window)
	for _, a := range d.result.Actions {
		if a.Key == key {
			return
		}
	}
	g.title = d.title(g.rule, g.decision)
	a := d.intent(&g, &step{Type: Review, Target: Desk, Severity: "error"}, key)
	if len(d.view.Upstream) > 0 {
		a.Cause = DataCause(d.view.Upstream[0])
		a.Inputs["data"] = d.view.Upstream
	}
	a.Reason = "The data is broken, so no retrain is started: it would learn from what is wrong. Mend the data at its source first."
	d.result.Actions = append(d.result.Actions, a)
}

package event

import (
	"cmp"
	"slices"
	"strings"
)

// The two tags by which Azure Machine Learning's model monitoring reports
// breaches: the first on the run of the step that compares with thresholds,
// the second, with the signal's name after it, on the monitor's whole run when
// somebody is to be notified. [azureml-assets, model_monitoring components]
const (
	stepBreachTag = "azureml_modelmonitor_threshold_breached"
	rootBreachTag = "azureml.modelmonitor.threshold.breached."
)

// Bounds of what one event may report.
const (
	maxBreachTags = 128
	maxBreaches   = 2000
	maxFragment   = 200 // bytes
)

// breachTag is one breach tag of a run.
type breachTag struct {
	// signal is what the key says; "" in the step's form.
	signal string
	value  string
}

// breachTags picks the breach tags out of the tags at v, in their order.
func (d *document) breachTags(v span) []breachTag {
	var tags []breachTag
	for key, val := range d.members(v) {
		signal, root := cutPrefixFold(key, rootBreachTag)
		if !root && !strings.EqualFold(key, stepBreachTag) || len(tags) == maxBreachTags {
			continue
		}
		if !root {
			signal = ""
		}
		if text := d.name(val); !blank(text) {
			tags = append(tags, breachTag{signal, text})
		}
	}
	return tags
}

// blank tells a tag that was cleared.
func blank(text string) bool {
	switch strings.ToLower(text) {
	case "", "none", "null", "false":
		return true
	}
	return false
}

// breachReport is all that a run's breach tags say.
type breachReport struct {
	signals []signalReport
}

// signalReport is what one tag says about one signal.
type signalReport struct {
	name    string
	entries []breachEntry
	// loss is why the list is not whole, "" if it is; fragment is the
	// remainder that could not be read.
	loss     string
	fragment string
}

// breachEntry is one entry of the list: one feature and metric.
type breachEntry struct {
	feature, metric  string
	value, threshold *float64
	// cut marks an entry that the text ends in.
	cut bool
}

func readBreachTags(tags []breachTag) breachReport {
	var r breachReport
	for _, t := range tags {
		for text := t.value; text != "" && len(r.signals) < maxBreachTags; {
			var s signalReport
			s, text = readSignal(text)
			s.name = cmp.Or(s.name, t.signal)
			r.signals = append(r.signals, s)
		}
	}
	return r
}

// readSignal reads the sentence and the list that follows it, and returns the
// text behind the list if it speaks of another signal.
//
//	The signal '<name>' has failed due to one or more features violating metric thresholds.
//	The feature names and their corresponding computed metric values violating the threshold are
//	['{"group":"age","metric_value":0.35,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}', …]
func readSignal(text string) (signalReport, string) {
	start := listStart(text)
	s := signalReport{name: signalName(text[:start])}
	if start == len(text) {
		s.loss = LossTruncated
		return s, ""
	}
	list := readList(text[start:])
	s.entries, s.loss, s.fragment = list.entries, list.loss, list.fragment
	rest := strings.TrimSpace(list.rest)
	if signalName(rest[:listStart(rest)]) == "" {
		rest = ""
	}
	return s, rest
}

// listStart is where the list of entries begins: at a bracket that is followed
// by a quote, an object, or the list's end; len(text) when there is none.
func listStart(text string) int {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '{':
			return i
		case text[i] == '[':
			next := strings.TrimLeft(text[i+1:], " \n\t\r")
			if next == "" || strings.IndexByte(`'"{]\`, next[0]) >= 0 {
				return i
			}
		}
	}
	return len(text)
}

// nameQuotes are what has been put around a signal's name, escapes included.
const nameQuotes = " \t\r\n:`'\"\\‘’“”„«»"

// signalName reads the signal's name out of the sentence before the list,
// however it is quoted; "" when the name is missing or may have been cut.
func signalName(sentence string) string {
	sentence = clip(sentence, 1024)
	i := indexFold(sentence, "signal")
	if i < 0 {
		return ""
	}
	after := sentence[i+len("signal"):]
	if end := indexFold(after, " has failed"); end >= 0 {
		return strings.Trim(after[:end], nameQuotes)
	}
	end := " \n" // of a bare word
	if after = strings.TrimLeft(after, " \t\r\n:"); strings.IndexAny(after, nameQuotes) == 0 {
		after, end = strings.TrimLeft(after, nameQuotes), nameQuotes[5:]
	}
	if i = strings.IndexAny(after, end); i < 0 {
		return ""
	}
	return strings.Trim(after[:i], nameQuotes)
}

// indexFold is strings.Index without regard to the case of ASCII letters.
func indexFold(s, lower string) int {
	for i := 0; i+len(lower) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}

// breaches turns the report into breaches, each once although both forms of
// the tag, or a tag on two runs, may report it, and adds up what was lost. A
// signal with no readable entry is still a breach: one of which only the
// signal is known.
func (r breachReport) breaches(monitor string) ([]Breach, *Loss) {
	var out []Breach
	var loss *Loss
	kept := 0
	seen := make(map[breachIdentity]bool)
	for _, s := range r.signals {
		entries := s.entries
		if len(entries) == 0 {
			entries = []breachEntry{{cut: true}}
		}
		for _, entry := range entries {
			id := identify(s.name, entry)
			if seen[id] {
				continue
			}
			if len(out) == maxBreaches {
				s.loss = cmp.Or(s.loss, LossTooMany)
				break
			}
			seen[id] = true
			out = append(out, s.breach(monitor, entry))
			if !entry.cut {
				kept++
			}
		}
		loss = loss.add(s)
	}
	if loss != nil {
		loss.Kept = kept
	}
	return out, loss
}

// breachIdentity is what makes two reports of a breach one.
type breachIdentity struct {
	signal, feature, metric string
	value, threshold        float64
	hasValue, hasThreshold  bool
}

func identify(signal string, e breachEntry) breachIdentity {
	id := breachIdentity{signal: signal, feature: e.feature, metric: e.metric}
	if e.value != nil {
		id.value, id.hasValue = *e.value, true
	}
	if e.threshold != nil {
		id.threshold, id.hasThreshold = *e.threshold, true
	}
	return id
}

// NewBreach is a measurement that was read elsewhere than in a tag, with all
// that follows from its parts. Violates tells whether it is a breach.
func NewBreach(monitor, signal, feature, metric string, value, threshold *float64) Breach {
	s := signalReport{name: signal}
	return s.breach(monitor, breachEntry{feature: feature, metric: metric, value: value, threshold: threshold})
}

// Violates says whether the value lies on the bad side of its threshold. One
// that lies on it passes; one of which either is unknown does not violate.
func (b Breach) Violates() bool {
	switch {
	case b.Value == nil || b.Threshold == nil:
		return false
	case b.Direction == LowerIsBad:
		return *b.Value < *b.Threshold
	}
	return *b.Value > *b.Threshold
}

func (s *signalReport) breach(monitor string, e breachEntry) Breach {
	typ, _ := signalType(s.name)
	d := direction(e.metric)
	return Breach{
		Monitor: monitor, Signal: s.name, SignalType: typ,
		Feature: e.feature, Metric: e.metric,
		Value: e.value, Threshold: e.threshold,
		Direction: d, Exceeded: exceeded(e.value, e.threshold, d),
	}
}

// add notes what was lost of s; l may be nil and stays so if nothing was.
func (l *Loss) add(s signalReport) *Loss {
	if s.loss == "" {
		return l
	}
	if l == nil {
		l = &Loss{Reason: s.loss}
	}
	if s.name != "" && !slices.Contains(l.Signals, s.name) {
		l.Signals = append(l.Signals, s.name)
	}
	if l.Fragment == "" {
		l.Fragment = clip(strings.ToValidUTF8(clip(s.fragment, maxFragment), ""), maxFragment)
	}
	return l
}

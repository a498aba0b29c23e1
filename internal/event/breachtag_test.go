package event_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/event"
	"pgregory.net/rapid"
)

// entry is one element of a breach tag as Azure's component writes it.
type entry struct {
	Group     string   `json:"group"`
	Value     *float64 `json:"metric_value"`
	Metric    string   `json:"metric_name"`
	Threshold *float64 `json:"threshold_value"`
}

// pythonRepr is Python's repr of a string: single quotes, unless the text has
// some and no double ones.
func pythonRepr(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, quote, `\`+quote).Replace(s)
	return quote + s + quote
}

// breachText is the tag's value for a signal.
func breachText(signal string, entries []entry) string {
	list := make([]string, len(entries))
	for i, e := range entries {
		b, _ := json.Marshal(e)
		list[i] = pythonRepr(string(b))
	}
	return "The signal '" + signal + "' has failed due to one or more features violating metric thresholds.\n" +
		"The feature names and their corresponding computed metric values violating the threshold are \n" +
		"[" + strings.Join(list, ", ") + "]\n"
}

func entries() *rapid.Generator[[]entry] {
	number := func(t *rapid.T, name string) *float64 {
		if rapid.IntRange(0, 9).Draw(t, name+"?") == 0 {
			return nil
		}
		f := rapid.Float64Range(-1e6, 1e6).Draw(t, name)
		return &f
	}
	one := rapid.Custom(func(t *rapid.T) entry {
		return entry{
			Group:     rapid.SampledFrom([]string{"age", "tenure months", "customer's age", `say "hi"`, `it's "both"`, `a\b`, "größe", "x,y]", "{z}", "Aggregate"}).Draw(t, "group") + rapid.StringMatching(`[a-z0-9_]{1,6}`).Draw(t, "n"),
			Value:     number(t, "value"),
			Metric:    rapid.SampledFrom([]string{"PopulationStabilityIndex", "Accuracy", "TwoSampleKolmogorovSmirnovTest", "my metric"}).Draw(t, "metric"),
			Threshold: number(t, "threshold"),
		}
	})
	return rapid.SliceOfNDistinct(one, 1, 8, func(e entry) string { return e.Group + e.Metric })
}

// runEvent is a run with tags.
func runEvent(tags map[string]string) event.Envelope {
	data, _ := json.Marshal(map[string]any{"experimentName": "churn_monitor", "runId": "r1", "runTags": tags})
	return event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.RunStatusChanged", Data: data}
}

const (
	stepTag = "azureml_modelmonitor_threshold_breached"
	rootTag = "azureml.modelmonitor.threshold.breached."
)

func parseTags(t interface {
	Helper()
	Fatal(...any)
}, p *event.Parser, tags map[string]string) *event.Event {
	t.Helper()
	e, err := p.Parse(runEvent(tags))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sameNumber(a, b *float64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func matches(b event.Breach, e entry) bool {
	return b.Feature == e.Group && b.Metric == e.Metric && sameNumber(b.Value, e.Value) && sameNumber(b.Threshold, e.Threshold)
}

// layers are what may have happened to the tag's quotes on the way.
var layers = map[string]func(string) string{
	"as written":          func(s string) string { return s },
	"escaped for JSON":    func(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) },
	"all quotes escaped":  func(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(s) },
	"a JSON string in it": func(s string) string { b, _ := json.Marshal(s); return string(b) },
}

func TestWholeBreachTagsAreReadWhole(t *testing.T) {
	p := newParser(t)
	for name, layer := range layers {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := entries().Draw(t, "entries")
				text := layer(breachText("churn_monitor_data_drift", want))
				e := parseTags(t, p, map[string]string{stepTag: text})
				if e.Kind != event.MonitorBreached || e.Loss != nil || len(e.Breaches) != len(want) {
					t.Fatalf("%s: %s, loss %+v, %d breaches of %d", text, e.Kind, e.Loss, len(e.Breaches), len(want))
				}
				for i, b := range e.Breaches {
					if !matches(b, want[i]) || b.Signal != "churn_monitor_data_drift" || b.Monitor != "churn_monitor" || b.SignalType != "data_drift" {
						t.Fatalf("%s: breach %d is %+v, want %+v", text, i, b, want[i])
					}
				}
			})
		})
	}
}

// A tag cut anywhere yields the whole entries before the cut, at most one that
// lost numbers only, and a Loss that says so.
func TestTruncatedBreachTagsYieldWhatIsWhole(t *testing.T) {
	p := newParser(t)
	rapid.Check(t, func(t *rapid.T) {
		all := entries().Draw(t, "entries")
		text := strings.TrimSpace(breachText("churn_monitor_data_drift", all))
		text = strings.ToValidUTF8(text[:rapid.IntRange(1, len(text)-1).Draw(t, "cut")], "")
		e := parseTags(t, p, map[string]string{stepTag: text})
		if e.Kind != event.MonitorBreached || e.Loss == nil || e.Loss.Reason != event.LossTruncated {
			t.Fatalf("%s: %s, loss %+v", text, e.Kind, e.Loss)
		}
		if n := len(e.Breaches); n == 0 || n > e.Loss.Kept+1 || e.Loss.Kept > len(all) {
			t.Fatalf("%s: %d breaches, %d kept", text, n, e.Loss.Kept)
		}
		for i, b := range e.Breaches {
			switch {
			case i < e.Loss.Kept && !matches(b, all[i]):
				t.Fatalf("%s: breach %d is %+v, want %+v", text, i, b, all[i])
			case i == e.Loss.Kept && b.Feature != "" && (b.Feature != all[i].Group || b.Metric != all[i].Metric):
				t.Fatalf("%s: the cut breach is %+v, want %+v", text, b, all[i])
			}
		}
		if len(e.Loss.Fragment) > 200 || !utf8.ValidString(e.Loss.Fragment) {
			t.Fatalf("fragment %q", e.Loss.Fragment)
		}
	})
}

func TestBothTagFormsAreOneBreach(t *testing.T) {
	p := newParser(t)
	value, threshold := 0.35, 0.2
	text := breachText("churn_monitor_data_drift", []entry{{"age", &value, "PopulationStabilityIndex", &threshold}})
	e := parseTags(t, p, map[string]string{stepTag: text, rootTag + "churn_monitor_data_drift": text})
	if len(e.Breaches) != 1 || *e.Breaches[0].Exceeded != 0.75 {
		t.Errorf("%+v", e.Breaches)
	}
	e = parseTags(t, p, map[string]string{
		strings.ToUpper(rootTag) + "my_data_quality": "['{\"group\":\"a\",\"metric_name\":\"NullValueRate\"}']",
	})
	if len(e.Breaches) != 1 || e.Breaches[0].Signal != "my_data_quality" {
		t.Errorf("the key names the signal where the text does not: %+v", e.Breaches)
	}
}

func TestWhatATruncationCosts(t *testing.T) {
	value, threshold := 0.35, 0.2
	text := breachText("s", []entry{{"age", &value, "PSI", &threshold}})
	p := newParser(t)
	for _, c := range []struct {
		name, until         string
		kept                int
		feature, metric     string
		hasValue, hasThresh bool
	}{
		{"the list's bracket", "]", 1, "age", "PSI", true, true},
		{"the closing quote", "']", 1, "age", "PSI", true, true},
		{"the brace", "}", 0, "age", "PSI", true, false},
		{"the threshold", `"threshold_value`, 0, "age", "PSI", true, false},
		{"the metric's last letter", `I","thres`, 0, "", "", false, false},
		{"the list", "[", 0, "", "", false, false},
	} {
		e := parseTags(t, p, map[string]string{stepTag: text[:strings.LastIndex(text, c.until)]})
		b := e.Breaches[0]
		if len(e.Breaches) != 1 || e.Loss == nil || e.Loss.Kept != c.kept || b.Feature != c.feature || b.Metric != c.metric ||
			(b.Value != nil) != c.hasValue || (b.Threshold != nil) != c.hasThresh {
			t.Errorf("cut before %s: %+v, loss %+v", c.name, b, e.Loss)
		}
	}
}

func TestSignalNamesHoweverTheyAreQuoted(t *testing.T) {
	p := newParser(t)
	for sentence, want := range map[string]string{
		"The signal 'a b' has failed due to":             "a b",
		"The signal \"a\" has failed due to":             "a",
		"The signal `a` has failed due to":               "a",
		"The signal ‘a’ has failed due to":               "a",
		"The signal ''a'' has failed due to":             "a",
		"The signal \\'a\\' has failed due to":           "a",
		"The signal a has failed due to":                 "a",
		"The signal it's has failed due to":              "it's",
		"THE SIGNAL 'A' HAS FAILED DUE TO":               "A",
		"Signal: 'a' breached":                           "a",
		"Signal a breached":                              "a",
		"The signal 'a":                                  "",
		"Thresholds are violated":                        "",
		"":                                               "",
		strings.Repeat("x", 5000) + " signal 'a' failed": "",
	} {
		e := parseTags(t, p, map[string]string{stepTag: sentence + "\n['{\"group\":\"g\",\"metric_name\":\"m\"}']"})
		if len(e.Breaches) != 1 || e.Breaches[0].Signal != want {
			t.Errorf("%.60q: %+v, want signal %q", sentence, e.Breaches, want)
		}
	}
}

func TestTooManyBreachesAreCutWithALoss(t *testing.T) {
	var list []entry
	for i := range 5000 {
		list = append(list, entry{Group: fmt.Sprint("f", i), Metric: "PSI"})
	}
	e := parseTags(t, newParser(t), map[string]string{stepTag: breachText("s", list)})
	if len(e.Breaches) != 2000 || e.Loss == nil || e.Loss.Reason != event.LossTooMany || e.Loss.Kept != 2000 {
		t.Errorf("%d breaches, loss %+v", len(e.Breaches), e.Loss)
	}
}

func TestMetricDirections(t *testing.T) {
	p := newParser(t)
	for metric, want := range map[string]event.Direction{
		"TwoSampleKolmogorovSmirnovTest": event.LowerIsBad, "two_sample_kolmogorov_smirnov_test": event.LowerIsBad,
		"PearsonsChiSquaredTest": event.LowerIsBad, "Pearson's chi-squared": event.LowerIsBad,
		"NormalizedDiscountedCumulativeGain": event.LowerIsBad, "ndcg@10": event.LowerIsBad,
		"AggregatedGroundednessPassRate": event.LowerIsBad, "coherence pass-rate": event.LowerIsBad,
		"Accuracy": event.LowerIsBad, "PRECISION": event.LowerIsBad, "macro_recall": event.LowerIsBad,
		"JensenShannonDistance": event.HigherIsBad, "PopulationStabilityIndex": event.HigherIsBad,
		"NormalizedWassersteinDistance": event.HigherIsBad, "NullValueRate": event.HigherIsBad,
		"OutOfBoundsRate": event.HigherIsBad, "DataTypeErrorRate": event.HigherIsBad,
		"MeanAbsoluteError": event.HigherIsBad, "MSE": event.HigherIsBad, "RootMeanSquaredError": event.HigherIsBad,
		"something new": event.HigherIsBad, "": "", "??": "",
	} {
		value, threshold := 0.5, 1.0
		e := parseTags(t, p, map[string]string{stepTag: breachText("s", []entry{{"g", &value, metric, &threshold}})})
		b := e.Breaches[0]
		if b.Direction != want {
			t.Errorf("%q: %q, want %q", metric, b.Direction, want)
		}
		ratio := map[event.Direction]float64{event.LowerIsBad: 0.5, event.HigherIsBad: -0.5}[want]
		if (b.Exceeded == nil) != (want == "") || b.Exceeded != nil && *b.Exceeded != ratio {
			t.Errorf("%q: exceeded %v, want %v", metric, b.Exceeded, ratio)
		}
	}
}

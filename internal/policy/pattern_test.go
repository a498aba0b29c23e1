package policy

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A glob means what the regular expression made of it means.
func TestGlobMeansItsRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("abé*?")), 1, 8, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.RuneFrom([]rune("abé")), 0, 8, -1).Draw(t, "s")
		re := regexp.QuoteMeta(pattern)
		re = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(re)
		if got, want := newGlob(pattern).match(s), regexp.MustCompile("^(?s:"+re+")$").MatchString(s); got != want {
			t.Fatalf("%q matches %q: %t, want %t", pattern, s, got, want)
		}
	})
}

func TestGlobEscapes(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{`a\*b`, "a*b", true}, {`a\*b`, "axb", false}, {`a\*b*`, "a*bc", true},
		{`*\?`, "what?", true}, {`*\?`, "whatx", false}, {`\[x\]`, "[x]", true},
	} {
		if got := newGlob(c.pattern).match(c.s); got != c.want {
			t.Errorf("%s matches %s: %t", c.pattern, c.s, got)
		}
	}
}

func TestGlobIsNotSlowOnHostileNames(t *testing.T) {
	begin := time.Now()
	if newGlob(strings.Repeat("*a", 250) + "b").match(strings.Repeat("a", 10_000)) {
		t.Error("matches")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestFigure(t *testing.T) {
	for x, want := range map[float64]string{
		0.35: "0.35", 0.2: "0.20", 1.0 / 3: "0.3333", 12.5: "12.50", 3: "3", 1234.56: "1235",
		0: "0", -0.5: "-0.50", 0.00001: "1e-05", 2e12: "2e+12", 999.96: "1000",
	} {
		if got := figure(x); got != want {
			t.Errorf("figure(%v) is %s, want %s", x, got, want)
		}
	}
}

func TestDurationReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(maxDuration)).Draw(t, "d"))
		back, err := ParseDuration(d.String())
		if err != nil || back != d {
			t.Fatalf("%s reads as %v, %v", d, back, err)
		}
	})
	for text, want := range map[string]string{"6h": "6h", "30m": "30m", "90s": "1m30s", "2d": "48h", "1d12h": "36h", "0": "0s"} {
		if d, err := ParseDuration(text); err != nil || d.String() != want {
			t.Errorf("%s reads as %s, %v", text, d, err)
		}
	}
}

func TestReadsOfACondition(t *testing.T) {
	for when, want := range map[string]string{
		`breach.metric == "x" && breach.value > 0.2`:                 "breach.metric breach.value",
		`has(metrics.accuracy) && metrics.accuracy < 0.8`:            "metrics.accuracy",
		`run.tags["a.b"] == run.tags.team`:                           `run.tags["a.b"] run.tags.team`,
		`run.tags.exists(run, run == model.name)`:                    "run.tags model.name",
		`[event.kind, "x"].all(k, k in {asset.name: now}.map(q, q))`: "event.kind asset.name now",
		`metrics[event.id] > 1.0`:                                    "metrics event.id",
	} {
		c, problems := compileCondition(when)
		if len(problems) > 0 {
			t.Errorf("%s: %v", when, problems)
			continue
		}
		var got []string
		for _, r := range c.reads {
			got = append(got, r.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s reads %v, want %s", when, got, want)
		}
	}
}

// Every field of every object can be read and tested for in a condition.
func TestEveryFieldOfTheVocabularyCompiles(t *testing.T) {
	for name, o := range objects {
		for f := range o.fields {
			text := "has(" + name + "." + f + ") || " + name + "." + f + " == " + name + "." + f
			if _, problems := compileCondition(text); len(problems) > 0 {
				t.Errorf("%s: %v", text, problems)
			}
		}
	}
}

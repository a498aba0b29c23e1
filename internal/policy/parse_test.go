package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// files reads the examples of a kind, by file name.
func files(t testing.TB, kind string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples in testdata/%s: %v", kind, err)
	}
	out := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(p)] = string(text)
	}
	return out
}

func TestParseAcceptsEveryValidExample(t *testing.T) {
	for name, text := range files(t, "valid") {
		t.Run(name, func(t *testing.T) {
			f, err := policy.Parse(name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policy.Compile(f, policy.CompileOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Every example of a mistake begins with "# want: line:column: path: text".
func TestParsePlacesEveryMistake(t *testing.T) {
	for _, kind := range []string{"invalid", "unsound"} {
		for name, text := range files(t, kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				first, _, _ := strings.Cut(text, "\n")
				want := name + ":" + strings.TrimPrefix(first, "# want: ")
				_, err := policy.Parse(name, []byte(text))
				var problems policy.Problems
				if !errors.As(err, &problems) {
					t.Fatalf("error is %v, want Problems", err)
				}
				if !strings.HasPrefix(problems[0].Error(), want) {
					t.Errorf("got  %s\nwant %s", err, want)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error repeats a secret: %s", err)
				}
			})
		}
	}
}

func TestParseReportsAllProblemsInOrder(t *testing.T) {
	_, err := policy.Parse("p.yaml", []byte(`
polices: []
policies:
  - name: a
    on: [monitor.breached]
    when: breach.valeu > 1.0 || metrcs.x > 1.0
    then: [{review: {severity: bad, ackWithin: soon}}]
targets: {x: {}}
`))
	var problems policy.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error is %v, want Problems", err)
	}
	var places []string
	for _, p := range problems {
		places = append(places, p.Path)
	}
	want := []string{"polices", "policies[0].when", "policies[0].when", "policies[0].then[0].review.severity", "policies[0].then[0].review.ackWithin", "targets.x"}
	if strings.Join(places, " ") != strings.Join(want, " ") {
		t.Errorf("got  %v\nwant %v\n%v", places, want, err)
	}
	for i := 1; i < len(problems); i++ {
		if problems[i].Line < problems[i-1].Line {
			t.Errorf("out of order: %v", err)
		}
	}
}

func TestFileFillsDefaults(t *testing.T) {
	f, err := policy.Parse("p.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.Mode != policy.ModeEnforce || f.APIVersion != policy.APIVersion || len(f.Policies) != 0 {
		t.Errorf("an empty file reads as %+v", f)
	}
	if _, ok := f.Target(policy.Desk); !ok {
		t.Error("desk needs an entry")
	}
}

// config is a configuration that holds the policy part inline, as the
// service's does.
type config struct {
	Listen      string `yaml:"listen"`
	policy.File `yaml:",inline"`
}

func TestPolicyPartReadsInline(t *testing.T) {
	text := "listen: 127.0.0.1:8080\n" + files(t, "valid")["design.yaml"]
	doc, err := strictyaml.Parse("service.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var c config
	if problems := doc.Decode(&c); len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Listen == "" || len(c.Policies) != 2 || c.Policies[0].On[0] != event.MonitorBreached {
		t.Errorf("read %+v", c)
	}
	if _, err := policy.Merge(policy.Part{File: &c.File, Doc: doc}); err != nil {
		t.Error(err)
	}
	var plain config
	if err := yaml.UnmarshalWithOptions([]byte(text), &plain, yaml.Strict()); err != nil {
		t.Fatalf("a plain decoder reads it as well: %v", err)
	}
	if got, want := plain.Policies[0].Then[0].Retrain.Cooldown.String(), "6h"; got != want {
		t.Errorf("a plain decoder reads cooldown %s, want %s", got, want)
	}
}

func TestMergeJoinsFiles(t *testing.T) {
	part := func(name, text string) policy.Part {
		doc, err := strictyaml.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f := &policy.File{}
		if problems := doc.Decode(f); len(problems) > 0 {
			t.Fatal(problems)
		}
		return policy.Part{File: f, Doc: doc}
	}
	a := part("a.yaml", "policies: [{name: a, on: [job.failed], then: [{notify: {target: t}}]}]")
	b := part("b.yaml", "mode: observe\ntargets: {t: {log: {}}}")
	f, err := policy.Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if f.Mode != policy.ModeObserve || len(f.Policies) != 1 || len(f.Targets) != 1 {
		t.Errorf("merged to %+v", f)
	}
	_, err = policy.Merge(a, b, part("c.yaml", "targets: {t: {log: {}}}"))
	if err == nil || !strings.Contains(err.Error(), `c.yaml:1:14: targets.t: target "t" exists already (b.yaml: targets.t)`) {
		t.Errorf("a name taken in another file: %v", err)
	}
}

func TestHashIgnoresLayoutAlone(t *testing.T) {
	hash := func(text string) (set, first string) {
		s := compile(t, text)
		return s.Hash(), s.Policies()[0].Hash
	}
	set, one := hash(`
policies:
  - name: a
    on: [monitor.breached, drift.detected]
    match: {model: [b, a]}
    when: breach.value > 0.25 && breach.metric == "PSI"
    then: [{review: {}}]
`)
	for name, text := range map[string]string{
		"layout, comments, order of alternatives": `
# comment
policies: [{then: [{review: {severity: warning, target: desk}}], name: a, match: {model: [a, b]},
  when: "breach.value>0.25&&breach.metric=='PSI'", on: [drift.detected, monitor.breached]}]
mode: enforce
`,
	} {
		if s, p := hash(text); s != set || p != one {
			t.Errorf("%s changes the hash", name)
		}
	}
	for name, text := range map[string]string{
		"threshold": `policies: [{name: a, on: [monitor.breached, drift.detected], match: {model: [b, a]}, when: 'breach.value > 0.26 && breach.metric == "PSI"', then: [{review: {}}]}]`,
		"severity":  `policies: [{name: a, on: [monitor.breached, drift.detected], match: {model: [b, a]}, when: 'breach.value > 0.25 && breach.metric == "PSI"', then: [{review: {severity: error}}]}]`,
		"match":     `policies: [{name: a, on: [monitor.breached, drift.detected], match: {model: [a]}, when: 'breach.value > 0.25 && breach.metric == "PSI"', then: [{review: {}}]}]`,
	} {
		if s, p := hash(text); s == set || p == one {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

// compile makes a set of a policy file, or fails the test.
func compile(t testing.TB, text string) *policy.Set {
	t.Helper()
	f, err := policy.Parse("policies.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := policy.Compile(f, policy.CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

package policy_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

var update = flag.Bool("update", false, "write testdata/explain.txt anew")

// The text of explanations is compared with a file, to be read in review.
func TestExplainText(t *testing.T) {
	set := compile(t, files(t, "valid")["design.yaml"])
	var out strings.Builder
	w := newWorld(set)
	tell := func(title string, ev *event.Event, view policy.View) {
		view.Asset, view.Memory = "monitor/contoso-ml/churn_monitor", w.memory["monitor/contoso-ml/churn_monitor"]
		if ev.Monitor == nil {
			view.Asset = ""
		}
		out.WriteString("### " + title + "\n\n" + set.Explain(ev, view, w.now).Text() + "\n")
		w.sees(ev)
		w.now = w.now.Add(time.Hour)
	}
	breach := func(window string) *event.Event {
		return monitorEvent(event.MonitorBreached, window, w.now, drift("tenure", 0.22), drift("age", 0.35))
	}
	tell("first window", breach("w1"), policy.View{})
	tell("second window", breach("w2"), policy.View{})
	tell("third window", breach("w3"), policy.View{})
	tell("passed", monitorEvent(event.MonitorPassed, "w4", w.now), policy.View{})
	tell("job without metrics", jobEvent(event.JobCompleted, "run1", "Completed", w.now), policy.View{})
	tell("job with a bad metric", jobEvent(event.JobCompleted, "run2", "Completed", w.now), policy.View{Metrics: map[string]float64{"accuracy": 0.71}})
	if *update {
		if err := os.WriteFile("testdata/explain.txt", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/explain.txt")
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the explanation changed; look at it, then run with -update\n%s", out.String())
	}
}

func TestExplainNamesTheKeyThatFailed(t *testing.T) {
	set := compile(t, `
policies:
  - {name: a, on: [monitor.breached], match: {workspace: other, model: "fraud*", endpoint: x, tags: {team: risk}}, then: [{review: {}}]}
  - {name: b, on: [job.failed], then: [{review: {}}]}`)
	e := set.Explain(monitorEvent(event.MonitorBreached, "w", start, drift("age", 0.3)), policy.View{}, start)
	var failed []string
	for _, p := range e.Policies {
		for _, c := range p.Steps {
			if !c.Passed {
				failed = append(failed, p.Policy+" "+c.Step+" "+c.Name+": "+c.Detail)
			}
		}
	}
	want := `a match model: "churn" is none of "fraud*"
a match endpoint: the event has none; wanted "x"
a match workspace: "contoso-ml" is none of "other"
a match tags.team: the event has none; wanted "risk"
b on : the event is monitor.breached, the policy is on [job.failed]`
	if got := strings.Join(failed, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCompileCanForceObserve(t *testing.T) {
	f, err := policy.Parse("p.yaml", []byte(driftPolicy))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(f, policy.CompileOptions{Observe: true})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, newWorld(set).breach("w1", 0.35), "observe/observe_mode[retrain:observe_mode review:observe_mode]")
	if set.Policies()[0].Effective != policy.ModeObserve {
		t.Error("the effective mode is not observe")
	}
}

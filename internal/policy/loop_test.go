package policy_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// at is some minutes into a story about a retrain.
func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

// fact is one thing that the lineage may know; whoever knows it adds it.
type fact func(*policy.Evidence)

func ended(status string, minute int) fact {
	return func(e *policy.Evidence) { e.Job, e.Status, e.Ended = "job/ws/job1", status, at(minute) }
}

func registered(version string, minute int) fact {
	return func(e *policy.Evidence) {
		e.Versions = append(e.Versions, policy.VersionEvidence{ID: "model/ws/m/" + version, Registered: at(minute)})
	}
}

func deployed(version string, minute int) fact {
	return func(e *policy.Evidence) {
		for i := range e.Versions {
			if e.Versions[i].ID == "model/ws/m/"+version {
				e.Versions[i].Deployment, e.Versions[i].Deployed = "deployment/ws/ep/blue", at(minute)
			}
		}
	}
}

func window(id string, minute int, breached bool) fact {
	return func(e *policy.Evidence) {
		e.Windows = append(e.Windows, policy.LoopWindow{ID: id, At: at(minute), Breached: breached})
	}
}

func evidence(facts ...fact) policy.Evidence {
	var e policy.Evidence
	for _, f := range facts {
		f(&e)
	}
	return e
}

func TestTheFirstWindowWithTheVersionInServiceDecides(t *testing.T) {
	for name, c := range map[string]struct {
		facts   []fact
		verdict policy.Efficacy
		why     string
	}{
		"nothing happened yet": {nil, "", "the run has not ended"},
		"waiting":              {[]fact{ended("Completed", 10)}, "", "the run ended, neither a deployment nor a window was seen since"},
		"failed":               {[]fact{ended("Failed", 10), window("w", 90, true)}, policy.UnknownEfficacy, "the run ended as Failed"},
		"not deployed": {[]fact{ended("Completed", 10), registered("13", 11), window("w", 90, true)},
			policy.UnknownEfficacy, "version 13 not deployed by the next window, which still breached"},
		"deployed, not measured": {[]fact{ended("Completed", 10), registered("13", 11), deployed("13", 20), window("before", 15, true)},
			"", "version 13 deployed, no window was measured since"},
		"measured up to the very moment": {[]fact{ended("Completed", 10), registered("13", 11), deployed("13", 20), window("old", 20, true)},
			"", "version 13 deployed, no window was measured since"},
		"helped": {[]fact{ended("Completed", 10), registered("13", 11), deployed("13", 20), window("before", 15, true), window("w1", 90, false), window("w2", 120, true)},
			policy.Effective, "version 13 deployed, the next window passed"},
		"did not help": {[]fact{ended("Completed", 10), registered("13", 11), deployed("13", 20), window("w2", 120, false), window("w1", 90, true)},
			policy.Ineffective, "version 13 deployed, the next window still breached"},
		"deployed though its end was missed": {[]fact{registered("13", 11), deployed("13", 20), window("w1", 90, false)},
			policy.Effective, "version 13 deployed, the next window passed"},
		"the first of two versions counts": {[]fact{ended("Completed", 10), registered("14", 12), registered("13", 11), deployed("14", 20), window("w1", 90, false)},
			policy.UnknownEfficacy, "version 13 not deployed by the next window, which passed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.Loop{}.With(evidence(c.facts...))
			if got.Verdict != c.verdict || got.Why != c.why {
				t.Errorf("got  %q: %s\nwant %q: %s", got.Verdict, got.Why, c.verdict, c.why)
			}
		})
	}
}

func TestARetrainThatNoMonitorAskedForIsNotJudged(t *testing.T) {
	e := evidence(ended("Completed", 10), registered("13", 11), deployed("13", 20))
	e.Unmeasured = true
	if got := (policy.Loop{}).With(e); got.Verdict != policy.UnknownEfficacy {
		t.Errorf("got %q: %s", got.Verdict, got.Why)
	}
}

// Whatever steps the evidence grew in, whichever of them were seen, and
// however often: the loop ends the same.
func TestLoopsDoNotDependOnOrderOrRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := []fact{
			ended(rapid.SampledFrom([]string{"Completed", "Failed"}).Draw(t, "status"), rapid.IntRange(1, 60).Draw(t, "ended")),
			registered("13", rapid.IntRange(1, 60).Draw(t, "registered 13")), registered("14", rapid.IntRange(1, 60).Draw(t, "registered 14")),
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "windows") {
			facts = append(facts, window(fmt.Sprint("w", i), rapid.IntRange(1, 120).Draw(t, "window"), rapid.Bool().Draw(t, "breached")))
		}
		// A deployment is known of a version that is known.
		last := []fact{deployed("13", rapid.IntRange(1, 90).Draw(t, "deployed 13")), deployed("14", rapid.IntRange(1, 90).Draw(t, "deployed 14"))}
		last = last[:rapid.IntRange(0, 2).Draw(t, "deployments")]
		all := evidence(append(facts, last...)...)
		want := policy.Loop{}.With(all)

		got := policy.Loop{}
		arrived := rapid.Permutation(facts).Draw(t, "order")
		early := rapid.Bool().Draw(t, "deployments are known early")
		for n := range len(arrived) + 1 {
			seen := arrived[:n:n]
			if early {
				seen = append(seen, last...)
			}
			for range rapid.IntRange(0, 2).Draw(t, "repeats") {
				got = got.With(evidence(seen...))
			}
		}
		got = got.With(all)
		if again := got.With(all); !reflect.DeepEqual(again, got) {
			t.Fatalf("adding the same again changes it:\n%+v\n%+v", got, again)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestTheWindowThatDecidedIsKeptWhenTheLineageForgetsIt(t *testing.T) {
	facts := []fact{ended("Completed", 10), registered("13", 11), deployed("13", 20)}
	l := policy.Loop{}.With(evidence(append(facts, window("w1", 90, true))...))
	l = l.With(evidence(append(facts, window("w9", 900, false))...))
	if l.Verdict != policy.Ineffective || l.Window.ID != "w1" {
		t.Errorf("got %q by %+v", l.Verdict, l.Window)
	}
}

func TestCompareTakesTheMetricsInCommon(t *testing.T) {
	c := policy.Compare(start, map[string]float64{"accuracy": 0.91, "loss": 0.2, "auc": 0.9}, map[string]float64{"accuracy": 0.88, "loss": 0.25})
	if got, want := c.Text(), "accuracy 0.91 (champion 0.88), loss 0.20 (champion 0.25)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if c := policy.Compare(start, map[string]float64{"a": 1}, nil); c != nil || c.Text() != "not compared" {
		t.Errorf("got %+v", c)
	}
}

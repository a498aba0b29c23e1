package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const suspendPolicy = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{retrain: {target: hook}}, {review: {}}]
targets: {hook: {log: {}}}
`

const churnMonitor = "monitor/contoso-ml/churn_monitor"

// finds closes the latest retrain with a verdict, by a window that is measured
// an hour on.
func (w *world) finds(verdict policy.Efficacy) {
	w.now = w.now.Add(time.Hour)
	m := w.memory[churnMonitor]["drift"]
	last := m.Trials[len(m.Trials)-1]
	m, _ = m.Ended(last.Key, false).Judge(last.Key, verdict, w.now)
	w.memory[churnMonitor]["drift"] = m
}

func TestAPolicySuspendsItselfAfterRetrainsThatDoNotHelp(t *testing.T) {
	w := newWorld(compile(t, suspendPolicy))
	acts, rests := "act/acted[retrain:acted review:acted]", "act/acted[retrain:suspended review:acted]"
	expect(t, w.breach("w1", 0.35), acts)
	w.finds(policy.Ineffective)
	expect(t, w.breach("w2", 0.35), acts)
	w.finds(policy.UnknownEfficacy)
	expect(t, w.breach("w3", 0.35), acts)
	w.finds(policy.Ineffective)
	expect(t, w.breach("w4", 0.35), rests)
	if s, ok := w.set.Suspended("drift", w.memory[churnMonitor]["drift"], time.Time{}); !ok || s.Retrains != 2 || !strings.Contains(s.Text(), "policy resume drift") {
		t.Errorf("got %+v %v", s, ok)
	}
}

func TestAnEffectiveRetrainEndsTheRow(t *testing.T) {
	w := newWorld(compile(t, suspendPolicy))
	for i, verdict := range []policy.Efficacy{policy.Ineffective, policy.Effective, policy.Ineffective} {
		expect(t, w.breach("w"+string(rune('1'+i)), 0.35), "act/acted[retrain:acted review:acted]")
		w.finds(verdict)
	}
	expect(t, w.breach("w9", 0.35), "act/acted[retrain:acted review:acted]")
}

// suspended is a world in which two retrains did not help.
func suspended(t *testing.T) *world {
	w := newWorld(compile(t, suspendPolicy))
	for _, window := range []string{"w1", "w2"} {
		expect(t, w.breach(window, 0.35), "act/acted[retrain:acted review:acted]")
		w.finds(policy.Ineffective)
	}
	w.now = w.now.Add(time.Hour)
	return w
}

func TestAPassLiftsTheSuspensionAndClosesItsReview(t *testing.T) {
	w := suspended(t)
	w.view.LastPassed = w.now
	r := w.sees(monitorEvent(event.MonitorPassed, "w3", w.now))
	if len(r.Actions) != 1 || r.Actions[0].Type != policy.Resolve || r.Actions[0].Cause != policy.SuspensionCause("drift", churnMonitor) {
		t.Errorf("want the suspension's review resolved, got %+v", r.Actions)
	}
	w.now = w.now.Add(time.Hour)
	expect(t, w.breach("w4", 0.35), "act/acted[retrain:acted review:acted]")
	// The next that does not help begins a new row.
	w.finds(policy.Ineffective)
	w.view.LastPassed = time.Time{}
	expect(t, w.breach("w5", 0.35), "act/acted[retrain:acted review:acted]")
}

func TestTheEndOfABreachedRunLiftsNothing(t *testing.T) {
	w := suspended(t)
	if r := w.sees(monitorEvent(event.MonitorPassed, "w3", w.now)); len(r.Actions) != 0 {
		t.Errorf("got %+v", r.Actions)
	}
	expect(t, w.breach("w4", 0.35), "act/acted[retrain:suspended review:acted]")
}

func TestAnotherTextOfThePolicyLiftsTheSuspension(t *testing.T) {
	w := suspended(t)
	w.set = compile(t, strings.Replace(suspendPolicy, "target: hook", "target: hook, cooldown: 1s", 1))
	expect(t, w.breach("w4", 0.35), "act/acted[retrain:acted review:acted]")
}

func TestAPersonLiftsTheSuspension(t *testing.T) {
	w := suspended(t)
	m, changed := w.memory[churnMonitor]["drift"].ForgiveAll()
	if _, again := m.ForgiveAll(); !changed || again {
		t.Errorf("forgiving: changed %v, again %v", changed, again)
	}
	w.memory[churnMonitor]["drift"] = m
	expect(t, w.breach("w4", 0.35), "act/acted[retrain:acted review:acted]")
}

func TestSuspensionCanBeSwitchedOff(t *testing.T) {
	w := suspended(t)
	w.set = compile(t, strings.Replace(suspendPolicy, "target: hook", "target: hook, suspendAfter: 0", 1))
	for range 3 {
		w.now = w.now.Add(time.Hour)
		expect(t, w.breach("w"+w.now.String(), 0.35), "act/acted[retrain:acted review:acted]")
		w.finds(policy.Ineffective)
	}
}

// quality is a breach of the churn monitor's data quality.
func quality() event.Breach {
	b := drift("age", 0.4)
	b.Signal, b.SignalType, b.Metric = "churn_monitor_data_quality", "data_quality", "NullValueRate"
	return b
}

func TestABreachOfDataQualityNeverRetrains(t *testing.T) {
	w := newWorld(compile(t, suspendPolicy))
	w.view.Upstream = []string{"data/contoso-ml/churn/7"}
	// The drift beside it would retrain on the same broken data.
	r := w.sees(monitorEvent(event.MonitorBreached, "w1", w.now, drift("age", 0.4), quality()))
	expect(t, r, "act/acted[retrain:data_quality review:acted] act/acted[retrain:data_quality review:acted]")
	causes := map[string]int{}
	for _, a := range r.Actions {
		if a.Type != policy.Review {
			t.Errorf("planned a %s", a.Type)
		}
		causes[a.Cause]++
	}
	if causes["data:data/contoso-ml/churn/7"] != 1 || causes["monitor:"+churnMonitor] != 2 {
		t.Errorf("causes %v: want one review on the data", causes)
	}
}

func TestDataQualityWithoutLineageIsOfTheMonitor(t *testing.T) {
	w := newWorld(compile(t, strings.Replace(suspendPolicy, ", {review: {}}", "", 1)))
	ev := monitorEvent(event.MonitorBreached, "w1", w.now)
	ev.Loss = &event.Loss{Reason: event.LossTruncated, Signals: []string{"churn-data-quality"}}
	r := w.sees(ev)
	expect(t, r, "hold/data_quality[retrain:data_quality]")
	if len(r.Actions) != 1 || r.Actions[0].Cause != "monitor:"+churnMonitor || r.Actions[0].Severity != "error" {
		t.Errorf("got %+v", r.Actions)
	}
}

func TestDataQualityMayRetrainWhereTheFileSaysSo(t *testing.T) {
	w := newWorld(compile(t, suspendPolicy+"retrainOnDataQuality: true\n"))
	r := w.sees(monitorEvent(event.MonitorBreached, "w1", w.now, quality()))
	expect(t, r, "act/acted[retrain:acted review:acted]")
}

func TestARetrainThatMayQueueIsPlannedWhileAnotherRuns(t *testing.T) {
	w := newWorld(compile(t, strings.Replace(suspendPolicy, "target: hook", "target: hook, whenBusy: queue", 1)))
	expect(t, w.breach("w1", 0.35), "act/acted[retrain:acted review:acted]")
	w.now = w.now.Add(time.Hour)
	w.view.InFlight = "k@" + churnMonitor
	expect(t, w.breach("w2", 0.35), "act/acted[retrain:acted review:acted]")
}

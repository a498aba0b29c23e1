package policy_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const driftPolicy = `
policies:
  - name: churn-drift
    on: [monitor.breached]
    match: {workspace: contoso-ml, model: "churn*"}
    when: breach.metric == "PopulationStabilityIndex" && breach.value > 0.25
    then:
      - retrain: {target: trainer, cooldown: 6h, maxPerDay: 2}
      - review: {severity: error, ackWithin: 30m}
targets: {trainer: {log: {}}}
`

func TestBreachLeadsToRetrainAndReview(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	r := w.sees(monitorEvent(event.MonitorBreached, "w1", w.now, drift("tenure", 0.22), drift("age", 0.35), drift("plan", 0.5)))
	expect(t, r, "act/acted[retrain:acted review:acted]")
	d := r.Decisions[0]
	if len(d.Breaches) != 2 || d.Breaches[0].Feature != "age" {
		t.Errorf("the condition held for %+v", d.Breaches)
	}
	if got, want := d.Inputs["breach.value"], 0.35; got != want {
		t.Errorf("input breach.value is %v, want that of the deciding breach, %v", got, want)
	}
	if len(r.Actions) != 2 {
		t.Fatalf("planned %d actions", len(r.Actions))
	}
	retrain, review := r.Actions[0], r.Actions[1]
	want := policy.Action{
		Title:    "churn: data_drift of age is 0.35, limit 0.20 (PopulationStabilityIndex), and 1 more",
		Cause:    "monitor:monitor/contoso-ml/churn_monitor",
		Model:    "model/contoso-ml/churn",
		Asset:    "monitor/contoso-ml/churn_monitor",
		Window:   "w1",
		Severity: "error",
	}
	got := policy.Action{Title: review.Title, Cause: review.Cause, Model: review.Model, Asset: review.Asset, Window: review.Window, Severity: review.Severity}
	if g, w := asText(t, got), asText(t, want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	if retrain.State != policy.Pending || retrain.Severity != "" || retrain.Key == review.Key || !retrain.Created.Equal(start) || !retrain.Occurred.Equal(start) {
		t.Errorf("retrain is %+v", retrain)
	}
	if key, partition, ok := policy.SplitID(retrain.ID); !ok || key != retrain.Key || partition != retrain.Asset {
		t.Errorf("id %q", retrain.ID)
	}
	if review.Target != policy.Desk || time.Duration(review.AckWithin) != 30*time.Minute {
		t.Errorf("review is %+v", review)
	}
}

func asText(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOneWindowIsActedOnOnce(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	first := w.breach("w1", 0.35)
	w.now = w.now.Add(72 * time.Hour)
	again := w.breach("w1", 0.35)
	expect(t, again, "hold/same_window[retrain:same_window review:same_window]")
	if again.Decisions[0].Actions[0].Key != first.Actions[0].Key {
		t.Error("another event about the window has another key")
	}
	if len(again.Memory) != 0 {
		t.Error("the repetition changed the memory")
	}
}

func TestEverySignalDecidesForItself(t *testing.T) {
	w := newWorld(compile(t, driftPolicy))
	other := drift("age", 0.4)
	other.Signal = "churn_monitor_prediction_drift"
	r := w.sees(monitorEvent(event.MonitorBreached, "w1", w.now, drift("age", 0.35), other))
	expect(t, r, "act/acted[retrain:acted review:acted] act/acted[retrain:cooldown review:acted]")
	if r.Actions[1].Key == r.Actions[2].Key || r.Actions[1].Cause != r.Actions[2].Cause {
		t.Error("two signals are two keys and one cause")
	}
}

func TestConditionOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		when   string
		event  *event.Event
		view   policy.View
		want   string
		detail string
	}{
		"key there": {when: "metrics.accuracy < 0.8", view: policy.View{Metrics: map[string]float64{"accuracy": 0.7}}, want: "act/acted[review:acted]"},
		"key not there": {when: "metrics.accuracy < 0.8", want: "hold/condition_error",
			detail: "metrics.accuracy is not there; guard it with has(metrics.accuracy)"},
		"key not there, guarded":         {when: "has(metrics.accuracy) && metrics.accuracy < 0.8", want: "hold/condition_false", detail: "the condition is false"},
		"key not there, absorbed":        {when: `metrics.accuracy < 0.8 || run.status == "Failed"`, want: "act/acted[review:acted]"},
		"dotted key not there":           {when: `run.tags["a.b"] == "x"`, want: "hold/condition_error", detail: `run.tags["a.b"] is not there; guard it with`},
		"breach on a job":                {when: "breach.value > 0.1", want: "hold/condition_false", detail: "breach is not known for this event, so the condition does not hold"},
		"breach on a job, absorbed":      {when: `breach.value > 0.1 || run.tags.team == "risk"`, want: "act/acted[review:acted]"},
		"alert on a job, negated":        {when: `!(alert.severity == "Sev0")`, want: "hold/condition_false", detail: "alert is not known"},
		"no champion is no metrics":      {when: "!has(champion.metrics.auc)", want: "act/acted[review:acted]"},
		"champion":                       {when: "metrics.auc < champion.metrics.auc", view: policy.View{Metrics: map[string]float64{"auc": 0.7}, ChampionMetrics: map[string]float64{"auc": 0.8}}, want: "act/acted[review:acted]"},
		"whole number beside a metric":   {when: "metrics.auc < 1", view: policy.View{Metrics: map[string]float64{"auc": 0.7}}, want: "act/acted[review:acted]"},
		"history":                        {when: "history.breaches_24h >= 3", view: policy.View{History: map[string]any{"breaches_24h": 3}}, want: "act/acted[review:acted]"},
		"history not there":              {when: "history.breaches_24h >= 3", want: "hold/condition_error", detail: "history.breaches_24h is not there"},
		"model of the lineage":           {when: `model.stage == "deployed" && model.tags.tier == "1" && model.version == "3"`, view: policy.View{Model: "model/contoso-ml/churn/3", ModelFields: map[string]any{"stage": "deployed", "tags": map[string]any{"tier": "1"}}}, want: "act/acted[review:acted]"},
		"time":                           {when: `now > timestamp("2026-01-01T00:00:00Z") && now - event.time < duration("1h")`, want: "act/acted[review:acted]"},
		"text functions":                 {when: `event.kind.startsWith("job.") && run.experiment.split("-")[0] == "churn"`, want: "act/acted[review:acted]"},
		"stopped for cost while running": {when: `run.tags.exists(k, k.contains("zz"))`, event: manyTags(), want: "hold/condition_error", detail: "the condition took more than 100000 steps"},
		"unset text is absent":           {when: "has(run.origin)", want: "hold/condition_false"},
		"division by zero":               {when: "1 / int(history.zero) == 1", view: policy.View{History: map[string]any{"zero": 0}}, want: "hold/condition_error", detail: "the condition failed: division by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			set := compile(t, "policies: [{name: p, on: [job.failed], when: '"+strings.ReplaceAll(c.when, "'", "''")+"', then: [{review: {}}]}]")
			ev := c.event
			if ev == nil {
				ev = jobEvent(event.JobFailed, "run1", "Failed", start)
			}
			r := set.Decide(ev, c.view, start)
			expect(t, r, c.want)
			if d := r.Decisions[0].Detail; !strings.HasPrefix(d, c.detail) {
				t.Errorf("detail %q, want %q", d, c.detail)
			}
			asText(t, r)
		})
	}
}

// manyTags is an event with more than Azure allows.
func manyTags() *event.Event {
	ev := jobEvent(event.JobFailed, "run1", "Failed", start)
	ev.Run.Tags = map[string]string{}
	for i := range 3000 {
		ev.Run.Tags[strings.Repeat("x", i)] = ""
	}
	return ev
}

func TestUnknownValueIsNotABreachOfTheCondition(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], when: breach.value > 0.25, then: [{review: {}}]}]`)
	unknown := drift("age", 0)
	unknown.Value = nil
	r := set.Decide(monitorEvent(event.MonitorBreached, "w", start, unknown), policy.View{}, start)
	expect(t, r, "hold/condition_error")
	if want := "breach.value is not known in this event; guard it with has(breach.value)"; r.Decisions[0].Detail != want {
		t.Errorf("detail %q", r.Decisions[0].Detail)
	}
	r = set.Decide(monitorEvent(event.MonitorBreached, "w", start, unknown, drift("plan", 0.5)), policy.View{}, start)
	expect(t, r, "act/acted[review:acted]")
}

func TestCutBreachListIsStillASignal(t *testing.T) {
	cut := func() *event.Event {
		ev := monitorEvent(event.MonitorBreached, "w", start)
		ev.Loss = &event.Loss{Reason: "truncated", Signals: []string{"churn_monitor_data_drift"}}
		return ev
	}
	r := compile(t, `policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]`).Decide(cut(), policy.View{}, start)
	expect(t, r, "act/acted[review:acted]")
	if r.Decisions[0].Signal != "churn_monitor_data_drift" {
		t.Errorf("signal %q", r.Decisions[0].Signal)
	}
	r = compile(t, driftPolicy).Decide(cut(), policy.View{}, start)
	expect(t, r, "hold/condition_false")
}

func TestNumbersThatJSONDoesNotKnowDoNoHarm(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], when: "breach.value > 0.1 || metrics.loss != 1.0", then: [{review: {}}]}]`)
	b := drift("age", math.NaN())
	r := set.Decide(monitorEvent(event.MonitorBreached, "w", start, b), policy.View{Metrics: map[string]float64{"loss": math.Inf(1)}}, start)
	expect(t, r, "act/acted[review:acted]")
	asText(t, r)
}

func TestJobsAlertsModelsHaveTheirWindows(t *testing.T) {
	w := newWorld(compile(t, `
policies:
  - {name: job, on: [job.failed, job.completed, job.status], then: [{review: {}}]}
  - {name: alert, on: [alert.fired], then: [{review: {}}]}
  - {name: model, on: [model.registered, model.deployed], then: [{notify: {target: t}}]}
targets: {t: {log: {}}}`))
	expect(t, w.sees(jobEvent(event.JobStatus, "r1", "Failed", start)), "act/acted[review:acted]")
	expect(t, w.sees(jobEvent(event.JobFailed, "r1", "Failed", start.Add(time.Second))), "hold/same_window[review:same_window]")
	expect(t, w.sees(alertEvent(event.AlertFired, "a1", start)), "act/acted[review:acted]")
	expect(t, w.sees(alertEvent(event.AlertFired, "a1", start)), "hold/same_window[review:same_window]")
	expect(t, w.sees(alertEvent(event.AlertFired, "a1", start.Add(time.Hour))), "act/acted[review:acted]")
	expect(t, w.sees(alertEvent(event.AlertFired, "a0", start.Add(-time.Hour))), "act/acted[review:acted]")
	deployed := func(id string) *event.Event {
		return &event.Event{Envelope: event.Envelope{ID: id, Source: "s", Type: "t", Time: start}, Kind: event.ModelDeployed, Workspace: event.Workspace{Alias: "contoso-ml"},
			Deployment: &event.Deployment{Endpoint: "churn-ep", Name: "blue", Models: []event.ModelRef{{Name: "churn", Version: "12"}}}}
	}
	first := w.sees(deployed("1"))
	expect(t, first, "act/acted[notify:acted]")
	if got, want := first.Actions[0].Title, "churn version 12: deployed to churn-ep/blue"; got != want {
		t.Errorf("title %q, want %q", got, want)
	}
	expect(t, w.sees(deployed("1")), "hold/same_window[notify:same_window]")
	expect(t, w.sees(deployed("2")), "act/acted[notify:acted]")
}

func TestMatchSelects(t *testing.T) {
	for match, want := range map[string]bool{
		`{}`:                                       true,
		`{workspace: Contoso-ML}`:                  true,
		`{workspace: other}`:                       false,
		`{model: "churn*"}`:                        true,
		`{model: ["fraud", "ch?rn"]}`:              true,
		`{model: "*-x"}`:                           false,
		`{monitor: churn_monitor, model: churn}`:   true,
		`{signal: "*_data_drift"}`:                 true,
		`{signal: other}`:                          false,
		`{signalType: data_drift}`:                 true,
		`{signalType: model_performance}`:          false,
		`{asset: "monitor/contoso-ml/*"}`:          true,
		`{endpoint: "*"}`:                          false,
		`{experiment: churn_monitor, job: w1}`:     true,
		`{severity: Sev1}`:                         false,
		`{tags: {team: "risk*"}}`:                  true,
		`{tags: {team: "risk*", absent: "*"}}`:     false,
		`{workspace: contoso-ml, model: fraud}`:    false,
		`{model: "\\*"}`:                           false,
		`{model: "*u*n", workspace: "*-m?"}`:       true,
		`{model: "*u*x", workspace: "contoso-ml"}`: false,
	} {
		set := compile(t, "policies: [{name: p, on: [monitor.breached], match: "+match+", then: [{review: {}}]}]")
		ev := monitorEvent(event.MonitorBreached, "w1", start, drift("age", 0.35))
		ev.Run.Tags = map[string]string{"team": "risk-eu"}
		if got := len(set.Decide(ev, policy.View{}, start).Decisions) > 0; got != want {
			t.Errorf("%s selects: %t, want %t", match, got, want)
		}
		if got := set.Selects(ev); got != want {
			t.Errorf("%s: Selects says %t, want %t", match, got, want)
		}
	}
}

func TestSignalMatchNarrowsTheBreaches(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], match: {signal: "*_performance"}, then: [{review: {}}]}]`)
	other := event.Breach{Monitor: "churn_monitor", Signal: "churn_monitor_performance", SignalType: "model_performance", Metric: "Accuracy", Value: ptr(0.71), Threshold: ptr(0.8)}
	r := set.Decide(monitorEvent(event.MonitorBreached, "w", start, drift("age", 0.35), other), policy.View{}, start)
	expect(t, r, "act/acted[review:acted]")
	if d := r.Decisions[0]; d.Signal != "churn_monitor_performance" || len(d.Breaches) != 1 {
		t.Errorf("decided on %+v", d)
	}
}

func TestActionsCarryTwentyBreachesAtMost(t *testing.T) {
	set := compile(t, `policies: [{name: p, on: [monitor.breached], then: [{review: {}}]}]`)
	var many []event.Breach
	for range 73 {
		many = append(many, drift("age", 0.35))
	}
	r := set.Decide(monitorEvent(event.MonitorBreached, "w", start, many...), policy.View{}, start)
	if d := r.Decisions[0]; len(d.Breaches) != 50 || d.MoreBreaches != 23 {
		t.Errorf("the decision has %d and %d more", len(d.Breaches), d.MoreBreaches)
	}
	if want := "churn: data_drift of age is 0.35, limit 0.20 (PopulationStabilityIndex), and 72 more"; r.Actions[0].Title != want {
		t.Errorf("title %q", r.Actions[0].Title)
	}
	in := r.Actions[0].Inputs
	if got := len(in["breaches"].([]event.Breach)); got != 20 || in["moreBreaches"] != 53 {
		t.Errorf("carries %d and %v more", got, in["moreBreaches"])
	}
}

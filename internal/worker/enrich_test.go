package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// azure is what a workspace knows, the same each time it is asked.
type azure struct {
	mu sync.Mutex
	// fail, if set, is asked before every answer.
	fail  func() error
	hang  bool
	asked int
}

// Wants implements worker.Enricher.
func (*azure) Wants(ev *event.Event) bool {
	return ev.Run != nil || ev.Model != nil
}

// Enrich implements worker.Enricher.
func (a *azure) Enrich(ctx context.Context, ev *event.Event, champion worker.Champion) (metrics, championMetrics map[string]float64, err error) {
	a.mu.Lock()
	a.asked++
	fail, hang := a.fail, a.hang
	a.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	if fail != nil {
		if err := fail(); err != nil {
			return nil, nil, err
		}
	}
	return a.answer(ctx, ev, champion)
}

func (*azure) answer(ctx context.Context, ev *event.Event, champion worker.Champion) (metrics, championMetrics map[string]float64, err error) {
	switch {
	case ev.Model != nil && ev.Model.Job == "":
		ev.Model.Job = "job-of-" + ev.Model.Name
	case ev.Monitor != nil && ev.Loss != nil:
		v, bound := 0.9, 0.2
		ev.Breaches = append(ev.Breaches, event.Breach{Monitor: ev.Monitor.Name, Signal: ev.Loss.Signals[0], Feature: "lost", Value: &v, Threshold: &bound})
		ev.Loss.Rehydrated = 1
	case ev.Run != nil:
		ev.Run.Facts = map[string]string{"environment": "azureml:sklearn:5"}
		ev.Run.Inputs = []event.DataRef{{Name: "churn-data", Version: "7"}}
		metrics = accuracyOf(ev.Run.ID)
	}
	serving, err := champion(ctx, ev.Workspace.Alias, "m")
	if serving.Job != "" {
		championMetrics = accuracyOf(serving.Job)
	}
	return metrics, championMetrics, err
}

// accuracyOf are the metrics of a job: the old one was better.
func accuracyOf(job string) map[string]float64 {
	if job == "old" {
		return map[string]float64{"accuracy": 0.9}
	}
	return map[string]float64{"accuracy": 0.7}
}

func (a *azure) set(fail func() error, hang bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail, a.hang = fail, hang
}

func down() error { return errors.New("azure ml: 503") }

const metricPolicies = `
policies:
  - name: floor
    on: [job.completed]
    when: has(metrics.accuracy) && metrics.accuracy < 0.8
    then: [{review: {severity: critical}}]
  - name: any-job
    on: [job.completed]
    then: [{notify: {target: hook}}]
targets: {hook: {log: {}}}
`

func TestTheLineageOfAnEventDoesNotWaitForAzure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newRig(t, metricPolicies, nil), &azure{fail: down}
		r.enrich = a
		job := runEvent("e1", "job1", "Completed", 0, nil)
		r.send(job)
		r.work(time.Second)
		if got := r.load("job/ws/job1"); got.Text("status") != "Completed" || got.Text("environment") != "" {
			t.Errorf("the job is %q in environment %q", got.Text("status"), got.Text("environment"))
		}
		if n, m := r.effects.of(policy.Notify), r.effects.of(policy.Review); n != 1 || m != 0 {
			t.Errorf("%d effects of the policy that needs no metrics, %d of the one that does", n, m)
		}
		if e := r.entry(job).Enrichment; e == nil || e.State != lineage.EnrichmentPending || !e.Waiting {
			t.Errorf("enrichment: %+v", e)
		}

		a.set(nil, false)
		r.work(30 * time.Second)
		if got := r.load("job/ws/job1"); got.Text("environment") != "azureml:sklearn:5" || got.Text("status") != "Completed" {
			t.Errorf("after Azure came back: %+v", got.Fields)
		}
		if got := r.load("data/ws/churn-data/7"); got == nil || len(got.Edges) != 1 || got.Edges[0].Other != "job/ws/job1" {
			t.Errorf("the input's own end of the edge: %+v", got)
		}
		if n, m := r.effects.of(policy.Notify), r.effects.of(policy.Review); n != 1 || m != 1 {
			t.Errorf("%d and %d effects, want one of each policy", n, m)
		}
		e := r.entry(job)
		if e.Enrichment.State != lineage.EnrichmentDone || e.Decisions != 2 || len(e.Actions) != 2 {
			t.Errorf("entry: %+v %+v", e, e.Enrichment)
		}
		if got := r.decisions(job); got["floor"].Inputs["metrics.accuracy"] != 0.7 || got["floor"].Verdict != policy.Act || got["any-job"].Verdict != policy.Act {
			t.Errorf("decisions: %+v", got)
		}
		if n := len(r.logged()); n != 1 {
			t.Errorf("%d events in the log", n)
		}
		if n, m := len(r.actions(policy.Notify)), len(r.actions(policy.Review)); n != 1 || m != 1 {
			t.Errorf("%d and %d actions are listed, want one each", n, m)
		}
		if n := r.listed(lineage.DecisionJournal); n != 2 {
			t.Errorf("%d decisions are listed, want 2", n)
		}
	})
}

func TestPoliciesWaitForMetricsNoLongerThanTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newRig(t, metricPolicies, nil), &azure{fail: down}
		r.enrich = a
		job := runEvent("e1", "job1", "Completed", 0, nil)
		r.send(job)
		stop := r.start()
		time.Sleep(2*time.Minute - time.Second)
		if _, decided := r.decisions(job)["floor"]; decided {
			t.Error("decided before its time")
		}
		time.Sleep(3 * time.Second)
		stop()
		d := r.decisions(job)["floor"]
		if d.Verdict != policy.Hold || !strings.Contains(d.Detail, "Azure Machine Learning could not be asked within 2m0s") {
			t.Errorf("decision: %+v", d)
		}
		a.set(nil, false)
		r.work(10 * time.Minute)
		if got := r.load("job/ws/job1"); got.Text("environment") == "" {
			t.Error("what Azure said in the end is not in the lineage")
		}
		if again := r.decisions(job)["floor"]; again.Verdict != policy.Hold || again.At != d.At || r.effects.of(policy.Review) != 0 {
			t.Errorf("decided again: %+v", again)
		}
	})
}

func TestEnrichmentEndsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newRig(t, metricPolicies, nil), &azure{fail: down}
		r.enrich = a
		job := runEvent("e1", "job1", "Completed", 0, nil)
		r.send(job)
		r.work(7 * time.Hour)
		e := r.entry(job).Enrichment
		if e.State != lineage.EnrichmentFailed || !strings.Contains(e.Detail, "azure ml: 503") {
			t.Errorf("enrichment: %+v", e)
		}
		asked := a.asked
		r.work(7 * time.Hour)
		if a.asked != asked || asked < 20 || asked > 100 {
			t.Errorf("asked %d times, then %d more", asked, a.asked-asked)
		}
		if depth, err := r.db.Queue().Depth(t.Context()); err != nil || depth.Ready+depth.Leased+depth.Delayed+depth.Dead != 0 {
			t.Errorf("the queue is not empty: %+v %v", depth, err)
		}
	})
}

func TestAnAzureThatHangsHoldsUpNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newRig(t, metricPolicies, nil), &azure{hang: true}
		r.enrich = a
		for i := range 300 {
			r.send(runEvent(fmt.Sprint("e", i), fmt.Sprint("job", i), "Completed", 0, nil))
		}
		stop := r.start()
		time.Sleep(5 * time.Second)
		r.send(runEvent("late", "late", "Completed", 1, nil))
		time.Sleep(5 * time.Second)
		if n := r.effects.of(policy.Notify); n != 301 {
			t.Errorf("%d of 301 events were worked on", n)
		}
		a.set(nil, false)
		time.Sleep(10 * time.Minute)
		stop()
		if n := r.effects.of(policy.Review); n < 250 || n > 301 { // those that got no answer within 2 min decided without
			t.Errorf("%d decisions on metrics", n)
		}
		for i := range 300 {
			if got := r.load(lineage.ID(fmt.Sprint("job/ws/job", i))); got.Text("environment") == "" {
				t.Fatalf("job%d was not enriched", i)
			}
		}
	})
}

const worseThanChampion = `
policies:
  - name: worse
    on: [job.completed]
    when: has(metrics.accuracy) && has(champion.metrics.accuracy) && metrics.accuracy < champion.metrics.accuracy
    then: [{review: {severity: critical}}]
`

func TestAChallengerIsComparedWithTheChampion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worseThanChampion, nil)
		r.enrich = &azure{}
		r.send(envelope("ModelRegistered", "m1", "models/m:1", 0, map[string]any{"modelName": "m", "modelVersion": "1", "modelProperties": map[string]any{"azureml.runId": "old"}}),
			envelope("ModelDeployed", "d1", "endpoints/ep", 1, map[string]any{"serviceName": "ep", "modelIds": "m:1"}))
		r.work(time.Minute)
		r.send(runEvent("e1", "new", "Completed", 2, nil))
		r.work(time.Minute)
		if n := r.effects.of(policy.Review); n != 1 {
			t.Errorf("%d reviews, want 1", n)
		}
	})
}

// TestAChallengerThatTookOverIsComparedWithItsPredecessor: what it is compared
// with is who was in service then, not who is when somebody looks.
func TestAChallengerThatTookOverIsComparedWithItsPredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worseThanChampion, nil)
		r.enrich = &azure{}
		for i, job := range []string{"old", "new"} {
			version, minute := fmt.Sprint(i+1), 10*i
			r.send(envelope("ModelRegistered", "m"+version, "models/m:"+version, minute+1, map[string]any{"modelName": "m", "modelVersion": version, "modelProperties": map[string]any{"azureml.runId": job}}),
				envelope("ModelDeployed", "d"+version, "endpoints/ep", minute+2, map[string]any{"serviceName": "ep", "modelIds": "m:" + version}))
			r.work(time.Minute)
			r.send(runEvent("e"+version, job, "Completed", minute, nil))
			r.work(time.Minute)
		}
		if n := r.effects.of(policy.Review); n != 1 {
			t.Errorf("%d reviews, want one: the new job is worse than the old", n)
		}
	})
}

func TestAModelWithoutAJobFindsItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "policies: []", nil)
		r.enrich = &azure{}
		r.send(envelope("ModelRegistered", "m1", "models/m:1", 0, map[string]any{"modelName": "m", "modelVersion": "1"}))
		r.work(time.Minute)
		job := r.load("job/ws/job-of-m")
		if job == nil || len(job.Edges) != 1 || job.Edges[0].Type != lineage.Produced || job.Edges[0].Other != "model/ws/m/1" {
			t.Errorf("the job is %+v", job)
		}
	})
}

func TestBreachesThatATagLostAreDecidedUponWhenTheyAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, `
policies:
  - name: lost
    on: [monitor.breached]
    when: breach.feature == "lost" && breach.value > 0.5
    then: [{review: {severity: warning}}]
`, nil)
		r.enrich = &azure{}
		cut := breach("e1", "m_monitor", "run1", 1)
		cut.Data = []byte(strings.Replace(string(cut.Data), `"threshold_value\":0.2}']`, `"threshold_value\":0.2}', '{\"group\":\"lo`, 1))
		if !strings.Contains(string(cut.Data), `group\":\"lo"`) {
			t.Fatalf("the tag is not cut: %s", cut.Data)
		}
		r.send(cut)
		r.work(time.Minute)
		if n := r.effects.of(policy.Review); n != 1 {
			t.Errorf("%d reviews, want 1", n)
		}
		e := r.entry(cut)
		if e.Loss == nil || e.Loss.Rehydrated != 1 || e.Breaches != 2 {
			t.Errorf("entry: breaches %d, loss %+v", e.Breaches, e.Loss)
		}
		members := r.load("monitor/ws/m_monitor").Sets["measured"]
		var m lineage.Measured
		if len(members) != 1 || json.Unmarshal(members[0].V, &m) != nil || len(m.Breaches) != 2 {
			t.Errorf("the monitor's history: %s", members)
		}
	})
}

// counter is the value of a counter without labels.
func (r *rig) counter(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}

// listed counts a journal's lines.
func (r *rig) listed(j lineage.Journal) (n int) {
	r.t.Helper()
	_, err := j.List(r.t.Context(), r.db.Store(), lineage.Span{}, "", 10_000, func(lineage.JournalEntry) (bool, error) {
		n++
		return true, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) load(id lineage.ID) *lineage.Asset {
	r.t.Helper()
	a, err := lineage.Load(r.t.Context(), r.db.Store(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// entry is an event's log entry.
func (r *rig) entry(e event.Envelope) (out lineage.Entry) {
	r.t.Helper()
	got, err := r.db.Store().Get(r.t.Context(), r.homeOf(e), lineage.EventRecord(e.Key()))
	if err != nil || got[0].Version == "" || json.Unmarshal(got[0].Body, &out) != nil {
		r.t.Fatalf("no entry of %s: %v", e.ID, err)
	}
	return out
}

// decisions are those on an event, by policy; two of one policy fail the test.
func (r *rig) decisions(e event.Envelope) map[string]policy.Decision {
	r.t.Helper()
	list, err := policy.DecisionsOn(r.t.Context(), r.db.Store(), lineage.LogKey(e.Key(), r.homeOf(e)))
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]policy.Decision{}
	for _, d := range list {
		if _, twice := out[d.Policy]; twice {
			r.t.Errorf("policy %s decided twice", d.Policy)
		}
		out[d.Policy] = d
	}
	return out
}

func (r *rig) homeOf(e event.Envelope) string {
	r.t.Helper()
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		r.t.Fatal(err)
	}
	ev, err := parser.Parse(e)
	if err != nil {
		r.t.Fatal(err)
	}
	return lineage.Home(ev)
}

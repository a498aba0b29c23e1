package web_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/web"
)

// remembers gives the monitor's memory of a policy two retrains that did not
// help.
func (w *world) remembers(name string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]policy.Memory{name: {Trials: []policy.Trial{
		{Key: "t1", Verdict: policy.Ineffective, Judged: w.now}, {Key: "t2", Verdict: policy.Ineffective, Judged: w.now},
	}}})
	must(w.t, err)
	_, err = w.store.Commit(w.t.Context(), monitorID, []lineage.Change{{Op: lineage.Upsert, Record: lineage.Record{ID: lineage.MemoryRecord, Body: body}}})
	must(w.t, err)
}

func TestASuspendedPolicyIsResumed(t *testing.T) {
	w := newWorld(t).story()
	w.remembers("churn-drift")
	body := `{"asset":"` + monitorID + `","by":"ada","why":"the feed is mended"}`
	var got web.Resumed
	w.decode(w.ask("POST", "/api/v1/policies/churn-drift/resume", body), 200, &got)
	a, _, err := policy.GetAction(t.Context(), w.store, got.Action)
	must(t, err)
	if a.Type != policy.Resolve || a.State != policy.Pending || a.Cause != policy.SuspensionCause("churn-drift", monitorID) || a.Reason != "resumed by ada: the feed is mended" {
		t.Errorf("got %+v", a)
	}
	if n := len(w.box.sent); n == 0 || string(w.box.sent[n-1].Body) != a.ID {
		t.Error("no worker is woken to close the review")
	}
	rec := w.ask("POST", "/api/v1/policies/churn-drift/resume", body)
	if rec.Code != 409 || !strings.Contains(rec.Body.String(), "nothing to resume") {
		t.Errorf("the second time: %d %s", rec.Code, rec.Body)
	}
}

func TestResumeRefusesWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t).story()
	for body, status := range map[string]int{
		`{"asset":"` + monitorID + `","by":"ada"}`:              404,
		`{"asset":"monitor/contoso-ml/other","by":"ada"}`:       404,
		`{"asset":"nonsense","by":"ada"}`:                       400,
		`{"asset":"` + monitorID + `"}`:                         400,
		`{"asset":"` + monitorID + `","by":"ada","extra":true}`: 400,
	} {
		if rec := w.ask("POST", "/api/v1/policies/nobody/resume", body); rec.Code != status {
			t.Errorf("%s: %d, want %d: %s", body, rec.Code, status, rec.Body)
		}
	}
}

func TestPagesShowWhatBecameOfARetrain(t *testing.T) {
	w := newWorld(t).story()
	w.happen("RunStatusChanged", "experiments/churn_monitor/runs/mon_9", breached("mon_9"), w.act(policy.Action{
		Type: policy.Retrain, Target: "churn-pipeline", Policy: "churn-drift", Title: "churn drifts", State: policy.Succeeded,
		Outcome: &policy.Outcome{Summary: "run ended"},
		Loop:    &policy.Loop{Version: "model/contoso-ml/churn/2", Verdict: policy.Ineffective, Why: "version 2 deployed, the next window still breached"},
	}), w.act(policy.Action{
		Type: policy.Rollback, Target: "slow-pipeline", Policy: "churn-drift", Title: "churn drifts", State: policy.Pending, NextAttempt: w.now,
		Waiting: "waits until 09:16:00 to see whether other models breach",
	}))
	page := w.ask("GET", "/actions", "", "Accept", "text/html").Body.String()
	for _, want := range []string{"<strong>ineffective</strong>: version 2 deployed, the next window still breached", "waits until 09:16:00"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

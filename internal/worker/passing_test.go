package worker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// passed is the end of a monitor's pipeline run that carries no mark.
func passed(id, monitor, root string, minute int) event.Envelope {
	return envelope("RunCompleted", id, "experiments/x/runs/"+root, minute, map[string]any{
		"experimentName": monitor, "runId": root, "runType": "azureml.PipelineRun", "runTags": map[string]any{}, "runProperties": map[string]any{}})
}

func TestAPipelineThatEndsAroundABreachDidNotPass(t *testing.T) {
	for name, step := range map[string]event.Envelope{
		"the step names its pipeline": linked(breach("e1", "m_monitor", "step", 1), "root"),
		"the step does not":           breach("e1", "m_monitor", "step", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, retrainPolicy, nil)
				r.send(step)
				r.work(time.Minute)
				r.send(passed("e2", "m_monitor", "root", 5))
				r.work(time.Minute)
				if n := r.effects.of(policy.Resolve); n != 0 {
					t.Errorf("the end of the breached run resolved the review")
				}
				r.send(passed("e3", "m_monitor", "next", 300))
				r.work(time.Minute)
				if n := r.effects.of(policy.Resolve); n != 1 {
					t.Errorf("%d resolutions by the next window, want 1", n)
				}
			})
		})
	}
}

// linked makes a step's event name its pipeline run.
func linked(e event.Envelope, root string) event.Envelope {
	e.Data = []byte(strings.Replace(string(e.Data), `"runProperties":{}`, `"runProperties":{"azureml.rootpipelinerunid":"`+root+`"}`, 1))
	return e
}

func TestATimeYearsAheadIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		wild := runEvent("e1", "job1", "Running", 0, nil)
		wild.Time = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		r.send(wild)
		r.work(time.Minute)
		// The same event again, later: it keeps the time it was first seen at.
		r.send(wild)
		r.work(time.Hour)
		r.send(event.Envelope{ID: "e2", Source: source, Type: wild.Type, Subject: wild.Subject, Time: time.Now(),
			Data: []byte(`{"runId":"job1","runStatus":"Completed"}`)})
		r.work(time.Minute)
		job, err := lineage.Load(t.Context(), r.db.Store(), "job/ws/job1")
		if err != nil || job.Status() != "Completed" {
			t.Errorf("the job is %q: a time in 9999 hides what happened since (%v)", job.Status(), err)
		}
		got, err := r.db.Store().Get(t.Context(), "job/ws/job1", lineage.EventRecord(wild.Key()))
		if err != nil || !strings.Contains(string(got[0].Body), "lies years ahead") {
			t.Errorf("the log entry does not say so: %s %v", got[0].Body, err)
		}
	})
}

func TestAFencedReplayOfAHalfDoneEventDoesNotAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		down := true
		r.effects.answer = func(policy.Action) (policy.Outcome, error) {
			if down {
				return policy.Outcome{}, errors.New("target is down")
			}
			return policy.Outcome{}, nil
		}
		e := breach("e1", "m_monitor", "run1", 1)
		r.send(e)
		r.work(100 * time.Millisecond)
		calls := r.effects.calls[r.actionsOf(e)[0]]
		down = false
		r.sendRaw(lineage.Message{ID: "again", Body: e.AppendJSON(nil), Properties: map[string]string{lineage.PropFenced: "true"}})
		stop := r.start()
		time.Sleep(time.Millisecond)
		stop()
		if got := r.effects.calls[r.actionsOf(e)[0]]; got != calls {
			t.Errorf("a fenced replay called the target: %d calls, before %d", got, calls)
		}
	})
}

// actionsOf are the keys of the actions that an event caused.
func (r *rig) actionsOf(e event.Envelope) (keys []string) {
	r.t.Helper()
	for _, a := range r.actions(policy.Retrain) {
		if strings.HasPrefix(a.Event, string(e.Key())) {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

func TestTwoWorkspacesOfOneNameAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "policies: []", nil)
		mine, other := runEvent("e1", "j1", "Running", 0, nil), runEvent("e2", "j2", "Running", 0, nil)
		other.Source = strings.Replace(source, "/rg/", "/elsewhere/", 1)
		for range 2 {
			r.send(mine, other)
			r.work(time.Minute)
		}
		got := r.actions(policy.Review)
		if len(got) != 1 || got[0].State != policy.Succeeded || !strings.Contains(got[0].Reason, "elsewhere") {
			t.Errorf("want one review that names both workspaces, got %+v", got)
		}
	})
}

func TestASlowTargetHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = func(policy.Action) (policy.Outcome, error) {
			time.Sleep(25 * time.Second)
			return policy.Outcome{}, nil
		}
		stop := r.start()
		r.send(breach("e1", "m_monitor", "run1", 1), runEvent("e2", "j2", "Running", 0, nil))
		time.Sleep(time.Second)
		r.send(runEvent("e3", "j3", "Running", 0, nil))
		time.Sleep(time.Second)
		if n := len(r.logged()); n != 3 {
			t.Errorf("%d events listed while a target is slow, want 3", n)
		}
		if d, err := r.db.Queue().Depth(t.Context()); err != nil || d.Leased != 1 || d.Ready != 0 {
			t.Errorf("want only the acting event unsettled, got %+v %v", d, err)
		}
		stop()
		if n := r.effects.of(policy.Retrain); n != 1 {
			t.Errorf("%d retrains after the drain", n)
		}
	})
}

func TestActionsThatADeadProcessLeftOpenAreTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = func(policy.Action) (policy.Outcome, error) { return policy.Outcome{}, errors.New("down") }
		r.send(breach("e1", "m_monitor", "run1", 1))
		r.work(100 * time.Millisecond)
		open := r.actions(policy.Retrain)[0]
		// As if the process had died while it acted, and the message were buried.
		_, version, err := policy.GetAction(t.Context(), r.db.Store(), open.ID)
		if err != nil {
			t.Fatal(err)
		}
		open.State, open.ClaimedBy, open.ClaimedUntil, open.NextAttempt = policy.Claimed, "dead", time.Now().Add(time.Hour), time.Time{}
		if _, err := policy.PutAction(t.Context(), r.db.Store(), open, version); err != nil {
			t.Fatal(err)
		}
		r.effects.answer = nil
		r.work(time.Minute)
		if got := r.actions(policy.Retrain)[0]; got.State != policy.Succeeded {
			t.Errorf("the action is still %s", got.State)
		}
	})
}

func TestADeploymentOfAThousandModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "policies: []", nil)
		ids := make([]string, 1000)
		for i := range ids {
			ids[i] = fmt.Sprintf("model-with-a-rather-long-name-%d:1", i)
		}
		r.send(envelope("ModelDeployed", "e1", "endpoints/ep", 1, map[string]any{"serviceName": "ep", "modelIds": strings.Join(ids, ",")}))
		r.work(time.Minute)
		g, err := lineage.Walk(t.Context(), r.db.Store(), "deployment/ws/ep/default", lineage.WalkOptions{Direction: lineage.Up, Depth: 1})
		if err != nil || len(g.Nodes) != lineage.MaxNodes || !g.Truncated {
			t.Fatalf("%d nodes, truncated %v, %v", len(g.Nodes), g.Truncated, err)
		}
		last, err := lineage.Load(t.Context(), r.db.Store(), "model/ws/model-with-a-rather-long-name-999/1")
		if err != nil || last == nil || last.Stage() != "deployed" {
			t.Errorf("the last model is not known as deployed: %+v %v", last, err)
		}
		d, err := lineage.Load(t.Context(), r.db.Store(), "deployment/ws/ep/default")
		if err != nil || len(d.ServedHistory()) != 1 {
			t.Errorf("what the deployment served is not kept: %v", err)
		}
	})
}

func TestAPassAfterARetrainIsMeasuredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.send(breach("e1", "m_monitor", "run1", 0))
		r.work(time.Minute)
		r.send(passed("e2", "m_monitor", "run2", 180))
		r.work(time.Minute)
		families, err := r.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "modelwarden_retrain_recovery_seconds" {
				continue
			}
			if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 3*60*60 {
				t.Errorf("measured %d times, %v s; want once, three hours", h.GetSampleCount(), h.GetSampleSum())
			}
		}
		if got := r.actions(policy.Retrain); len(got) != 1 || !got[0].Recovered.Equal(storyTime(180)) {
			t.Errorf("the retrain does not say when its breach was over: %+v", got)
		}
		r.send(passed("e3", "m_monitor", "run3", 300))
		r.work(time.Minute)
		if got := r.actions(policy.Retrain)[0]; !got.Recovered.Equal(storyTime(180)) {
			t.Errorf("a later pass moved it to %v", got.Recovered)
		}
	})
}

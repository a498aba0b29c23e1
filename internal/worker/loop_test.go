package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/internal/review"
)

// registered is a model version that a run produced.
func registered(id, model, version, run string, minute int) event.Envelope {
	return envelope("ModelRegistered", id, "models/"+model+":"+version, minute, map[string]any{
		"modelName": model, "modelVersion": version, "modelProperties": map[string]any{"azureml.runId": run}})
}

// deployed is a model version going into service.
func deployed(id, model, version string, minute int) event.Envelope {
	return envelope("ModelDeployed", id, "endpoints/ep-"+model, minute, map[string]any{"serviceName": "ep-" + model, "modelIds": model + ":" + version})
}

// retrain is the latest retrain; the test fails without one.
func (r *rig) retrain() policy.Action {
	r.t.Helper()
	all := r.actions(policy.Retrain)
	if len(all) == 0 {
		r.t.Fatal("there is no retrain")
	}
	return slices.MaxFunc(all, func(x, y policy.Action) int { return x.Occurred.Compare(y.Occurred) })
}

// trained are the events of a retrain that went well: its run ends, a version
// is registered and goes into service, ten minutes apart.
func trained(a policy.Action, version string, minute int) []event.Envelope {
	run := "job-" + a.Key
	return []event.Envelope{
		runEvent("end"+version, run, "Completed", minute, map[string]any{event.OriginTag: a.ID}),
		registered("reg"+version, "m", version, run, minute+10),
		deployed("dep"+version, "m", version, minute+20),
	}
}

// withDesk files the rig's reviews on a desk.
func (r *rig) withDesk() *review.Desk {
	desk := review.NewDesk(r.store, time.Now)
	r.inform = desk.Inform
	r.effects.answer = func(a policy.Action) (policy.Outcome, error) {
		ctx := context.Background()
		switch a.Type {
		case policy.Review:
			_, _, err := desk.Raise(ctx, review.Signal{Cause: a.Cause, Key: a.Key, At: a.Occurred, Window: a.Window, Title: a.Title, Reason: a.Reason,
				Severity: review.Severity(a.Severity), Event: a.Event, Asset: a.Asset, Model: a.Model, Policy: a.Policy, Part: a.Part})
			return policy.Outcome{Summary: "raised"}, err
		case policy.Resolve:
			_, _, err := desk.Pass(ctx, a.Cause, review.Passing{At: a.Occurred, Window: a.Window, Text: a.Reason, Key: a.Key})
			return policy.Outcome{Summary: "passed"}, err
		}
		return startsRun(a)
	}
	return desk
}

// reviewOf is the newest review of a cause.
func (r *rig) reviewOf(desk *review.Desk, cause string) review.Review {
	r.t.Helper()
	all, _, err := desk.List(r.t.Context(), review.Filter{}, "", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rev := range all {
		if rev.Cause == cause {
			return rev
		}
	}
	r.t.Fatalf("no review of %s", cause)
	return review.Review{}
}

const monitorM = "monitor/ws/m_monitor"

func TestABreachIsRetrainedAndCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		desk := r.withDesk()
		r.send(breach("b1", "m_monitor", "w1", 0))
		r.work(time.Minute)
		a := r.retrain()
		for i, why := range []string{
			"the run ended, neither a deployment nor a window was seen since",
			"the run ended, neither a deployment nor a window was seen since",
			"version 13 deployed, no window was measured since",
		} {
			r.send(trained(a, "13", 30)[i])
			r.work(time.Minute)
			if got := r.retrain().Loop; got.Why != why || got.Verdict != "" {
				t.Errorf("after step %d: %q %s", i, got.Verdict, got.Why)
			}
		}
		r.send(passed("p1", "m_monitor", "w2", 180))
		r.work(time.Minute)
		l := r.retrain().Loop
		if l.Verdict != policy.Effective || l.Job != "job/ws/job-"+a.Key || l.Version != "model/ws/m/13" || l.Deployment != "deployment/ws/ep-m/default" ||
			!l.Ended.Equal(storyTime(30)) || !l.Registered.Equal(storyTime(40)) || !l.Deployed.Equal(storyTime(50)) || l.Window.ID != "w2" {
			t.Errorf("got %+v", l)
		}
		history := r.reviewOf(desk, "monitor:"+monitorM).History
		if !slices.ContainsFunc(history, func(h review.Transition) bool {
			return h.Why == "retrain "+a.Key+": version 13 deployed, the next window passed (effective)"
		}) {
			t.Errorf("the review does not tell: %+v", history)
		}
		want := "# HELP modelwarden_retrain_outcomes_total Retrains by policy and whether they helped: effective, ineffective, unknown. One whose verdict later news revises is counted again under the new one.\n" +
			"# TYPE modelwarden_retrain_outcomes_total counter\nmodelwarden_retrain_outcomes_total{policy=\"drift\",verdict=\"effective\"} 1\n"
		if err := testutil.GatherAndCompare(r.registry, strings.NewReader(want), "modelwarden_retrain_outcomes_total"); err != nil {
			t.Error(err)
		}
	})
}

// ineffective plays a retrain whose version is put in service and changes
// nothing: it begins with a breach at the minute and ends with the next one.
func (r *rig) ineffective(version string, minute int) {
	r.t.Helper()
	r.send(trained(r.retrain(), version, minute+10)...)
	r.work(time.Minute)
	r.send(breach("b"+version, "m_monitor", "w"+version, minute+60))
	r.work(time.Minute)
}

func TestAPolicyWhoseRetrainsDoNotHelpIsSuspendedUntilThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		desk := r.withDesk()
		r.send(breach("b0", "m_monitor", "w0", 0))
		r.work(time.Minute)
		r.ineffective("1", 0)
		r.ineffective("2", 60)
		cause := policy.SuspensionCause("drift", monitorM)
		rev := r.reviewOf(desk, cause)
		if rev.State != review.Open || rev.Count != 1 || !strings.Contains(rev.Reason, "2 retrains in a row") {
			t.Errorf("got %+v", rev)
		}
		r.send(breach("b3", "m_monitor", "w3", 180))
		r.work(time.Minute)
		if n := r.effects.of(policy.Retrain); n != 2 {
			t.Errorf("%d retrains, want the two that did not help", n)
		}
		if n := r.heldDecisions(policy.ReasonSuspended); n == 0 {
			t.Error("no decision says that the policy is suspended")
		}
		r.send(passed("p1", "m_monitor", "w4", 600))
		r.work(time.Minute)
		if rev := r.reviewOf(desk, cause); rev.State != review.Resolved {
			t.Errorf("after the pass the review of the suspension is %s", rev.State)
		}
		r.send(breach("b5", "m_monitor", "w5", 900))
		r.work(time.Minute)
		if n := r.effects.of(policy.Retrain); n != 3 {
			t.Errorf("%d retrains, want one more after the suspension was lifted", n-2)
		}
	})
}

func TestThreeDuplicateWindowsAreOneJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		for i := range 3 {
			r.send(breach(fmt.Sprint("b", i), "m_monitor", "w1", i), breach(fmt.Sprint("c", i), "m_monitor", fmt.Sprint("w1", i), i))
			r.work(time.Minute)
		}
		if n := r.effects.of(policy.Retrain); n != 1 {
			t.Errorf("%d jobs", n)
		}
	})
}

// Whatever order the news of a retrain comes in, and however often: it ends in
// the same loop, in the same suspension and in one review of it.
func TestTheOrderOfTheNewsDoesNotMatter(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var faults *porttest.Faults
				if seed%2 == 1 {
					faults = &porttest.Faults{Seed: seed, Before: 0.02, After: 0.02, Conflict: 0.05}
				}
				r := newRig(t, strings.Replace(retrainPolicy, "target: hook", "target: hook, suspendAfter: 1", 1), faults)
				r.effects.answer = startsRun
				r.send(breach("b0", "m_monitor", "w0", 0))
				r.work(2 * time.Hour)
				rng := rand.New(rand.NewPCG(seed, 7))
				news := append(trained(r.retrain(), "13", 30), breach("b1", "m_monitor", "w1", 60), passed("p1", "m_monitor", "w2", 50), breach("b2", "m_monitor", "w3", 70))
				news[4] = breach("b3", "m_monitor", "w4", 90)
				news = append(news, news...)
				rng.Shuffle(len(news), func(i, j int) { news[i], news[j] = news[j], news[i] })
				first := r.retrain().ID
				for chunk := range slices.Chunk(news, 1+rng.IntN(4)) {
					r.send(chunk...)
					r.work(time.Duration(rng.IntN(2000)) * time.Millisecond)
				}
				if faults != nil {
					faults.Stop()
				}
				r.work(2 * time.Hour)
				a, _, err := policy.GetAction(t.Context(), r.db.Store(), first)
				if err != nil || a.Loop == nil {
					t.Fatal(a, err)
				}
				if l := a.Loop; l.Verdict != policy.Ineffective || l.Window.ID != "w1" || l.Version != "model/ws/m/13" || !l.Deployed.Equal(storyTime(50)) {
					t.Errorf("got %+v", *l)
				}
				told := map[string]bool{}
				for _, n := range r.actions(policy.Review) {
					if n.Cause == policy.SuspensionCause("drift", monitorM) && n.State == policy.Succeeded {
						told[n.Key] = true
					}
				}
				if len(told) != 1 {
					t.Errorf("%d reviews tell of the suspension", len(told))
				}
				r.checkActions()
			})
		})
	}
}

func TestAComparisonWithTheChampionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		r.enrich = champion{}
		r.send(breach("b0", "m_monitor", "w0", 0))
		r.work(time.Minute)
		r.send(trained(r.retrain(), "13", 30)...)
		r.work(time.Minute)
		if got, want := r.retrain().Loop.Comparison.Text(), "accuracy 0.91 (champion 0.88)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAPersonResumesASuspendedPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, strings.Replace(retrainPolicy, "target: hook", "target: hook, suspendAfter: 1", 1), nil)
		desk := r.withDesk()
		r.send(breach("b0", "m_monitor", "w0", 0))
		r.work(time.Minute)
		r.ineffective("1", 0)
		stop := r.start()
		a, err := policy.Resume(t.Context(), r.store, "drift", monitorM, "ann", "mended", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.sendRaw(policy.WakeMessage(a.ID, time.Time{}))
		time.Sleep(time.Minute)
		r.send(breach("b2", "m_monitor", "w2", 120))
		time.Sleep(time.Minute)
		stop()
		if n := r.effects.of(policy.Retrain); n != 2 {
			t.Errorf("%d retrains, want another after the policy was resumed", n)
		}
		if rev := r.reviewOf(desk, policy.SuspensionCause("drift", monitorM)); rev.State != review.Resolved || rev.Resolution.Cause != "resumed by ann: mended" {
			t.Errorf("got %s %+v", rev.State, rev.Resolution)
		}
		if got := r.retrain(); !got.Recovered.IsZero() {
			t.Error("a person's word was taken for a pass of the monitor")
		}
		r.checkActions()
	})
}

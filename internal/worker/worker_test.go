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

const retrainPolicy = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{retrain: {target: hook}}, {review: {severity: warning}}]
targets: {hook: {log: {}}}
`

func TestOneDecisionHasOneEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		for range 3 {
			r.send(breach("e1", "m_monitor", "run1", 1), breach("e2", "m_monitor", "run1", 2))
		}
		r.work(time.Minute)
		if n, m := r.effects.of(policy.Retrain), r.effects.of(policy.Review); n != 1 || m != 1 {
			t.Errorf("%d retrains and %d reviews of one window", n, m)
		}
		if n := len(r.logged()); n != 2 {
			t.Errorf("%d events in the log, want 2", n)
		}
	})
}

func TestARunThatATargetStartedEndsItsAction(t *testing.T) {
	for status, want := range map[string]policy.State{"Completed": policy.Succeeded, "Failed": policy.Failed} {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, retrainPolicy, nil)
				r.effects.answer = startsRun
				r.send(breach("e1", "m_monitor", "run1", 1))
				r.work(time.Minute)
				started := r.actions(policy.Retrain)
				if len(started) != 1 || started[0].State != policy.Running {
					t.Fatalf("want one running retrain, got %+v", started)
				}
				r.send(runEvent("e2", "job-"+started[0].Key, status, 5, map[string]any{event.OriginTag: started[0].ID}))
				r.work(time.Minute)
				if got := r.actions(policy.Retrain)[0]; got.State != want {
					t.Errorf("after %s the action is %s", status, got.State)
				}
				wantNotices := 1
				if want == policy.Failed {
					wantNotices = 2
				}
				if n := r.effects.of(policy.Review); n != wantNotices {
					t.Errorf("%d reviews, want %d: a failed run is told to people", n, wantNotices)
				}
			})
		})
	}
}

// startsRun is a target that starts a run for a retrain.
func startsRun(a policy.Action) (policy.Outcome, error) {
	if a.Type == policy.Retrain {
		return policy.Outcome{Summary: "started", Run: "job-" + a.Key}, nil
	}
	return policy.Outcome{Summary: "done"}, nil
}

func TestARunThatEndedBeforeItWasRecordedIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		b := breach("e1", "m_monitor", "run1", 1)
		stop := r.start()
		first := true
		r.effects.answer = func(a policy.Action) (policy.Outcome, error) {
			out, err := startsRun(a)
			if a.Type == policy.Retrain && first {
				// The run is over before the effector's answer arrives.
				first = false
				r.send(runEvent("e2", out.Run, "Completed", 5, map[string]any{event.OriginTag: a.ID}))
				time.Sleep(10 * time.Second)
			}
			return out, err
		}
		r.send(b)
		time.Sleep(time.Minute)
		stop()
		if got := r.actions(policy.Retrain); len(got) != 1 || got[0].State != policy.Succeeded {
			t.Errorf("want the retrain to have succeeded, got %+v", got)
		}
	})
}

func TestARunThatNobodyHearsOfTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		r.send(breach("e1", "m_monitor", "run1", 1))
		r.work(25 * time.Hour)
		if got := r.actions(policy.Retrain); len(got) != 1 || got[0].State != policy.Failed || !strings.Contains(got[0].LastError, "24h") {
			t.Errorf("want a failed retrain that says why, got %+v", got)
		}
	})
}

func TestOneRetrainOfAModelIsInFlightAcrossMonitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		// Two monitors of the same model, at the same moment.
		r.send(breach("e1", "m_monitor", "run1", 1), breach("e2", "m_mon", "run2", 1))
		r.work(time.Minute)
		if n := r.effects.of(policy.Retrain); n != 1 {
			t.Fatalf("%d retrains started, want 1", n)
		}
		var held, running int
		for _, a := range r.actions(policy.Retrain) {
			switch {
			case a.State == policy.Suppressed && a.SuppressedBy == policy.ReasonInFlight:
				held++
			case a.State == policy.Running:
				running++
			}
		}
		decided := r.heldDecisions(policy.ReasonInFlight)
		if running != 1 || held+decided != 1 {
			t.Errorf("%d running, %d held at dispatch, %d held by decision", running, held, decided)
		}
	})
}

// heldDecisions counts planned actions that were held for a reason.
func (r *rig) heldDecisions(reason string) int {
	n := 0
	for key := range r.logged() {
		ds, err := policy.DecisionsOn(r.t.Context(), r.db.Store(), key)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range ds {
			for _, a := range d.Actions {
				if a.Reason == reason {
					n++
				}
			}
		}
	}
	return n
}

func TestABudgetHoldsAcrossAssetsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy+"budgets: [{name: few, match: {workspace: ws}, retrainsPerDay: 2}]\n", nil)
		for i := range 5 {
			r.send(breach(fmt.Sprint("e", i), fmt.Sprintf("m%d_monitor", i), fmt.Sprint("run", i), i))
		}
		r.work(time.Minute)
		if n := r.effects.of(policy.Retrain); n != 2 {
			t.Errorf("%d retrains, the budget allows 2", n)
		}
		suppressed := 0
		for _, a := range r.actions(policy.Retrain) {
			if a.State == policy.Suppressed && a.SuppressedBy == policy.ReasonBudget {
				suppressed++
			}
		}
		// Five reviews by the policy, and one for each retrain that was held.
		if n := r.effects.of(policy.Review); suppressed != 3 || n != 8 {
			t.Errorf("%d suppressed (want 3), %d reviews (want 8)", suppressed, n)
		}
	})
}

func TestAFailedActionIsVisibleAndRetryable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		broken := true
		r.effects.answer = func(a policy.Action) (policy.Outcome, error) {
			if broken && a.Type == policy.Retrain {
				return policy.Outcome{}, errors.New("target is down")
			}
			return policy.Outcome{Summary: "done"}, nil
		}
		r.send(breach("e1", "m_monitor", "run1", 1))
		r.work(time.Hour)
		failed := r.actions(policy.Retrain)
		if len(failed) != 1 || failed[0].State != policy.Failed || failed[0].Attempts != 50 || failed[0].LastError != "target is down" {
			t.Fatalf("want a retrain that failed after 50 attempts, got %+v", failed)
		}
		if n := r.effects.of(policy.Review); n != 2 {
			t.Errorf("%d reviews, want one by the policy and one that tells of the failure", n)
		}
		broken = false
		if _, err := policy.RetryAction(t.Context(), r.db.Store(), failed[0].ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.sendRaw(policy.WakeMessage(failed[0].ID, time.Time{}))
		r.work(time.Minute)
		if got := r.actions(policy.Retrain)[0]; got.State != policy.Succeeded {
			t.Errorf("after the retry the action is %s", got.State)
		}
	})
}

func TestAPermanentRefusalIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, strings.ReplaceAll(retrainPolicy, "hook", "nowhere"), nil)
		r.send(breach("e1", "m_monitor", "run1", 1))
		r.work(time.Hour)
		got := r.actions(policy.Retrain)
		if len(got) != 1 || got[0].State != policy.Failed || got[0].Attempts != 1 {
			t.Errorf("want one failed attempt at a target that is not there, got %+v", got)
		}
	})
}

func TestAFencedReplayRebuildsLineageAndDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		e := breach("e1", "m_monitor", "run1", 1)
		end := passed("e0", "m_monitor", "root0", 0)
		r.sendRaw(lineage.Message{ID: "e0", Body: end.AppendJSON(nil), Properties: map[string]string{lineage.PropFenced: "true"}})
		r.sendRaw(lineage.Message{ID: "e1", Body: e.AppendJSON(nil), Properties: map[string]string{lineage.PropFenced: "true"}})
		r.work(time.Minute)
		if n := len(r.effects.done); n != 0 {
			t.Errorf("a fenced replay had %d effects", n)
		}
		a, err := lineage.Load(t.Context(), r.db.Store(), "monitor/ws/m_monitor")
		if err != nil || a == nil || a.Status() != "breached" {
			t.Errorf("the monitor is not known after the replay: %+v %v", a, err)
		}
		// The event proper comes later: it was seen, so it does not act either.
		r.send(e)
		r.work(time.Minute)
		if n := len(r.effects.done); n != 0 {
			t.Errorf("an event that was replayed fenced acted later: %d effects", n)
		}
	})
}

func TestWhatNobodyUnderstandsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		long := envelope("ModelRegistered", "long", "models/x:1", 1, map[string]any{"modelName": strings.Repeat("n", 2000), "modelVersion": "1"})
		r.send(long)
		r.sendRaw(
			lineage.Message{ID: "raw", Body: []byte("\xff\x00 not text"), Properties: map[string]string{lineage.PropKind: lineage.KindRaw, lineage.PropProblem: "not_json", lineage.PropProblemDetail: "no"}},
			lineage.Message{ID: "raw again", Body: []byte("\xff\x00 not text"), Properties: map[string]string{lineage.PropKind: lineage.KindRaw, lineage.PropProblem: "not_json", lineage.PropProblemDetail: "no"}},
			lineage.Message{ID: "direct", Body: []byte(`[{"id":"d","topic":"` + source + `","subject":"models/d:1","eventType":"Microsoft.MachineLearningServices.ModelRegistered","eventTime":"2026-11-02T09:00:00Z","data":{},"dataVersion":"1"}, 3]`)},
		)
		r.work(time.Minute)
		// The same bytes once more, in another batch: they are listed once.
		r.sendRaw(lineage.Message{ID: "raw later", Body: []byte("\xff\x00 not text"), Properties: map[string]string{lineage.PropKind: lineage.KindRaw, lineage.PropProblem: "not_json"}})
		r.work(time.Minute)
		reasons := map[string]int{}
		_, err := lineage.QuarantineJournal.List(t.Context(), r.db.Store(), lineage.Span{}, "", 100, func(e lineage.JournalEntry) (bool, error) {
			q, body, err := lineage.GetQuarantined(t.Context(), r.db.Store(), e.Key)
			if err == nil && len(body) != q.Size {
				t.Errorf("%s kept %d of %d bytes", e.Key, len(body), q.Size)
			}
			reasons[q.Reason]++
			return true, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if reasons["name_too_long"] != 1 || reasons["not_json"] != 1 || len(reasons) != 3 {
			t.Errorf("quarantine holds %v", reasons)
		}
		if a, err := lineage.Load(t.Context(), r.db.Store(), "model/ws/d/1"); err != nil || a == nil {
			t.Errorf("the good event beside a bad one in a direct delivery was lost: %v", err)
		}
	})
}

func TestACutWireRaisesAReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "policies: []", nil)
		r.send(event.Envelope{ID: "gone", Source: source, Type: "Microsoft.EventGrid.SubscriptionDeletedEvent", Subject: "aml-sub",
			Time: storyTime(0), Data: []byte(`{"eventSubscriptionId":"x"}`)})
		r.work(time.Minute)
		got := r.actions(policy.Review)
		if len(got) != 1 || got[0].State != policy.Succeeded || got[0].Severity != "critical" || !strings.Contains(got[0].Reason, "aml-sub") {
			t.Errorf("want one critical review that names the subscription, got %+v", got)
		}
	})
}

// TestLargeEventsOfOneAssetAreCommittedInParts sends more of one asset than a
// commit of the Store may hold.
func TestLargeEventsOfOneAssetAreCommittedInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		const count = 12
		for i := range count {
			r.send(runEvent(fmt.Sprint("large", i), "run1", "Running", i, map[string]any{"log": strings.Repeat(fmt.Sprint(i), 200<<10)}))
		}
		r.work(time.Minute)
		if n := len(r.logged()); n != count {
			t.Errorf("%d events in the log, want %d", n, count)
		}
		job, err := lineage.Load(t.Context(), r.db.Store(), lineage.NewID(lineage.Job, "ws", "run1"))
		if err != nil || job == nil {
			t.Fatal(job, err)
		}
		if want := storyTime(count - 1); !job.Last.At.Equal(want) {
			t.Errorf("the newest event is of %v, want %v", job.Last.At, want)
		}
	})
}

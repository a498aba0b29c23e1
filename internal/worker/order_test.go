package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/internal/review"
)

// orderPolicy raises a review and leaves the rest to people.
const orderPolicy = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{review: {severity: warning}}]
targets: {hook: {log: {}}, back: {webhook: {url: "https://ci.contoso.example/rollback", types: [rollback]}}}
`

// orders places orders where the rig's worker finds them.
func (r *rig) orders(desk *review.Desk) *oncall.Orders {
	return &oncall.Orders{Store: r.store, Queue: r.queue, Set: func() *policy.Set { return r.set }, Inform: desk.Inform, Now: time.Now}
}

// manual are the actions that people asked for, as the journal lists them.
func (r *rig) manual(t policy.ActionType) (out []policy.Action) {
	r.t.Helper()
	for _, a := range r.actions(t) {
		if a.Policy == policy.Manual {
			out = append(out, a)
		}
	}
	return out
}

// breached is a review of a breach of the model m.
func (r *rig) breached(desk *review.Desk) review.Review {
	r.t.Helper()
	r.send(breach("b1", "m_monitor", "w1", 0))
	r.work(time.Minute)
	return r.reviewOf(desk, "monitor:"+monitorM)
}

func TestAnOrderedRetrainIsFollowedToItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, orderPolicy, nil)
		desk := r.withDesk()
		rev := r.breached(desk)
		a, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "hook", "ada", "the feed is repaired")
		if err != nil {
			t.Fatal(err)
		}
		r.work(time.Minute)
		got := r.manual(policy.Retrain)
		if len(got) != 1 || got[0].ID != a.ID || got[0].State != policy.Running || got[0].Asset != monitorM || got[0].Window != "w1" || got[0].Model == "" {
			t.Fatalf("%+v", got)
		}
		r.send(trained(a, "13", 30)...)
		r.work(time.Minute)
		r.send(passed("p1", "m_monitor", "w2", 180))
		r.work(time.Minute)
		done := r.manual(policy.Retrain)[0]
		if done.State != policy.Succeeded || done.Loop == nil || done.Loop.Verdict != policy.Effective || done.Recovered.IsZero() {
			t.Errorf("%+v, loop %+v", done, done.Loop)
		}
		history := fmt.Sprint(r.reviewOf(desk, rev.Cause).History)
		for _, want := range []string{"retrain to hook (" + a.ID + "): ada asked for it from review " + rev.ID + ": the feed is repaired", "(effective)"} {
			if strings.Count(history, want) != 1 {
				t.Errorf("the review does not tell %q once: %s", want, history)
			}
		}
	})
}

func TestAnOrderedRetrainThatDoesNotHelpSuspendsNoPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, orderPolicy, nil)
		desk := r.withDesk()
		rev := r.breached(desk)
		for i := range 3 {
			a, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "hook", "ada", "again")
			if err != nil {
				t.Fatal(err)
			}
			r.work(2 * time.Minute)
			minute := 100 * i
			r.send(append(trained(a, fmt.Sprint(20+i), minute+30), breach(fmt.Sprint("b", 2+i), "m_monitor", fmt.Sprint("w", 2+i), minute+90))...)
			r.work(time.Minute)
		}
		for _, a := range r.manual(policy.Retrain) {
			if a.Loop.Verdict != policy.Ineffective {
				t.Errorf("%s: %+v", a.Key, a.Loop)
			}
		}
		if n := len(r.actions(policy.Review)); n != 4 {
			t.Errorf("%d reviews, want those of the four breaches", n)
		}
	})
}

func TestOneRetrainAtATimeHoldsForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		desk := r.withDesk()
		rev := r.breached(desk)
		if _, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "", "ada", "now"); err != nil {
			t.Fatal(err)
		}
		r.work(time.Minute)
		if got := r.manual(policy.Retrain); len(got) != 1 || got[0].State != policy.Suppressed || got[0].SuppressedBy != policy.ReasonInFlight {
			t.Errorf("%+v", got)
		}
		all := r.actions(policy.Retrain)
		mine := slices.IndexFunc(all, func(a policy.Action) bool { return a.Policy != policy.Manual })
		r.send(trained(all[mine], "13", 30)...)
		r.work(2 * time.Minute)
		second, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "", "ada", "now")
		if err != nil {
			t.Fatal(err)
		}
		r.work(time.Minute)
		if a, _, err := policy.GetAction(t.Context(), r.store, second.ID); err != nil || a.State != policy.Running {
			t.Fatalf("%+v %v", a, err)
		}
		// Now the policy has to wait for the person's.
		before := r.effects.of(policy.Retrain)
		r.send(breach("b2", "m_monitor", "w2", 90))
		r.work(time.Minute)
		if after := r.effects.of(policy.Retrain); after != before {
			t.Errorf("%d retrains, %d before the policy asked again", after, before)
		}
	})
}

func TestAStormHoldsNoPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		desk := r.withDesk()
		r.fleet(4, "features:7")
		stop := r.start()
		for i := range 4 {
			r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), i))
		}
		time.Sleep(time.Hour)
		if n := r.effects.of(policy.Retrain); n != 0 {
			t.Errorf("%d retrains in a storm", n)
		}
		rev := r.reviewOf(desk, "data:data/ws/features/7")
		if _, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "", "ada", "the data is repaired"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		stop()
		if n := r.effects.of(policy.Retrain); n != 1 {
			t.Errorf("%d retrains after the order", n)
		}
	})
}

func TestBudgetsHoldForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, orderPolicy+"budgets: [{match: {workspace: ws}, retrainsPerDay: 1}]\n", nil)
		desk := r.withDesk()
		rev := r.breached(desk)
		want := []policy.State{policy.Running, policy.Suppressed}
		for i := range want {
			a, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "hook", "ada", "now")
			if err != nil {
				t.Fatal(err)
			}
			r.work(2 * time.Minute)
			a, _, err = policy.GetAction(t.Context(), r.store, a.ID)
			if err != nil || a.State != want[i] {
				t.Errorf("order %d: %s by %s, %v", i, a.State, a.SuppressedBy, err)
			}
			r.send(runEvent("end", "job-"+a.Key, "Completed", 30, map[string]any{event.OriginTag: a.ID}))
			r.work(time.Minute)
		}
	})
}

func TestAnOrderIsPlacedOnceThroughFaults(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			faults := &porttest.Faults{Seed: seed, Before: 0.15, After: 0.15, Conflict: 0.1}
			r := newRig(t, orderPolicy, nil)
			desk := r.withDesk()
			rev := r.breached(desk)
			r.store = &porttest.FaultyStore{Store: r.store, Faults: faults}
			r.queue = &porttest.FaultyQueue{Queue: r.queue, Faults: faults}
			o := r.orders(desk)
			stop := r.start()
			placed := map[string]bool{}
			for range 40 {
				if a, err := o.Place(t.Context(), rev, policy.Retrain, "hook", "ada", "now"); err == nil {
					placed[a.ID] = true
				}
				time.Sleep(100 * time.Millisecond)
			}
			faults.Stop()
			time.Sleep(10 * time.Minute)
			stop()
			got := r.manual(policy.Retrain)
			if len(placed) != 1 || len(got) != 1 || !placed[got[0].ID] || r.effects.of(policy.Retrain) != 1 {
				t.Errorf("seed %d: placed %v, listed %d, performed %d", seed, placed, len(got), r.effects.of(policy.Retrain))
			}
		})
	}
}

// TestAnOrderSurvivesTheDeathOfWhoPlacedIt stops after each call in turn, as a
// process that dies there does.
func TestAnOrderSurvivesTheDeathOfWhoPlacedIt(t *testing.T) {
	for calls := range 12 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, orderPolicy, nil)
			desk := r.withDesk()
			rev := r.breached(desk)
			store, queue := r.store, r.queue
			faults := &porttest.Faults{Script: slices.Repeat([]porttest.Fault{porttest.None}, calls), Before: 1}
			r.store = &porttest.FaultyStore{Store: r.store, Faults: faults}
			r.queue = &porttest.FaultyQueue{Queue: r.queue, Faults: faults}
			a, err := r.orders(desk).Place(t.Context(), rev, policy.Retrain, "hook", "ada", "now")
			r.store, r.queue = store, queue
			r.work(5 * time.Minute)
			listed, performed := len(r.manual(policy.Retrain)), r.effects.of(policy.Retrain)
			if listed != performed || performed > 1 || err == nil && performed != 1 {
				t.Errorf("dead after %d calls (%v): listed %d, performed %d", calls, err, listed, performed)
			}
			if err == nil && r.manual(policy.Retrain)[0].ID != a.ID {
				t.Errorf("dead after %d calls: another action", calls)
			}
		})
	}
}

func TestARollbackGoesToItsTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, orderPolicy, nil)
		desk := r.withDesk()
		rev := r.breached(desk)
		a, err := r.orders(desk).Place(t.Context(), rev, policy.Rollback, "back", "ada", "worse than before")
		if err != nil {
			t.Fatal(err)
		}
		r.work(time.Minute)
		if got := r.manual(policy.Rollback); len(got) != 1 || got[0].State != policy.Succeeded || got[0].Target != "back" || r.effects.calls[a.Key] != 1 {
			t.Errorf("%+v", got)
		}
	})
}

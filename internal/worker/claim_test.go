package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// TestALiveClaimIsLeftAlone: a wake-up that reaches another replica while an
// effector is being called starts no second call.
func TestALiveClaimIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyRetrain, nil)
		r.replicas = true
		r.effects.answer = func(policy.Action) (policy.Outcome, error) {
			time.Sleep(20 * time.Second)
			return policy.Outcome{Summary: "done"}, nil
		}
		r.send(breach("b", "m_monitor", "w", 0))
		defer r.start()()
		time.Sleep(5 * time.Second)
		claimed := r.claimed()
		if len(claimed) != 1 {
			t.Fatalf("%d retrains are being started, want 1", len(claimed))
		}
		defer r.start()()
		r.sendRaw(policy.WakeMessage(claimed[0].ID, time.Time{}))
		time.Sleep(10 * time.Minute)
		r.effects.mu.Lock()
		defer r.effects.mu.Unlock()
		if calls := r.effects.calls[claimed[0].Key]; calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

// claimed are the retrains that some worker is about.
func (r *rig) claimed() (out []policy.Action) {
	for _, a := range r.actions(policy.Retrain) {
		if a.State == policy.Claimed {
			out = append(out, a)
		}
	}
	return out
}

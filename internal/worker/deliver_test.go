package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// sentQueue remembers what is sent.
type sentQueue struct {
	lineage.Queue
	mu   sync.Mutex
	sent []lineage.Message
}

func (q *sentQueue) Send(ctx context.Context, messages []lineage.Message) error {
	q.mu.Lock()
	q.sent = append(q.sent, messages...)
	q.mu.Unlock()
	return q.Queue.Send(ctx, messages)
}

// at are the messages that were sent for a time.
func (q *sentQueue) at(when time.Time) []lineage.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(q.sent), func(m lineage.Message) bool { return !m.NotBefore.Equal(when) })
}

// delivery stores the intent to tell a target of a review.
func (r *rig) delivery(at time.Time) policy.Action {
	r.t.Helper()
	now := time.Now().UTC()
	a := policy.Action{
		ID: policy.ActionID("k", "review/abc"), Key: "k", Type: policy.Deliver, Target: "pager", Policy: "builtin/deliver",
		Asset: "monitor/ws/m", Model: "model/ws/m", State: policy.Pending, NextAttempt: at, Occurred: now, Created: now, Updated: now,
	}
	c, err := policy.ActionChange(a, "")
	if err == nil {
		_, err = r.store.Commit(r.t.Context(), "review/abc", []lineage.Change{c})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// One that is woken too early asks again, under an id that a broker which drops
// repeats has not seen.
func TestAnEarlyWakeUpComesAgainUnderAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyReview, nil)
		q := &sentQueue{Queue: r.queue}
		r.queue = q
		due := time.Now().Add(time.Minute)
		a := r.delivery(due)
		early := policy.WakeMessage(a.ID, due)
		early.NotBefore = time.Time{}
		if err := q.Send(t.Context(), []lineage.Message{early}); err != nil {
			t.Fatal(err)
		}
		stop := r.start()
		time.Sleep(10 * time.Second)
		again := q.at(due)
		if len(again) != 1 || again[0].ID == early.ID || r.effects.of(policy.Deliver) != 0 {
			t.Errorf("sent %+v, performed %d", again, r.effects.of(policy.Deliver))
		}
		time.Sleep(2 * time.Minute)
		if got := r.effects.of(policy.Deliver); got != 1 {
			t.Errorf("performed %d times when it was due", got)
		}
		stop()
	})
}

// People are told on the desk when a tool can't be told.
func TestAFailedDeliveryIsAReviewThatSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyReview, nil)
		var notices []policy.Action
		r.effects.answer = func(a policy.Action) (policy.Outcome, error) {
			if a.Type == policy.Deliver {
				return policy.Outcome{}, &policy.PermanentError{Err: errors.New("no such key")}
			}
			notices = append(notices, a)
			return policy.Outcome{}, nil
		}
		a := r.delivery(time.Time{})
		if err := r.queue.Send(t.Context(), []lineage.Message{policy.WakeMessage(a.ID, time.Time{})}); err != nil {
			t.Fatal(err)
		}
		r.work(time.Minute)
		if len(notices) != 1 || notices[0].Title != "Telling pager of a review failed" || notices[0].Cause != "target:pager" || notices[0].Target != policy.Desk {
			t.Errorf("notices %+v", notices)
		}
	})
}

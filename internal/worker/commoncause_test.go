package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/worker"
)

const (
	onlyReview = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{review: {severity: warning}}]
targets: {hook: {log: {}}}
`
	reviewAndRetrain = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{retrain: {target: hook}}, {review: {severity: warning}}]
targets: {hook: {log: {}}}
# Faults hold events up for minutes: a retrain has to wait for longer to see what
# happens to the others.
storm: {settle: 40m}
`
	theData = "data:data/ws/features/7"
)

// withGathering is withDesk through the effector that production has, with
// reviews of common causes.
func (r *rig) withGathering() *review.Desk {
	desk := review.NewDesk(r.store, time.Now)
	inbox := effect.NewReview(desk)
	r.inform = desk.Inform
	r.gather = func(ctx context.Context, cause string, causes []worker.Cause) error {
		parts := make([]review.Part, len(causes))
		for i, c := range causes {
			parts[i] = review.Part{Cause: c.Cause, Model: string(c.Model), LastSignal: c.At}
		}
		return desk.Gather(ctx, cause, parts)
	}
	r.effects.answer = func(a policy.Action) (policy.Outcome, error) {
		if a.Type == policy.Review || a.Type == policy.Resolve {
			return inbox.Do(context.Background(), a)
		}
		return startsRun(a)
	}
	return desk
}

// unresolved are the causes of the reviews that are not resolved.
func (r *rig) unresolved(desk *review.Desk) map[string]review.Review {
	r.t.Helper()
	all, _, err := desk.List(r.t.Context(), review.Filter{Unresolved: true}, "", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]review.Review{}
	for _, rev := range all {
		if _, twice := out[rev.Cause]; twice {
			r.t.Errorf("two unresolved reviews of %s", rev.Cause)
		}
		out[rev.Cause] = rev
	}
	return out
}

// shuffledBreaches are breaches of the fleet's monitors within minutes, each up
// to twice, in any order.
func shuffledBreaches(seed uint64, n int) []event.Envelope {
	rng := rand.New(rand.NewPCG(seed, 1))
	var out []event.Envelope
	for i := range n {
		b := breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), rng.IntN(8))
		out = append(out, b)
		if rng.IntN(3) == 0 {
			out = append(out, b)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestAStormIsOneReviewThatNamesItsParts(t *testing.T) {
	for name, c := range map[string]struct {
		policies string
		faults   *porttest.Faults
		seed     uint64
	}{
		"review":                      {onlyReview, nil, 1},
		"review and retrain":          {reviewAndRetrain, nil, 2},
		"review, faults":              {onlyReview, &porttest.Faults{Seed: 5, Before: 0.05, After: 0.05, Conflict: 0.05}, 3},
		"review and retrain, faults":  {reviewAndRetrain, &porttest.Faults{Seed: 7, Before: 0.05, After: 0.05, Conflict: 0.05}, 4},
		"review and retrain, crashes": {reviewAndRetrain, &porttest.Faults{Seed: 9, After: 0.2}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stormStory(t, c.policies, c.faults, c.seed) })
		})
	}
}

func stormStory(t *testing.T, policies string, faults *porttest.Faults, seed uint64) {
	const n = 20
	r := newRig(t, policies, faults)
	desk := r.withGathering()
	if faults != nil {
		r.inform = nil
	}
	r.fleet(n, "features:7")
	stop := r.start()
	for _, e := range shuffledBreaches(seed, n) {
		r.send(e)
		time.Sleep(2 * time.Second)
	}
	time.Sleep(20 * time.Minute)
	if faults != nil {
		faults.Stop()
	}
	time.Sleep(time.Hour)
	if got := r.effects.of(policy.Retrain); got != 0 {
		t.Errorf("%d retrains started: %v", got, r.states())
	}
	open := r.unresolved(desk)
	if rev := open[theData]; len(open) != 1 || len(rev.Parts) != n || rev.Previous != "" {
		t.Fatalf("want one review of the data with %d parts, got %d unresolved, %d parts: %s", n, len(open), len(rev.Parts), rev.Title)
	}
	r.checkJoined(desk, open[theData].ID)
	stop()
}

// checkJoined holds that all the storm's other reviews went on in one.
func (r *rig) checkJoined(desk *review.Desk, into string) {
	r.t.Helper()
	all, _, err := desk.List(r.t.Context(), review.Filter{}, "", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rev := range all {
		if rev.ID != into && (rev.State != review.Resolved || rev.Joined != into) {
			r.t.Errorf("the review of %s is %s and joined %q", rev.Cause, rev.State, rev.Joined)
		}
	}
}

func TestGraceOnlyWhereAStormIsPossible(t *testing.T) {
	for name, c := range map[string]struct {
		policies string
		fleet    int
		grace    bool
	}{
		"three models":         {onlyReview, 3, true},
		"two models":           {onlyReview, 2, false},
		"storms are off":       {onlyReview + "storm: {models: 0}\n", 3, false},
		"nobody waits for it":  {onlyCritical, 3, false},
		"switched to two only": {onlyReview + "storm: {models: 2}\n", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.policies, nil)
				desk := r.withGathering()
				r.fleet(c.fleet, "features:7")
				r.send(breach("b0", "m0_monitor", "w0", 0))
				r.work(5 * time.Second)
				rev := r.reviewOf(desk, "monitor:monitor/ws/m0_monitor")
				if got := rev.CallsFrom.After(rev.Opened); got != c.grace {
					t.Errorf("calls from %s, opened %s", rev.CallsFrom, rev.Opened)
				}
			})
		})
	}
}

const onlyCritical = `
policies:
  - name: drift
    on: [monitor.breached]
    then: [{review: {severity: critical}}]
targets: {hook: {log: {}}}
`

func TestWithoutStormsEachModelHasItsReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, onlyReview+"storm: {models: 0}\n", nil)
		desk := r.withGathering()
		r.fleet(5, "features:7")
		r.send(shuffledBreaches(1, 5)...)
		r.work(time.Hour)
		if open := r.unresolved(desk); len(open) != 5 {
			t.Errorf("%d reviews, want one of each model: %v", len(open), open)
		}
	})
}

// The review of the data is over when every monitor has passed, and what
// breaches after that is a matter of its own.
func TestAStormEndsWhenAllHavePassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		r := newRig(t, onlyReview, nil)
		desk := r.withGathering()
		r.fleet(n, "features:7")
		stop := r.start()
		for i := range n {
			r.send(breach(fmt.Sprint("b", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("w", i), i))
		}
		time.Sleep(5 * time.Minute)
		if open := r.unresolved(desk); len(open) != 1 || len(open[theData].Parts) != n {
			t.Fatalf("before: %+v", open)
		}
		for i := range n {
			if open := r.unresolved(desk); len(open) != 1 {
				t.Fatalf("after %d passes: %d unresolved", i, len(open))
			}
			r.send(passed(fmt.Sprint("p", i), fmt.Sprint("m", i, "_monitor"), fmt.Sprint("root", i), 180))
			time.Sleep(5 * time.Minute)
		}
		if open := r.unresolved(desk); len(open) != 0 {
			t.Fatalf("after all passed: %+v", open)
		}
		r.send(breach("again", "m0_monitor", "w9", 400))
		time.Sleep(5 * time.Minute)
		open := r.unresolved(desk)
		if len(open) != 1 || open[theData].ID != "" {
			t.Errorf("one model alone: %+v", open)
		}
		stop()
	})
}

package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

func TestOneAnswerIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newRig(t, metricPolicies, nil), &azure{fail: down}
		r.enrich = a
		job := runEvent("e1", "job1", "Completed", 0, nil)
		r.send(job)
		r.work(time.Second)
		a.set(nil, false)
		for i := range 5 {
			r.sendRaw(lineage.Message{ID: fmt.Sprint("again", i), Body: []byte(lineage.LogKey(job.Key(), r.homeOf(job))),
				Properties: map[string]string{lineage.PropKind: lineage.KindEnrich}})
		}
		r.sendRaw(lineage.Message{ID: "of-nothing", Body: []byte("nothing@job/ws/nothing"), Properties: map[string]string{lineage.PropKind: lineage.KindEnrich}})
		r.work(time.Minute)
		if got := r.decisions(job); len(got) != 2 {
			t.Errorf("decisions: %+v", got)
		}
		for _, name := range []string{"modelwarden_event_retries_total", "modelwarden_store_conflicts_total"} {
			if n := r.counter(name); n != 0 {
				t.Errorf("%s is %v: repeats got into each other's way", name, n)
			}
		}
		if e := r.entry(job); e.Decisions != 2 || len(e.Actions) != 2 || len(e.Enrichment.Actions) != 1 || r.effects.of(policy.Review) != 1 {
			t.Errorf("entry: %+v %+v", e, e.Enrichment)
		}
		if depth, err := r.db.Queue().Depth(t.Context()); err != nil || depth.Ready+depth.Leased+depth.Delayed+depth.Dead != 0 {
			t.Errorf("the queue is not empty: %+v %v", depth, err)
		}
	})
}

// TestAFencedEventIsEnrichedAndDoesNotAct holds that the fence goes along.
func TestAFencedEventIsEnrichedAndDoesNotAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, metricPolicies, nil)
		r.enrich = &azure{}
		job := runEvent("e1", "job1", "Completed", 0, nil)
		r.sendRaw(lineage.Message{ID: "e1", Body: job.AppendJSON(nil), Properties: map[string]string{lineage.PropFenced: "true"}})
		r.work(time.Minute)
		if got := r.load("job/ws/job1"); got.Text("environment") == "" {
			t.Error("the job is not enriched")
		}
		if n := len(r.effects.done); n != 0 {
			t.Errorf("%d effects of a fenced event", n)
		}
	})
}

// enrichedFaultPolicies have one that waits beside those that do not.
var enrichedFaultPolicies = strings.Replace(faultPolicies, "policies:", `policies:
  - name: weak
    on: [job.failed]
    when: metrics.accuracy < 0.8
    then: [{review: {severity: error}}]`, 1)

// TestNoFaultLosesAnEnrichment is TestNoFaultLosesOrRepeatsAnything with an
// Azure that fails at random, too.
func TestNoFaultLosesAnEnrichment(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := &porttest.Faults{Seed: seed, Before: 0.05, After: 0.05, Conflict: 0.05}
				r := newRig(t, enrichedFaultPolicies, faults)
				rng := rand.New(rand.NewPCG(seed, 7))
				flaky := rand.New(rand.NewPCG(seed, 8))
				var mu sync.Mutex
				a := &azure{fail: func() error {
					mu.Lock()
					defer mu.Unlock()
					if flaky.IntN(3) == 0 {
						return down()
					}
					return nil
				}}
				r.enrich = a
				events := history(rng, 80)
				sent := append(slices.Clone(events), events[:30]...)
				rng.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
				for chunk := range slices.Chunk(sent, 10) {
					r.send(chunk...)
					r.work(time.Duration(rng.IntN(1500)) * time.Millisecond)
				}
				faults.Stop()
				r.work(2 * time.Hour)
				r.checkEnriched(a, events)
			})
		})
	}
}

// checkEnriched compares what is stored with what the events and Azure say.
func (r *rig) checkEnriched(a *azure, events []event.Envelope) {
	r.t.Helper()
	depth, err := r.db.Queue().Depth(r.t.Context())
	if err != nil || depth.Ready+depth.Leased+depth.Dead != 0 {
		r.t.Errorf("the queue is not empty: %+v %v", depth, err)
	}
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		r.t.Fatal(err)
	}
	want := map[lineage.ID]*lineage.Asset{}
	apply := func(ev *event.Event) {
		for _, p := range lineage.Patches(ev) {
			if want[p.Asset] == nil {
				want[p.Asset] = &lineage.Asset{}
			}
			want[p.Asset].Apply(p)
		}
	}
	nobody := func(context.Context, string, string) (event.Model, error) { return event.Model{}, nil }
	for _, e := range events {
		ev, err := parser.Parse(e)
		if err != nil {
			r.t.Fatal(err)
		}
		apply(ev)
		if !a.Wants(ev) {
			continue
		}
		if _, _, err := a.answer(r.t.Context(), ev, nobody); err != nil {
			r.t.Fatal(err)
		}
		ev.Enriched = true
		apply(ev)
		if n := r.entry(e).Enrichment; n == nil || n.State != lineage.EnrichmentDone {
			r.t.Errorf("event %s: enrichment %+v", e.ID, n)
		}
		if _, decided := r.decisions(e)["weak"]; decided != (ev.Kind == event.JobFailed) {
			r.t.Errorf("event %s of kind %s: decided on metrics: %v", e.ID, ev.Kind, decided)
		}
	}
	for id, asset := range want {
		r.checkAsset(id, asset)
	}
	r.checkActions()
}

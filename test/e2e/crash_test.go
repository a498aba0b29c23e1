package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

// Size of the crash test.
const (
	crashEvents = 5000
	crashKills  = 6
	crashBatch  = 20
	crashAssets = 40
)

const crashPolicies = `
apiVersion: modelwarden/v1
policies:
  - name: drift
    on: [monitor.breached]
    then:
      - retrain: {target: hook}
      - review: {severity: warning}
  - name: failed
    on: [job.failed]
    then: [{notify: {target: hook}}]
targets:
  hook: {webhook: {url: "%s/hook", timeout: 5s}}
`

// TestNothingAcceptedIsLostByKilling kills the service at random points of a
// load and compares what is left with a run that nobody disturbed.
func TestNothingAcceptedIsLostByKilling(t *testing.T) {
	batches := crashBatches(t, crashEvents)
	calm := runCrashLoad(t, batches, 0, startAlone(t))
	shaken := runCrashLoad(t, batches, crashKills, startAlone(t))
	compareRuns(t, calm, shaken)
}

// compareRuns holds a run that was killed to one that nobody disturbed.
func compareRuns(t *testing.T, calm, shaken *crashRun) {
	t.Helper()
	for _, id := range calm.sent {
		if !shaken.logged[id] {
			t.Errorf("event %s was accepted and is not in the log", id)
		}
	}
	if len(shaken.logged) != len(calm.logged) {
		t.Errorf("the log has %d events, undisturbed %d", len(shaken.logged), len(calm.logged))
	}
	if len(shaken.intents) == 0 {
		t.Fatal("the load caused no action: nothing was tested")
	}
	for _, a := range shaken.intents {
		if a.State != "succeeded" && a.State != "suppressed" {
			t.Errorf("action %s is %s", a.ID, a.State)
		}
		if want := a.State == "succeeded" && a.Target == "hook"; want != (shaken.effects[a.Key] > 0) {
			t.Errorf("action %s is %s and had %d effects", a.ID, a.State, shaken.effects[a.Key])
		}
	}
	known := map[string]bool{}
	for _, a := range shaken.intents {
		known[a.Key] = true
	}
	for key := range shaken.effects {
		if !known[key] {
			t.Errorf("the target saw key %s, which no action has", key)
		}
	}
	diffLineage(t, calm.lineage, shaken.lineage)
	t.Logf("%d events, %d actions, %d effects", len(shaken.logged), len(shaken.intents), len(shaken.effects))
}

// crashBatches is the load: request bodies, duplicates included.
func crashBatches(t *testing.T, events int) [][]sandbox.Generated {
	var all []sandbox.Generated
	for e := range sandbox.Generate(sandbox.GenOptions{Seed: 11, Events: events, Assets: crashAssets, DuplicateRate: 0.1, Schema: sandbox.CloudEvents}) {
		e.Body = slices.Clone(e.Body)
		all = append(all, e)
	}
	return slices.Collect(slices.Chunk(all, crashBatch))
}

// crashRun is what one run left.
type crashRun struct {
	sent    []string
	logged  map[string]bool
	intents []action
	effects map[string]int
	lineage map[string]string
}

func runCrashLoad(t *testing.T, batches [][]sandbox.Generated, kills int, install installer) *crashRun {
	t.Helper()
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(recorder)
	defer hook.Close()
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, crashPolicies, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &crasher{t: t, installation: install(config)}
	c.load(batches, kills)
	s := c.api()
	s.drained(2 * time.Minute)
	settled(t, s)
	run := &crashRun{logged: map[string]bool{}, effects: recorder.Counts(), lineage: map[string]string{}}
	for _, b := range batches {
		for _, e := range b {
			run.sent = append(run.sent, e.ID)
		}
	}
	run.read(t, s)
	c.end()
	return run
}

// installation is what a load is sent to while parts of it are killed.
type installation interface {
	// subscriber is the address that takes events now.
	subscriber() string
	// api is where to ask.
	api() *server
	// crash kills something, the n-th time, and starts it again.
	crash(n int)
	// end kills everything.
	end()
}

// installer starts an installation with a configuration.
type installer func(config string) installation

// alone is one process on one folder.
type alone struct {
	t      *testing.T
	args   []string
	data   string
	server atomic.Pointer[server]
}

func startAlone(t *testing.T) installer {
	return func(config string) installation {
		a := &alone{t: t, data: t.TempDir(), args: []string{"--config", config, "--log-level", "error"}}
		a.server.Store(serve(t, a.data, a.args...))
		return a
	}
}

func (a *alone) subscriber() string { return a.server.Load().subscriber }
func (a *alone) api() *server       { return a.server.Load() }
func (a *alone) end()               { a.server.Load().Kill() }
func (a *alone) crash(int) {
	a.server.Load().Kill()
	a.server.Store(serve(a.t, a.data, a.args...))
}

// crasher sends a load to an installation that is killed and started again.
type crasher struct {
	installation
	t    *testing.T
	sent atomic.Int64
}

// load posts every batch until it got its 2xx, as Event Grid would, while the
// installation is killed at random points.
func (c *crasher) load(batches [][]sandbox.Generated, kills int) {
	work := make(chan []sandbox.Generated)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for b := range work {
				c.send(b)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, b := range batches {
			work <- b
		}
		close(work)
		senders.Wait()
	}()
	rng := rand.New(rand.NewPCG(3, 5))
	for i := range kills {
		at := int64(len(batches) * (i + 1) / (kills + 1))
		c.killAt(i, at, time.Duration(rng.IntN(30))*time.Millisecond, done)
	}
	<-done
}

// killAt waits until a number of batches was accepted and a little longer,
// then kills for the n-th time.
func (c *crasher) killAt(n int, batches int64, more time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for c.sent.Load() < batches {
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
	timer := time.NewTimer(more)
	defer timer.Stop()
	<-timer.C
	c.crash(n)
}

func (c *crasher) send(b []sandbox.Generated) {
	parts := make([]string, len(b))
	for i, e := range b {
		parts[i] = string(e.Body)
	}
	body := "[" + strings.Join(parts, ",") + "]"
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for range 3000 {
		if err := post(c.subscriber(), "application/cloudevents-batch+json", body); err == nil {
			c.sent.Add(1)
			return
		}
		<-retry.C
	}
	c.t.Error("a batch was never accepted")
}

// settled waits until no action is on its way.
func settled(t *testing.T, s *server) {
	t.Helper()
	boot.Eventually(t, time.Minute, "all actions have ended", func() error {
		actions, err := list[action](s, "/api/v1/actions", nil)
		if err != nil {
			return err
		}
		for _, a := range actions {
			if a.State == "pending" || a.State == "claimed" {
				return fmt.Errorf("%s is %s", a.ID, a.State)
			}
		}
		return nil
	})
}

// read asks for everything that the run left, over the API.
func (r *crashRun) read(t *testing.T, s *server) {
	t.Helper()
	events, err := list[struct{ Key, ID, Asset string }](s, "/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	assets := map[string]bool{}
	for _, e := range events {
		if r.logged[e.Key] {
			t.Errorf("event %s is listed twice", e.Key)
		}
		r.logged[e.Key], r.logged[e.ID] = true, true
		assets[e.Asset] = true
	}
	if r.intents, err = list[action](s, "/api/v1/actions", nil); err != nil {
		t.Fatal(err)
	}
	for id := range assets {
		if id != "" {
			r.lineage[id] = assetLineage(t, s, id)
		}
	}
}

// assetLineage is what is known of an asset, without facts about this copy.
func assetLineage(t *testing.T, s *server, id string) string {
	t.Helper()
	var asset, walk map[string]any
	err := errors.Join(s.Get("/api/v1/assets/"+id, &asset), s.Get("/api/v1/lineage/"+id+"?depth=2", &walk))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"recentEvents", "events", "recorded", "rev", "decisions", "actions", "reviews", "openReviews"} {
		delete(asset, k)
	}
	b, err := json.Marshal(map[string]any{"asset": asset, "walk": walk})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func diffLineage(t *testing.T, calm, shaken map[string]string) {
	t.Helper()
	if len(calm) == 0 || len(calm) != len(shaken) {
		t.Errorf("%d assets undisturbed, %d after the crashes", len(calm), len(shaken))
	}
	shown := 0
	for id, want := range calm {
		if got := shaken[id]; got != want && shown < 3 {
			shown++
			t.Errorf("%s differs:\nundisturbed %s\ncrashed     %s", id, want, got)
		}
	}
}

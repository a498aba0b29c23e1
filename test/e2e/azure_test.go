package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
	"github.com/modelwarden/modelwarden/test/boot"
)

const (
	azureQueue    = "modelwarden-events"
	azureDatabase = "modelwarden"
)

// cloud is the Azure that an installation runs on.
type cloud struct {
	t   *testing.T
	bus *servicebus.Server
	db  *cosmos.Server
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, db: cosmos.New(cosmos.Options{}),
		bus: servicebus.New(servicebus.Options{Queues: map[string]servicebus.Queue{
			// Locks of dead workers are over soon, repeats are dropped as in
			// production.
			azureQueue: {LockDuration: 5 * time.Second, MaxDeliveryCount: 20, DuplicateDetection: 10 * time.Minute},
		}})}
	t.Cleanup(func() {
		c.bus.Close()
		if err := c.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(c.bus.Start("127.0.0.1:0"), c.db.Start("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	if code := c.run("init"); code != 0 {
		t.Fatalf("init: exit %d", code)
	}
	return c
}

func (c *cloud) env() []string {
	return []string{
		"MODELWARDEN_SERVICEBUS_CONNECTION_STRING=" + c.bus.ConnectionString(), "MODELWARDEN_SERVICEBUS_QUEUE=" + azureQueue,
		"MODELWARDEN_COSMOS_ENDPOINT=" + c.db.URL(), "MODELWARDEN_COSMOS_KEY=" + c.db.Key(), "MODELWARDEN_COSMOS_DATABASE=" + azureDatabase,
		"MODELWARDEN_WORKER_EFFECT_TIMEOUT=2s", // claims of dead workers are over soon, too
	}
}

// run runs a command to its end on this cloud.
func (c *cloud) run(args ...string) (code int) {
	c.t.Helper()
	said := &boot.Tail{}
	code = runCommandWith(c.t, said, c.env(), args...)
	if code != 0 {
		c.t.Logf("%v: exit %d:\n%s", args, code, said)
	}
	return code
}

// idle says what the queue still holds, by the broker's own count: whoever
// connects by connection string to an emulator has no admin client.
func (c *cloud) idle() error {
	if n := c.bus.Counts(azureQueue); n.Active+n.Locked > 0 {
		return fmt.Errorf("%+v", n)
	}
	return nil
}

func (c *cloud) serve(roles string, args ...string) *server {
	c.t.Helper()
	args = append([]string{"--roles", roles, "--log-level", "warn"}, args...)
	s := boot.ServeWith(c.t, c.env(), filepath.Join(c.t.TempDir(), "unused"), "", args...)
	return &server{Server: s, t: c.t, subscriber: s.URL, idle: c.idle}
}

// install starts a subscriber, a web server and two workers as processes of
// their own. The second worker is there for the other's conflicts.
func (c *cloud) install(config string) *server {
	c.t.Helper()
	api := c.serve("web", "--config", config)
	api.subscriber = c.serve("subscriber", "--config", config).URL
	api.work = c.serve("worker", "--config", config)
	api.engine = func(t *testing.T) {
		m, err := api.metrics()
		if err != nil {
			t.Fatal(err)
		}
		if m[`modelwarden_store_request_units_total{operation="get"}`] <= 0 || m[`modelwarden_store_request_units_total{operation="list"}`] <= 0 {
			t.Error("reading cost no request units")
		}
	}
	return api
}

func TestTheStoryOnAzureWithRolesApart(t *testing.T) {
	tellStory(t, newCloud(t).install)
}

func TestNothingIsKeptInAFolderOnAzure(t *testing.T) {
	c := newCloud(t)
	dir := filepath.Join(t.TempDir(), "data")
	boot.ServeWith(t, c.env(), dir, "")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder is there: %v", err)
	}
}

func TestCheckConnectTriesAzure(t *testing.T) {
	c := newCloud(t)
	said := &boot.Tail{}
	if code := runCommandWith(t, said, c.env(), "check", "--connect", "--listen", "127.0.0.1:0"); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	for _, want := range []string{"Service Bus", "Cosmos DB"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is not mentioned: %s", want, said)
		}
	}
	wrong := append(c.env(), "MODELWARDEN_SERVICEBUS_QUEUE=no-such-queue", "MODELWARDEN_COSMOS_DATABASE=no-such-database")
	said = &boot.Tail{}
	if code := runCommandWith(t, said, wrong, "check", "--connect", "--listen", "127.0.0.1:0"); code == 0 {
		t.Errorf("a queue and a database that do not exist pass: %s", said)
	}
	for _, want := range []string{"no-such-queue", "no-such-database"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is not named: %s", want, said)
		}
	}
	for _, secret := range []string{c.db.Key(), c.bus.ConnectionString()} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("a secret is told: %s", said)
		}
	}
}

// apart is an installation of processes with a role each.
type apart struct {
	cloud   *cloud
	config  string
	web     *server
	in      atomic.Pointer[server]
	workers [2]atomic.Pointer[server]
}

func startApart(c *cloud) installer {
	return func(config string) installation {
		a := &apart{cloud: c, config: config, web: c.serve("web", "--config", config)}
		a.in.Store(a.start("subscriber"))
		for i := range a.workers {
			a.workers[i].Store(a.start("worker"))
		}
		return a
	}
}

func (a *apart) start(role string) *server { return a.cloud.serve(role, "--config", a.config) }
func (a *apart) subscriber() string        { return a.in.Load().URL }
func (a *apart) api() *server              { return a.web }
func (a *apart) worker(i int) *server      { return a.workers[i].Load() }
func (a *apart) restartWorker(i int)       { a.workers[i].Store(a.start("worker")) }
func (a *apart) restartSubscriber()        { a.in.Store(a.start("subscriber")) }
func (a *apart) killEverything(ss ...*server) {
	for _, s := range ss {
		s.Kill()
	}
}

// crash kills a worker, the subscriber, or everything that works, in turn.
func (a *apart) crash(n int) {
	switch n % 3 {
	case 0:
		a.worker(0).Kill()
		a.restartWorker(0)
	case 1:
		a.in.Load().Kill()
		a.restartSubscriber()
	case 2:
		a.killEverything(a.worker(0), a.worker(1), a.in.Load())
		a.restartSubscriber()
		a.restartWorker(0)
		a.restartWorker(1)
	}
}

func (a *apart) end() { a.killEverything(a.worker(0), a.worker(1), a.in.Load(), a.web) }

// rolling is an installation that is restarted process by process, each the
// civil way, as a deployment does it.
type rolling struct{ *apart }

func (r rolling) crash(n int) {
	switch n % 3 {
	case 0, 1:
		r.worker(n % 3).Stop(r.cloud.t)
		r.restartWorker(n % 3)
	case 2:
		r.in.Load().Stop(r.cloud.t)
		r.restartSubscriber()
	}
}

func TestARollingRestartLosesNothing(t *testing.T) {
	batches := crashBatches(t, azureCrashEvents)
	calm := runCrashLoad(t, batches, 0, startAlone(t))
	c := newCloud(t)
	start := startApart(c)
	rolled := runCrashLoad(t, batches, crashKills, func(config string) installation { return rolling{start(config).(*apart)} })
	compareRuns(t, calm, rolled)
}

// TestEventGridDeliversStraightIntoTheQueue plays Event Grid with the queue as
// its destination, in both schemas, one event or an array of one.
func TestEventGridDeliversStraightIntoTheQueue(t *testing.T) {
	c := newCloud(t)
	s := c.install(noPolicies(t))
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{ResourceID: workspaceID})
	into := func(m eventgrid.Message) error {
		return c.bus.Deliver(azureQueue, servicebus.Message{MessageID: m.ID, Body: m.Body, ContentType: "application/json", Properties: anyProperties(m.Properties)})
	}
	for _, sub := range []eventgrid.Subscription{
		{Name: "objects", Queue: into}, {Name: "arrays", Queue: into, QueueArray: true}, {Name: "cloud", Queue: into, Schema: eventgrid.CloudEvents},
	} {
		if err := topic.Subscribe(sub); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range story() {
		data, err := json.Marshal(e.data)
		if err != nil {
			t.Fatal(err)
		}
		topic.Publish(eventgrid.Event{ID: e.id, Source: workspaceID, Type: e.kind, Subject: e.subject, Time: e.at, Data: data})
	}
	boot.Eventually(t, 30*time.Second, "all is delivered", func() error {
		if in := c.bus.Stats().MessagesIn; in < 3*int64(len(story())) {
			return fmt.Errorf("%d messages came", in)
		}
		return nil
	})
	s.drained(30 * time.Second)
	checkLineage(t, s)
	checkLog(t, s)
}

func anyProperties(in map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		out[k] = v
	}
	return out
}

// TestALargeEventGoesThroughASmallQueue posts events of nearly a megabyte to a
// queue that takes 256 KB: one that compresses, which stays whole, and one that
// does not, which is cut and says so.
func TestALargeEventGoesThroughASmallQueue(t *testing.T) {
	c := newCloud(t)
	s := c.install(noPolicies(t))
	noise := make([]byte, 600<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for id, note := range map[string]string{"whole": strings.Repeat("x", 900<<10), "cut": base64.StdEncoding.EncodeToString(noise)} {
		body, err := json.Marshal(map[string]any{"specversion": "1.0", "id": id, "source": workspaceID,
			"type": "Microsoft.MachineLearningServices.ModelRegistered", "subject": "models/" + id + ":1", "time": "2026-11-02T09:00:00Z",
			"data": map[string]any{"modelName": id, "modelVersion": "1", "modelTags": map[string]any{"note": note, "owner": "risk-ml"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.post("application/cloudevents+json", string(body)); err != nil {
			t.Fatal(err)
		}
	}
	s.drained(30 * time.Second)
	events, err := list[struct{ Key, ID string }](s, "/api/v1/events", nil)
	if err != nil || len(events) != 2 {
		t.Fatal(events, err)
	}
	for _, e := range events {
		var one struct {
			Notes []string
			Event struct{ Data json.RawMessage }
		}
		if err := s.Get("/api/v1/events/"+e.Key, &one); err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(fmt.Sprint(one.Notes), "too large for the queue")
		if whole := len(one.Event.Data) > 900<<10; e.ID == "whole" && (!whole || told) {
			t.Errorf("%s: %d bytes, notes %v", e.ID, len(one.Event.Data), one.Notes)
		}
		if marked := strings.Contains(string(one.Event.Data), "sha256"); e.ID == "cut" && (!marked || !told) {
			t.Errorf("%s: marked %v, notes %v", e.ID, marked, one.Notes)
		}
	}
}

// azureCrashEvents is the size of the crash test there.
const azureCrashEvents = 1500

// TestNothingAcceptedIsLostByKillingOnAzure is the crash test with roles
// apart, beside a run of one process on one folder: both engines end in the
// same lineage.
func TestNothingAcceptedIsLostByKillingOnAzure(t *testing.T) {
	batches := crashBatches(t, azureCrashEvents)
	calm := runCrashLoad(t, batches, 0, startAlone(t))
	c := newCloud(t)
	shaken := runCrashLoad(t, batches, crashKills, startApart(c))
	compareRuns(t, calm, shaken)
	if n := c.bus.Counts(azureQueue).DeadLetter; n > 0 {
		t.Errorf("%d messages are dead letters", n)
	}
}

// noPolicies is a configuration that asks for nothing.
func noPolicies(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte("policies: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

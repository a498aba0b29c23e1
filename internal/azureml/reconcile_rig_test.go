package azureml_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// workspace is where every test takes place.
var workspace = event.Workspace{
	Alias: "ws",
	ID:    "/subscriptions/5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/ws",
}

// cloud is a workspace as Azure Machine Learning would tell of it: jobs newest
// first, everything in pages of three.
type cloud struct {
	mu        sync.Mutex
	jobs      []azureml.Job
	models    []azureml.ModelVersion
	endpoints []azureml.Endpoint
	monitors  []azureml.Monitor
	runs      map[string]azureml.Run
	requests  int
	// fail, if set, is asked before each request.
	fail func(what string) error
}

func (c *cloud) edit(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cloud) asked(what string) error {
	c.requests++
	if c.fail != nil {
		return c.fail(what)
	}
	return nil
}

// add starts a job, which is listed before all others.
func (c *cloud) add(j azureml.Job) {
	c.edit(func() { c.jobs = slices.Insert(c.jobs, 0, j) })
}

// end gives a job its last status.
func (c *cloud) end(name, status string, at time.Time) {
	c.edit(func() {
		for i := range c.jobs {
			if c.jobs[i].Name == name {
				c.jobs[i].Status, c.jobs[i].Ended = status, at
			}
		}
	})
}

func paged[T any](c *cloud, what string, all []T, cursor string) ([]T, string, error) {
	if err := c.asked(what); err != nil {
		return nil, "", err
	}
	from, _ := strconv.Atoi(cursor)
	from = min(from, len(all))
	to := min(from+3, len(all))
	if to == len(all) {
		return slices.Clone(all[from:to]), "", nil
	}
	return slices.Clone(all[from:to]), strconv.Itoa(to), nil
}

func (c *cloud) Jobs(_ context.Context, _ event.Workspace, cursor string) ([]azureml.Job, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page, next, err := paged(c, "jobs", c.jobs, cursor)
	for i := range page {
		page[i].Started, page[i].Ended = time.Time{}, time.Time{} // lists do not say
	}
	return page, next, err
}

func (c *cloud) ModelVersions(_ context.Context, _ event.Workspace, cursor string) ([]azureml.ModelVersion, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return paged(c, "models", c.models, cursor)
}

func (c *cloud) Endpoints(_ context.Context, _ event.Workspace, cursor string) ([]azureml.Endpoint, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return paged(c, "endpoints", c.endpoints, cursor)
}

func (c *cloud) Monitors(_ context.Context, _ event.Workspace, cursor string) ([]azureml.Monitor, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return paged(c, "monitors", c.monitors, cursor)
}

// single is a source that knows jobs and runs.
type single struct {
	azureml.Source
	*cloud
}

func (s single) Job(_ context.Context, _ event.Workspace, name string) (azureml.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.asked("job " + name); err != nil {
		return azureml.Job{}, err
	}
	for _, j := range s.jobs {
		if j.Name == name {
			return j, nil
		}
	}
	return azureml.Job{}, fmt.Errorf("job %s: %w", name, lineage.ErrNotFound)
}

func (s single) Run(_ context.Context, _ event.Workspace, id string) (azureml.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.asked("run"); err != nil {
		return azureml.Run{}, err
	}
	r, ok := s.runs[id]
	if !ok {
		return r, fmt.Errorf("run %s: %w", id, lineage.ErrNotFound)
	}
	return r, nil
}

func (s single) Monitor(_ context.Context, _ event.Workspace, name string) (azureml.Monitor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.monitors {
		if m.Name == name {
			return m, nil
		}
	}
	return azureml.Monitor{}, fmt.Errorf("monitor %s: %w", name, lineage.ErrNotFound)
}

// outbox is a queue that keeps what was sent, and applies it to the lineage
// when asked, as workers do.
type outbox struct {
	lineage.Queue
	mu   sync.Mutex
	sent []lineage.Message
	fail error
}

func (o *outbox) Send(_ context.Context, m []lineage.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.sent = append(o.sent, m...)
	return nil
}

func (o *outbox) take() []lineage.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.sent
	o.sent = nil
	return sent
}

// rig is a workspace, a store and what watches the one for the other.
type rig struct {
	t        *testing.T
	cloud    *cloud
	db       *embedded.DB
	store    lineage.Store
	out      *outbox
	desk     *review.Desk
	parser   *event.Parser
	registry *prometheus.Registry
	deadman  *azureml.DeadMan
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	parser, err := event.NewParser(event.Options{Aliases: map[string]string{workspace.ID: workspace.Alias}})
	must(t, err)
	r := &rig{t: t, cloud: &cloud{runs: map[string]azureml.Run{}}, db: db, store: db.Store(), out: &outbox{}, parser: parser}
	r.desk = review.NewDesk(r.store, time.Now)
	r.deadman, err = azureml.NewDeadMan(azureml.DeadManOptions{Desk: r.desk, Store: r.store, Source: single{cloud: r.cloud}})
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reconciler makes a replica.
func (r *rig) reconciler(name string, change ...func(*azureml.ReconcilerOptions)) *azureml.Reconciler {
	r.t.Helper()
	r.registry = prometheus.NewRegistry()
	o := azureml.ReconcilerOptions{
		Lister: r.cloud, Source: single{cloud: r.cloud}, Store: r.store, Queue: r.out, Parser: r.parser, DeadMan: r.deadman,
		Workspaces: func() []event.Workspace { return []event.Workspace{workspace} }, Name: name, Registerer: r.registry,
	}
	for _, f := range change {
		f(&o)
	}
	out, err := azureml.NewReconciler(o)
	must(r.t, err)
	return out
}

// round makes one round, a quarter of an hour after the last.
func (r *rig) round(rec *azureml.Reconciler) azureml.Round {
	r.t.Helper()
	time.Sleep(15 * time.Minute)
	got, err := rec.Reconcile(r.t.Context(), workspace)
	must(r.t, err)
	return got
}

// told reads what was sent since the last time, as workers will.
func (r *rig) told() (events []*event.Event, fenced []bool) {
	r.t.Helper()
	for _, m := range r.out.take() {
		items, err := event.Split("", nil, m.Body)
		if err != nil || len(items) != 1 || items[0].Problem != nil {
			r.t.Fatalf("not one event: %s", m.Body)
		}
		ev, err := r.parser.Parse(items[0].Envelope)
		must(r.t, err)
		if !ev.Synthetic || m.ID != ev.ID {
			r.t.Errorf("event %s is not marked, or the message %s named otherwise", m.Body, m.ID)
		}
		events, fenced = append(events, ev), append(fenced, m.Properties[lineage.PropFenced] == "true")
	}
	return events, fenced
}

// learn writes events into the lineage.
func (r *rig) learn(events ...*event.Event) {
	r.t.Helper()
	for _, ev := range events {
		for _, p := range lineage.Patches(ev) {
			doc, err := lineage.Load(r.t.Context(), r.store, p.Asset)
			must(r.t, err)
			if doc == nil {
				doc = &lineage.Asset{}
			}
			doc.Apply(p)
			r.put(string(p.Asset), lineage.AssetRecord, doc)
		}
	}
}

func (r *rig) put(partition, id string, v any) {
	r.t.Helper()
	body, err := doc(v)
	must(r.t, err)
	_, err = r.store.Commit(r.t.Context(), partition, []lineage.Change{{Op: lineage.Upsert, Record: lineage.Record{ID: id, Body: body}}})
	must(r.t, err)
}

// names are kinds and subjects, sorted.
func names(events []*event.Event) []string {
	var out []string
	for _, ev := range events {
		out = append(out, string(ev.Kind)+" "+ev.Subject)
	}
	slices.Sort(out)
	return out
}

// failed is a job that failed without a word.
func failed(name string, created, ended time.Time) azureml.Job {
	return azureml.Job{Name: name, Experiment: "train", Type: "pipeline", Status: "Failed", Created: created, Ended: ended,
		Inputs: map[string]azureml.Input{"training_data": {Data: &event.DataRef{Name: "churn-data", Version: "7"}}}}
}

var errAzure = errors.New("azure is away")

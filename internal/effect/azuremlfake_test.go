package effect_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

var _ effect.AzureML = (*workspace)(nil)

// workspace is an Azure Machine Learning workspace in memory: as the port says
// one behaves. fail, if set, may answer a call in its stead, before or after
// it took effect.
type workspace struct {
	mu        sync.Mutex
	jobs      map[string]azureml.Job
	specs     []azureml.JobSpec
	batches   []azureml.BatchSpec
	endpoints map[string]azureml.Endpoint
	models    map[string]azureml.ModelVersion
	shifts    int
	asked     []event.Workspace
	before    func(call string) error
	after     func(call string) error
}

func newWorkspace() *workspace {
	return &workspace{jobs: map[string]azureml.Job{}, endpoints: map[string]azureml.Endpoint{}, models: map[string]azureml.ModelVersion{}}
}

const contosoID = "/subscriptions/s1/resourcegroups/rg1/providers/microsoft.machinelearningservices/workspaces/contoso-ml"

// byAlias knows two workspaces.
func byAlias(alias string) (event.Workspace, bool) {
	ws, ok := map[string]event.Workspace{
		"contoso-ml": {Alias: "contoso-ml", ID: contosoID}, "other": {Alias: "other", ID: "/other"},
	}[alias]
	return ws, ok
}

// call guards one call; finish is deferred with the call's result.
func (w *workspace) call(ctx context.Context, name string, ws event.Workspace) error {
	w.mu.Lock()
	w.asked = append(w.asked, ws)
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.before != nil {
		return w.before(name)
	}
	return nil
}

func (w *workspace) done(name string) error {
	if w.after != nil {
		return w.after(name)
	}
	return nil
}

func (w *workspace) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = nil, nil
}

func (w *workspace) start(name string, tags map[string]string) (azureml.Job, bool) {
	if j, ok := w.jobs[name]; ok {
		return j, false
	}
	j := azureml.Job{Name: name, Tags: tags, Studio: "https://ml.azure.com/runs/" + name}
	w.jobs[name] = j
	return j, true
}

func (w *workspace) Submit(ctx context.Context, ws event.Workspace, spec azureml.JobSpec) (azureml.Job, bool, error) {
	err := w.call(ctx, "submit", ws)
	defer w.mu.Unlock()
	if err != nil {
		return azureml.Job{}, false, err
	}
	j, created := w.start(spec.Name, spec.Tags)
	if created {
		w.specs = append(w.specs, spec)
	}
	return j, created, w.done("submit")
}

func (w *workspace) InvokeBatch(ctx context.Context, ws event.Workspace, spec azureml.BatchSpec) (azureml.Job, bool, error) {
	err := w.call(ctx, "invoke", ws)
	defer w.mu.Unlock()
	if err != nil {
		return azureml.Job{}, false, err
	}
	j, created := w.start(spec.Name, spec.Tags)
	if created {
		w.batches = append(w.batches, spec)
	}
	return j, created, w.done("invoke")
}

func (w *workspace) Endpoint(ctx context.Context, ws event.Workspace, name string) (azureml.Endpoint, error) {
	err := w.call(ctx, "endpoint", ws)
	defer w.mu.Unlock()
	if err != nil {
		return azureml.Endpoint{}, err
	}
	ep, ok := w.endpoints[name]
	if !ok {
		return azureml.Endpoint{}, fmt.Errorf("endpoint %s: %w", name, lineage.ErrNotFound)
	}
	ep.Traffic = maps.Clone(ep.Traffic)
	return ep, nil
}

func (w *workspace) ModelVersion(ctx context.Context, ws event.Workspace, name, version string) (azureml.ModelVersion, error) {
	err := w.call(ctx, "model", ws)
	defer w.mu.Unlock()
	if err != nil {
		return azureml.ModelVersion{}, err
	}
	m, ok := w.models[name+":"+version]
	if !ok {
		return azureml.ModelVersion{}, fmt.Errorf("model %s:%s: %w", name, version, lineage.ErrNotFound)
	}
	return m, nil
}

func (w *workspace) SetTraffic(ctx context.Context, ws event.Workspace, name string, saw, want map[string]int) error {
	err := w.call(ctx, "traffic", ws)
	defer w.mu.Unlock()
	if err != nil {
		return err
	}
	ep := w.endpoints[name]
	if !maps.Equal(ep.Traffic, saw) {
		return fmt.Errorf("traffic of %s: %w", name, lineage.ErrConflict)
	}
	ep.Traffic = maps.Clone(want)
	w.endpoints[name] = ep
	w.shifts++
	return w.done("traffic")
}

// What no effector asks for.

func (w *workspace) Job(context.Context, event.Workspace, string) (azureml.Job, error) {
	panic("not asked for")
}

func (w *workspace) Run(context.Context, event.Workspace, string) (azureml.Run, error) {
	panic("not asked for")
}

func (w *workspace) Monitor(context.Context, event.Workspace, string) (azureml.Monitor, error) {
	panic("not asked for")
}

func (w *workspace) TagModel(context.Context, event.Workspace, string, string, map[string]string) error {
	panic("not asked for")
}

// chronicle is a lineage that learns from events, as the worker writes it.
type chronicle struct {
	lineage.Store
	events int
}

func newChronicle(t *testing.T) *chronicle {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &chronicle{Store: db.Store()}
}

// tell adds an event of workspace contoso-ml.
func (c *chronicle) tell(t *testing.T, at time.Time, ev event.Event) {
	t.Helper()
	c.events++
	ev.Workspace = event.Workspace{Alias: "contoso-ml", ID: contosoID}
	ev.Envelope = event.Envelope{ID: fmt.Sprint(c.events), Source: "s", Type: string(ev.Kind), Time: at}
	for _, p := range lineage.Patches(&ev) {
		a, err := lineage.Load(t.Context(), c.Store, p.Asset)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			a = &lineage.Asset{}
		}
		a.Apply(p)
		change := lineage.Change{Op: lineage.Upsert, Record: lineage.Record{ID: lineage.AssetRecord, Body: a.AppendJSON(nil)}}
		if _, err := c.Commit(t.Context(), string(p.Asset), []lineage.Change{change}); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *chronicle) deployed(t *testing.T, at time.Time, deployment, version string) {
	t.Helper()
	c.tell(t, at, event.Event{Kind: event.ModelDeployed, Deployment: &event.Deployment{
		Endpoint: "churn-ep", Name: deployment, Models: []event.ModelRef{{Name: "churn", Version: version}},
	}})
}

// measured tells of a monitor's window.
func (c *chronicle) measured(t *testing.T, at time.Time, window string, breached bool) {
	t.Helper()
	ev := event.Event{Kind: event.MonitorPassed, Monitor: &event.Monitor{Name: "churn_monitor", Model: "churn", Window: window}}
	if breached {
		ev.Kind, ev.Breaches = event.MonitorBreached, []event.Breach{{Monitor: "churn_monitor", Signal: "drift", Feature: "age"}}
	}
	c.tell(t, at, ev)
}

package oncall_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const (
	workspace = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"
	monitorID = "monitor/contoso-ml/churn_monitor"
	modelID   = "model/contoso-ml/churn"
)

// t0 is when the stories begin.
var t0 = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

func hour(h int) time.Time { return t0.Add(time.Duration(h) * time.Hour) }

// world is a store in which events leave what the reducer makes of them, and a
// desk over it.
type world struct {
	t      *testing.T
	store  *counted
	parser *event.Parser
	desk   *review.Desk
	cards  *oncall.Cards
	now    time.Time
	events int
}

// counted counts the reads, and makes them fail for some partitions.
type counted struct {
	lineage.Store
	reads atomic.Int64
	fails func(partition string) bool
}

var errFault = errors.New("the store is away")

func (c *counted) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	c.reads.Add(1)
	if c.fails != nil && c.fails(partition) {
		return nil, errFault
	}
	return c.Store.Get(ctx, partition, ids...)
}

func (c *counted) List(ctx context.Context, q lineage.Query) (lineage.Page, error) {
	c.reads.Add(1)
	if c.fails != nil && c.fails(q.Partition) {
		return lineage.Page{}, errFault
	}
	return c.Store.List(ctx, q)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	parser, err := event.NewParser(event.DefaultOptions())
	must(t, err)
	w := &world{t: t, store: &counted{Store: db.Store()}, parser: parser, now: t0}
	w.desk = review.NewDesk(w.store, func() time.Time { return w.now })
	w.cards = &oncall.Cards{Store: w.store, Desk: w.desk, Now: func() time.Time { return w.now }}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func body(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// happen reduces an event of an hour, changed as an enricher would, and returns
// its log key.
func (w *world) happen(h int, kind, subject string, data map[string]any, enrich ...func(*event.Event)) string {
	w.t.Helper()
	w.events++
	w.now = hour(h)
	env := event.Envelope{ID: fmt.Sprint("e", w.events), Source: workspace, Type: "Microsoft.MachineLearningServices." + kind, Subject: subject, Time: hour(h), Data: body(data)}
	ev, err := w.parser.Parse(env)
	must(w.t, err)
	for _, f := range enrich {
		ev.Enriched = true
		f(ev)
	}
	for _, p := range lineage.Patches(ev) {
		doc, err := lineage.Load(w.t.Context(), w.store, p.Asset)
		must(w.t, err)
		if doc == nil {
			doc = &lineage.Asset{}
		}
		doc.Apply(p)
		w.put(string(p.Asset), lineage.Record{ID: lineage.AssetRecord, Body: body(doc)})
	}
	home := lineage.Home(ev)
	entry := lineage.Entry{ID: lineage.LogKey(env.Key(), home), Kind: ev.Kind, Asset: lineage.PrimaryAsset(ev), Event: env.AppendJSON(nil)}
	w.put(home, lineage.Record{ID: lineage.EventRecord(env.Key()), Body: body(entry)})
	return entry.ID
}

func (w *world) put(partition string, r lineage.Record) {
	w.t.Helper()
	_, err := w.store.Commit(context.Background(), partition, []lineage.Change{{Op: lineage.Upsert, Record: r}})
	must(w.t, err)
}

// train makes a version of the model from a version of the data.
func (w *world) train(h int, version, data, commit string) {
	run := "train_" + version
	w.happen(h, "RunCompleted", "experiments/train/runs/"+run, map[string]any{
		"experimentName": "train", "runId": run, "runType": "azureml.PipelineRun", "runTags": map[string]any{},
		"runProperties": map[string]any{"training_data": "azureml:churn-data:" + data, "azureml.git.commit": commit},
	})
	w.happen(h, "ModelRegistered", "models/churn:"+version, map[string]any{
		"modelName": "churn", "modelVersion": version, "modelTags": map[string]any{"owner": "growth-ml", "runbook": "https://wiki.contoso.example/churn"},
		"modelProperties": map[string]any{"azureml.runId": run},
	})
}

// deploy puts a version into service, and spreads the traffic.
func (w *world) deploy(h int, version, deployment string, traffic map[string]int) {
	w.happen(h, "ModelDeployed", "endpoints/churn-ep", map[string]any{
		"serviceName": "churn-ep", "serviceComputeType": "managed", "modelIds": "churn:" + version,
	}, func(ev *event.Event) { ev.Deployment.Name, ev.Deployment.Traffic = deployment, traffic })
}

func (w *world) passes(h int, run string) {
	w.happen(h, "RunCompleted", "experiments/churn_monitor/runs/"+run, map[string]any{
		"experimentName": "churn_monitor", "runId": run, "runType": "azureml.PipelineRun", "runTags": map[string]any{}, "runProperties": map[string]any{},
	})
}

// drifts is a breach of one feature, and the review that it raises.
func (w *world) drifts(h int, run string, value float64, decisions ...policy.Decision) review.Review {
	w.t.Helper()
	tag := "The signal 'churn_monitor_data_drift' has failed due to one or more features violating metric thresholds.\n" +
		"The feature names and their corresponding computed metric values violating the threshold are \n" +
		fmt.Sprintf(`['{"group":"age","metric_value":%g,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}']`, value)
	key := w.happen(h, "RunStatusChanged", "experiments/churn_monitor/runs/"+run, map[string]any{
		"experimentName": "churn_monitor", "runId": run, "runType": "azureml.StepRun", "runStatus": "Completed",
		"runTags": map[string]any{"azureml_modelmonitor_threshold_breached": tag, "modelwarden.monitored_model": "churn"}, "runProperties": map[string]any{},
	})
	k, partition, _ := lineage.SplitLogKey(key)
	for i := range decisions {
		decisions[i].Event, decisions[i].At = key, hour(h)
	}
	w.put(partition, lineage.Record{ID: lineage.DecisionRecord(k), Body: body(decisions)})
	r, _, err := w.desk.Raise(w.t.Context(), review.Signal{
		Cause: "monitor:" + monitorID, Key: "k-" + run, At: hour(h), Event: key, Window: run, Severity: review.Error,
		Title: "churn: data drift of age", Reason: "PSI of age is high", Asset: monitorID, Model: modelID, Workspace: "contoso-ml", Policy: "churn-drift",
	})
	must(w.t, err)
	return r
}

// act stores an action of the review's newest event.
func (w *world) act(r review.Review, a policy.Action) {
	w.t.Helper()
	key, partition, _ := lineage.SplitLogKey(r.Signals[0].Event)
	a.Key = event.Digest(string(a.Type), a.Target)
	a.ID = policy.ActionID(a.Key, partition)
	w.put(partition, lineage.Record{ID: lineage.ActionRecord(a.Key), Body: body(a)})
	got, err := w.store.Get(w.t.Context(), partition, lineage.EventRecord(key))
	must(w.t, err)
	var entry lineage.Entry
	must(w.t, json.Unmarshal(got[0].Body, &entry))
	entry.Actions = append(entry.Actions, a.ID)
	w.put(partition, lineage.Record{ID: lineage.EventRecord(key), Body: body(entry)})
}

func (w *world) card(r review.Review) review.Card {
	w.t.Helper()
	c, err := w.cards.Of(w.t.Context(), r)
	must(w.t, err)
	return c
}

package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

// noon is when every test takes place.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a service with a story in its store: data, a job, a model that is
// deployed and drifts, a retraining, a second version; and beside it a model
// with a hostile name, a message in quarantine and a dead letter.
type world struct {
	t       testing.TB
	store   *memory
	box     *mailbox
	desk    *silencingDesk
	parser  *event.Parser
	options web.Options
	handler http.Handler
	// now moves as the story is told.
	now   time.Time
	pages int
}

const (
	workspaceID = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"
	version1    = "model/contoso-ml/churn/1"
	version2    = "model/contoso-ml/churn/2"
	monitorID   = "monitor/contoso-ml/churn_monitor"
	hostile     = `<script>alert(1)</script>"'&`
)

func newWorld(t testing.TB, change ...func(*web.Options)) *world {
	t.Helper()
	parser, err := event.NewParser(event.Options{})
	must(t, err)
	w := &world{t: t, store: newMemory(), box: &mailbox{}, parser: parser, now: noon.Add(-6 * time.Hour)}
	clock := func() time.Time { return w.now }
	w.desk = &silencingDesk{Desk: review.NewDesk(w.store, clock), now: clock}
	registry := prometheus.NewRegistry()
	w.options = web.Options{
		Store: w.store, Queue: w.box, Dead: w.box, Desk: w.desk, Parser: parser, Loopback: true,
		Gatherer: registry, Registerer: registry, Version: "1.2.3", Now: clock,
		Policies: func() web.Policies {
			return web.Policies{Hash: "f2c41d", Mode: "enforce", Names: []string{"churn-drift", "accuracy-floor"}, Loaded: noon}
		},
	}
	w.options.Cards = &oncall.Cards{Store: w.store, Desk: w.desk, Now: clock}
	for _, f := range change {
		f(&w.options)
	}
	w.handler, err = web.New(w.options)
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// happen commits an event the way a worker does, some minutes after the last.
func (w *world) happen(kind, subject string, data any, effects ...func(*lineage.Entry, *event.Event)) string {
	w.t.Helper()
	ctx := context.Background()
	w.now = w.now.Add(17 * time.Minute)
	w.pages++
	body, err := json.Marshal(data)
	must(w.t, err)
	env := event.Envelope{
		ID: fmt.Sprintf("id-%d", w.pages), Source: workspaceID, Type: "Microsoft.MachineLearningServices." + kind,
		Subject: subject, Time: w.now.Add(-3 * time.Second), Data: body,
	}
	ev, err := w.parser.Parse(env)
	must(w.t, err)
	for _, p := range lineage.Patches(ev) {
		w.apply(p)
	}
	home := lineage.Home(ev)
	entry := lineage.Entry{
		ID: lineage.LogKey(env.Key(), home), Kind: ev.Kind, Asset: lineage.PrimaryAsset(ev), Workspace: ev.Workspace.Alias,
		Received: w.now.Add(-2 * time.Second), Queued: w.now.Add(-1990 * time.Millisecond), Committed: w.now,
		Via: "webhook", Subscription: "mlops", DeliveryCount: "1", Breaches: len(ev.Breaches), Loss: ev.Loss,
		Event: env.AppendJSON(nil),
	}
	for _, f := range effects {
		f(&entry, ev)
	}
	w.put(home, lineage.Record{ID: lineage.EventRecord(env.Key()), Sort: lineage.EventSort(env.Time, env.Key()), Body: asJSON(entry)})
	w.journal(lineage.EventJournal, entry.ID, lineage.EventLine{
		Key: entry.ID, ID: env.ID, Kind: ev.Kind, Asset: entry.Asset, Workspace: entry.Workspace, Type: env.Type, Subject: env.Subject,
		Time: env.Time, Received: entry.Received, Committed: entry.Committed,
		Decisions: entry.Decisions, Actions: len(entry.Actions), Breaches: entry.Breaches,
	})
	must(w.t, lineage.OpenInventory(ctx, w.store, ev.Workspace.Alias))
	return entry.ID
}

func (w *world) apply(p lineage.Patch) {
	w.t.Helper()
	ctx := context.Background()
	doc, err := lineage.Load(ctx, w.store, p.Asset)
	must(w.t, err)
	if doc == nil {
		doc = &lineage.Asset{}
	}
	doc.Apply(p)
	doc.Rev++
	w.put(string(p.Asset), lineage.Record{ID: lineage.AssetRecord, Body: asJSON(doc)})
	if p.Asset.Kind() == lineage.Model && p.Asset.Version() != "" {
		must(w.t, lineage.UpdateInventory(ctx, w.store, []lineage.InventoryItem{lineage.InventoryOf(doc)}))
	}
}

func (w *world) put(partition string, r lineage.Record) {
	w.t.Helper()
	_, err := w.store.Commit(context.Background(), partition, []lineage.Change{{Op: lineage.Upsert, Record: r}})
	must(w.t, err)
}

func (w *world) journal(j lineage.Journal, key string, line any) {
	w.t.Helper()
	w.pages++
	page := lineage.PageID(w.now, "w1", uint64(w.pages))
	must(w.t, j.Open(context.Background(), w.store, page))
	must(w.t, j.Append(context.Background(), w.store, page, []lineage.JournalEntry{{Key: key, Body: asJSON(line)}}))
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// decide records decisions on the event that is happening.
func (w *world) decide(ds ...policy.Decision) func(*lineage.Entry, *event.Event) {
	return func(e *lineage.Entry, ev *event.Event) {
		for i := range ds {
			ds[i].Event, ds[i].Asset, ds[i].At, ds[i].Model = e.ID, string(e.Asset), w.now, string(lineage.ModelOf(ev))
			w.journal(lineage.DecisionJournal, e.ID+"/"+ds[i].Policy+"/"+ds[i].Signal, ds[i])
		}
		key, partition, _ := lineage.SplitLogKey(e.ID)
		w.put(partition, lineage.Record{ID: lineage.DecisionRecord(key), Body: asJSON(ds)})
		e.Decisions = len(ds)
	}
}

// act records an action of the event that is happening.
func (w *world) act(a policy.Action) func(*lineage.Entry, *event.Event) {
	return func(e *lineage.Entry, ev *event.Event) {
		_, partition, _ := lineage.SplitLogKey(e.ID)
		a.Key = event.Digest(e.ID, string(a.Type))
		a.ID, a.Event, a.Asset = policy.ActionID(a.Key, partition), e.ID, string(e.Asset)
		a.Model, a.Created, a.Updated = string(lineage.ModelOf(ev)), w.now, w.now
		change, err := policy.ActionChange(a, "")
		must(w.t, err)
		w.put(partition, change.Record)
		w.journal(lineage.ActionJournal, a.ID, map[string]any{"id": a.ID, "created": a.Created})
		e.Actions = append(e.Actions, a.ID)
	}
}

const breachTag = "The signal 'churn_monitor_drift' has failed due to one or more features violating metric thresholds.\n" +
	"The feature names and their corresponding computed metric values violating the threshold are \n" +
	`['{"group":"age","metric_value":0.35,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}', ` +
	`'{"group":"tenure_months","metric_value":0.013,"metric_name":"TwoSampleKolmogorovSmirnovTest","threshold_value":0.05}']`

// breached is the data of a monitor's run that found a breach.
func breached(run string) map[string]any {
	return map[string]any{
		"experimentName": "churn_monitor", "runId": run, "runType": "azureml.StepRun", "runStatus": "Completed",
		"runTags": map[string]any{"azureml_modelmonitor_threshold_breached": breachTag, "modelwarden.monitored_model": "churn"},
	}
}

// story tells the world's story and leaves the clock at noon.
func (w *world) story() *world {
	w.t.Helper()
	w.job("sincere_yak_7f3", "churn-train", "")
	w.register("1", "sincere_yak_7f3")
	w.deploy("1")
	w.happen("RunStatusChanged", "experiments/churn_monitor/runs/mon_0", breached("mon_0"), w.decide(policy.Decision{
		Policy: "churn-drift", PolicyHash: "9c1f00aa", Signal: "churn_monitor_drift", Verdict: policy.Hold, Reason: policy.ReasonNotSustained,
		Detail: "1 of the last 3 windows breached, 2 are asked for", Condition: `breach.metric == "PopulationStabilityIndex" && breach.value > 0.25`,
		Inputs: map[string]any{"breach.value": 0.35, "breach.metric": "PopulationStabilityIndex"},
	}))
	key := w.drift()
	w.raise(key)
	w.job("gentle_fox_91c", "churn-retrain", "k1")
	w.register("2", "gentle_fox_91c")
	w.deploy("2")
	w.trouble()
	w.happen("ModelRegistered", "models/x:1", map[string]any{
		"modelName": hostile, "modelVersion": "1", "modelTags": map[string]any{"owner": hostile}, "modelProperties": map[string]any{},
	})
	_, err := w.desk.Silence(context.Background(), review.Silence{
		Match: review.Match{Model: []string{hostile, "churn-eu"}}, Until: noon.Add(time.Hour), By: "ada", Why: hostile,
	})
	must(w.t, err)
	w.now = noon
	return w
}

func (w *world) job(run, experiment, origin string) {
	w.happen("RunCompleted", "experiments/"+experiment+"/runs/"+run, map[string]any{
		"experimentName": experiment, "runId": run, "runType": "azureml.PipelineRun",
		"runTags":       map[string]any{event.OriginTag: origin, lineage.ModelTag: "model/contoso-ml/churn"},
		"runProperties": map[string]any{"training_data": "azureml:churn-data:14"},
	})
}

func (w *world) register(version, run string) {
	w.happen("ModelRegistered", "models/churn:"+version, map[string]any{
		"modelName": "churn", "modelVersion": version, "modelTags": map[string]any{"owner": "growth-ml"},
		"modelProperties": map[string]any{"azureml.runId": run, "accuracy": "0.91"},
	})
}

func (w *world) deploy(version string) {
	w.happen("ModelDeployed", "endpoints/churn-ep", map[string]any{
		"serviceName": "churn-ep", "serviceComputeType": "managed", "modelIds": "churn:" + version,
	})
}

// drift is the breach that policies act on: a retrain, a review, and a
// second retrain that is held.
func (w *world) drift() string {
	return w.happen("RunStatusChanged", "experiments/churn_monitor/runs/mon_1", breached("mon_1"),
		w.decide(policy.Decision{
			Policy: "churn-drift", PolicyHash: "9c1f00aa", Signal: "churn_monitor_drift", Verdict: policy.Act, Reason: policy.ReasonActed,
			Detail: "2 of the last 3 windows breached", Condition: `breach.metric == "PopulationStabilityIndex" && breach.value > 0.25`,
			Inputs: map[string]any{"breach.value": 0.35, "breach.metric": "PopulationStabilityIndex"},
			Actions: []policy.PlannedAction{
				{Type: policy.Retrain, Target: "churn-pipeline", Verdict: policy.Act, Reason: policy.ReasonActed},
				{Type: policy.Review, Target: "oncall", Verdict: policy.Act, Reason: policy.ReasonActed},
				{Type: policy.Notify, Target: "hook", Verdict: policy.Hold, Reason: policy.ReasonCooldown, Detail: "the last one was 2 h ago, the cooldown is 6h"},
			},
		}, policy.Decision{
			Policy: "accuracy-floor", PolicyHash: "77ab", Verdict: policy.Hold, Reason: policy.ReasonConditionFalse, Condition: "has(metrics.accuracy) && metrics.accuracy < 0.80",
		}),
		w.act(policy.Action{
			Type: policy.Retrain, Target: "churn-pipeline", Policy: "churn-drift", PolicyHash: "9c1f00aa", Title: "churn drifts", Reason: "PSI of age is 0.35",
			State: policy.Succeeded, Attempts: 1, Outcome: &policy.Outcome{Summary: "submitted gentle_fox_91c", URL: "https://ml.azure.com/runs/gentle_fox_91c", Run: "gentle_fox_91c"},
		}),
		w.act(policy.Action{
			Type: policy.Notify, Target: "hook", Policy: "churn-drift", PolicyHash: "9c1f00aa", Title: "churn drifts", Reason: "PSI of age is 0.35",
			State: policy.Failed, Attempts: 8, LastError: "hook: the target answered 503 eight times",
		}))
}

func (w *world) raise(key string) review.Review {
	w.t.Helper()
	r, _, err := w.desk.Raise(context.Background(), review.Signal{
		Cause: "drift/churn", Key: "k-" + key, At: w.now, Event: key, Severity: review.Critical, AckWithin: 30 * time.Minute,
		Title: "Data drift on churn: age and tenure_months", Reason: "PopulationStabilityIndex of age is 0.35, above 0.2; 2 of the last 3 windows breached",
		Asset: monitorID, Model: "model/contoso-ml/churn", Workspace: "contoso-ml", Policy: "churn-drift",
	})
	must(w.t, err)
	return r
}

func (w *world) trouble() {
	w.t.Helper()
	q, err := lineage.Quarantine(context.Background(), w.store, lineage.Message{
		Body: []byte(`{"hello": "` + hostile + `"}`), Properties: map[string]string{lineage.PropVia: "webhook", lineage.PropKind: lineage.KindRaw, lineage.PropProblem: "not_event"},
	}, event.Problem{Reason: event.ReasonNotEvent, Detail: "event 1 of the body has neither the Event Grid nor the CloudEvents attributes"}, w.now, "")
	must(w.t, err)
	w.journal(lineage.QuarantineJournal, q.ID, q)
	w.box.dead = append(w.box.dead, lineage.DeadMessage{
		ID: "7", Message: lineage.Message{ID: "m-7", Body: []byte(`{"id":"x"}`), Properties: map[string]string{lineage.PropVia: "webhook"}},
		Attempt: 10, Reason: "max_deliveries", Description: "delivered 10 times: the store was not reachable", Enqueued: w.now.Add(-time.Hour), Died: w.now,
	})
}

// ask sends one request to the service as a client on this machine does.
func (w *world) ask(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// askContext sends a request whose client may have gone.
func (w *world) askContext(ctx context.Context, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, target, nil)
	r.Host = "localhost"
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// get reads JSON into v and asks for a status.
func (w *world) get(target string, status int, v any) {
	w.t.Helper()
	w.decode(w.ask("GET", target, ""), status, v)
}

func (w *world) decode(rec *httptest.ResponseRecorder, status int, v any) {
	w.t.Helper()
	if rec.Code != status {
		w.t.Fatalf("status %d, want %d: %s", rec.Code, status, rec.Body)
	}
	must(w.t, json.Unmarshal(rec.Body.Bytes(), v))
}

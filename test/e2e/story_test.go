package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azsystemevents"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

const (
	workspaceID = "/subscriptions/5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01/resourceGroups/rg-risk-prod/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"
	breachText  = "The signal 'churn_monitor_data_drift' has failed due to one or more features violating metric thresholds.\n" +
		"The feature names and their corresponding computed metric values violating the threshold are \n" +
		`['{"group":"age","metric_value":0.35,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}', '{"group":"tenure_months","metric_value":0.214,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}']` + "\n"
)

// told is one event of the story, sent in both schemas.
type told struct {
	id, kind, subject string
	at                time.Time
	data              map[string]any
}

func story() []told {
	at := func(minute int) time.Time { return time.Date(2026, 11, 2, 9, minute, 0, 0, time.UTC) }
	return []told{
		{"e-run", azsystemevents.TypeMachineLearningServicesRunCompleted, "experiments/e1/runs/sincere_yak_7f3", at(0), map[string]any{
			"experimentId": "e1", "experimentName": "churn-train", "runId": "sincere_yak_7f3", "runType": nil,
			"runTags": map[string]any{"owner": "risk-ml"}, "runProperties": map[string]any{"training_data": "azureml:churn-data:7"}}},
		{"e-registered", azsystemevents.TypeMachineLearningServicesModelRegistered, "models/churn:12", at(1), map[string]any{
			"ModelName": "churn", "ModelVersion": 12, "ModelTags": map[string]any{"owner": "risk-ml"},
			"ModelProperties": map[string]any{"azureml.runId": "sincere_yak_7f3"}}},
		{"e-deployed", azsystemevents.TypeMachineLearningServicesModelDeployed, "endpoints/churn-ep", at(2), map[string]any{
			"ServiceName": "churn-ep", "ServiceComputeType": "AKS", "ModelIds": "churn:12", "ServiceTags": map[string]any{}}},
		{"e-drift", azsystemevents.TypeMachineLearningServicesDatasetDriftDetected, "datadrift/d1/run/r1", at(3), map[string]any{
			"DataDriftId": "d1", "DataDriftName": "churn-drift-v1", "RunId": "r1", "BaseDatasetId": "b", "TargetDatasetId": "t", "DriftCoefficient": "0.12"}},
		{"e-breach", azsystemevents.TypeMachineLearningServicesRunStatusChanged, "experiments/4a9d/runs/patient_owl_551", at(10), map[string]any{
			"experimentId": "4a9d", "experimentName": "churn_monitor", "runId": "patient_owl_551", "runType": "azureml.StepRun", "runStatus": "Failed",
			"runTags": map[string]any{"azureml_modelmonitor_threshold_breached": breachText}, "runProperties": map[string]any{}}},
		// The same run again: one breach, one window.
		{"e-breach-completed", azsystemevents.TypeMachineLearningServicesRunCompleted, "experiments/4a9d/runs/patient_owl_551", at(11), map[string]any{
			"experimentId": "4a9d", "experimentName": "churn_monitor", "runId": "patient_owl_551", "runType": "azureml.StepRun",
			"RunTags": map[string]any{"azureml_modelmonitor_threshold_breached": breachText}, "runProperties": map[string]any{}}},
		{"e-failed", azsystemevents.TypeMachineLearningServicesRunStatusChanged, "experiments/e1/runs/brave_ant_99c", at(12), map[string]any{
			"experimentId": "e1", "experimentName": "churn-train", "runId": "brave_ant_99c", "runType": "azureml.scriptrun", "runStatus": "failed",
			"runTags": map[string]any{}, "runProperties": map[string]any{}}},
		{"e-unknown", "Microsoft.MachineLearningServices.SomethingNew", "whatever", at(13), map[string]any{"a": 1}},
	}
}

const storyPolicies = `
apiVersion: modelwarden/v1
policies:
  - name: churn-drift
    on: [monitor.breached]
    match: {workspace: contoso-ml, model: "churn*"}
    when: breach.metric == "PopulationStabilityIndex" && breach.value > 0.25
    then:
      - retrain: {target: hook, cooldown: 6h, maxPerDay: 2}
      - review: {severity: warning, ackWithin: 30m}
  - name: never
    on: [monitor.breached]
    when: breach.value > 100.0
    then: [{review: {severity: critical}}]
targets:
  hook: {webhook: {url: "%s/retrain", secretEnv: HOOK_SECRET}}
`

func TestEventsBecomeLineageOneRetrainAndOneReview(t *testing.T) {
	tellStory(t, func(config string) *server { return serve(t, t.TempDir(), "--config", config) })
}

// tellStory tells the story to an installation with the given policies, and
// looks at what became of it.
func tellStory(t *testing.T, install func(config string) *server) {
	t.Setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(recorder)
	defer hook.Close()
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, storyPolicies, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := install(config)
	tell(t, s)
	s.drained(30 * time.Second)

	t.Run("lineage", func(t *testing.T) { checkLineage(t, s) })
	t.Run("one retrain", func(t *testing.T) { checkRetrain(t, s, recorder) })
	t.Run("one review", func(t *testing.T) { checkReview(t, s) })
	t.Run("reasons", func(t *testing.T) { checkReasons(t, s) })
	t.Run("log", func(t *testing.T) { checkLog(t, s) })
	t.Run("metrics", func(t *testing.T) { checkMetrics(t, s) })
	t.Run("worker's metrics", func(t *testing.T) { checkWorkerMetrics(t, s.worker()) })
	t.Run("engine's metrics", func(t *testing.T) { s.checkEngine(t) })
}

// tell publishes the story three times, shuffled: with the official client in
// both schemas, and by plain HTTP.
func tell(t *testing.T, s *server) {
	t.Helper()
	target, err := url.Parse(s.subscriber)
	if err != nil {
		t.Fatal(err)
	}
	// The official client speaks https only and appends its own query; the
	// proxy stands for the gateway that people put in front.
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.Path = "/events"
	}})
	t.Cleanup(proxy.Close)
	client, err := azeventgrid.NewClientWithSharedKeyCredential(proxy.URL+"/api/events", azcore.NewKeyCredential("a2V5"),
		&azeventgrid.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: proxy.Client()}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, send := range []func(context.Context, []told) error{
		func(ctx context.Context, events []told) error { return sendEventGrid(ctx, client, events) },
		func(ctx context.Context, events []told) error { return sendCloudEvents(ctx, client, events) },
		func(_ context.Context, events []told) error { return sendPlain(s, events) },
	} {
		events := story()
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if err := send(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
}

func sendEventGrid(ctx context.Context, c *azeventgrid.Client, events []told) error {
	var batch []azeventgrid.Event
	for _, e := range events {
		version, topic := "2", workspaceID
		batch = append(batch, azeventgrid.Event{ID: &e.id, EventType: &e.kind, Subject: &e.subject, EventTime: &e.at, Data: e.data, DataVersion: &version, Topic: &topic})
	}
	_, err := c.PublishEvents(ctx, batch, nil)
	return err
}

func sendCloudEvents(ctx context.Context, c *azeventgrid.Client, events []told) error {
	var batch []messaging.CloudEvent
	for _, e := range events {
		ce, err := messaging.NewCloudEvent(workspaceID, e.kind, e.data, &messaging.CloudEventOptions{Subject: &e.subject, Time: &e.at})
		if err != nil {
			return err
		}
		ce.ID = e.id
		batch = append(batch, ce)
	}
	_, err := c.PublishCloudEvents(ctx, batch, nil)
	return err
}

func sendPlain(s *server, events []told) error {
	for _, e := range events {
		body, err := json.Marshal(map[string]any{"specversion": "1.0", "id": e.id, "source": workspaceID, "type": e.kind,
			"subject": e.subject, "time": e.at, "data": e.data})
		if err != nil {
			return err
		}
		if err := s.post("application/cloudevents+json", string(body)); err != nil {
			return err
		}
	}
	return nil
}

type graph struct {
	Nodes []struct{ ID, Kind, Stage string }
	Edges []struct{ From, To, Type string }
}

func checkLineage(t *testing.T, s *server) {
	var g graph
	if err := s.Get("/api/v1/lineage/model/contoso-ml/churn/12", &g); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range g.Edges {
		got = append(got, e.From+" -"+e.Type+"-> "+e.To)
	}
	want := []string{
		"data/contoso-ml/churn-data/7 -input-> job/contoso-ml/sincere_yak_7f3",
		"deployment/contoso-ml/churn-ep/default -serves-> endpoint/contoso-ml/churn-ep",
		"job/contoso-ml/sincere_yak_7f3 -produced-> model/contoso-ml/churn/12",
		"model/contoso-ml/churn/12 -deployed-> deployment/contoso-ml/churn-ep/default",
		"monitor/contoso-ml/churn_monitor -watches-> model/contoso-ml/churn/12",
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("edges:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var up graph
	if err := s.Get("/api/v1/lineage/endpoint/contoso-ml/churn-ep?direction=up", &up); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(up.Nodes, func(n struct{ ID, Kind, Stage string }) bool { return n.ID == "data/contoso-ml/churn-data/7" }) {
		t.Errorf("the walk up from the endpoint does not reach the data: %+v", up.Nodes)
	}
}

type action struct{ ID, Key, Type, State, Target string }

func checkRetrain(t *testing.T, s *server, recorder *sandbox.Recorder) {
	retrains, err := list[action](s, "/api/v1/actions", url.Values{"type": {"retrain"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(retrains) != 1 || retrains[0].State != "succeeded" {
		t.Fatalf("want one retrain that succeeded, got %+v", retrains)
	}
	counts := recorder.Counts()
	if len(counts) != 1 || counts[retrains[0].Key] != 1 || recorder.Refused() != 0 {
		t.Errorf("the target saw %v (refused %d), want key %s once", counts, recorder.Refused(), retrains[0].Key)
	}
}

func checkReview(t *testing.T, s *server) {
	reviews, err := list[struct {
		ID, State, Severity string
	}](s, "/api/v1/reviews", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(reviews) != 1 || reviews[0].State != "open" || reviews[0].Severity != "warning" {
		t.Errorf("want one open review, got %+v", reviews)
	}
}

type decision struct{ Policy, Verdict, Reason, PolicyHash, Asset, Model string }

func checkReasons(t *testing.T, s *server) {
	decisions, err := list[decision](s, "/api/v1/decisions", nil)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, d := range decisions {
		reasons[d.Policy+" "+d.Verdict+" "+d.Reason]++
		if d.PolicyHash == "" || d.Asset != "monitor/contoso-ml/churn_monitor" {
			t.Errorf("a decision that can't be explained: %+v", d)
		}
	}
	want := map[string]int{"churn-drift act acted": 1, "churn-drift hold same_window": 1, "never hold condition_false": 2}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
}

func checkLog(t *testing.T, s *server) {
	events, err := list[struct{ Key, ID, Kind string }](s, "/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, e := range events {
		if kinds[e.ID] != "" {
			t.Errorf("event %s is listed twice", e.ID)
		}
		kinds[e.ID] = e.Kind
	}
	want := map[string]string{
		"e-run": "job.completed", "e-registered": "model.registered", "e-deployed": "model.deployed", "e-drift": "drift.detected",
		"e-breach": "monitor.breached", "e-breach-completed": "monitor.breached", "e-failed": "job.failed", "e-unknown": "unknown",
	}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("log %v, want %v", kinds, want)
	}
	for _, e := range events {
		if e.ID != "e-breach" {
			continue
		}
		var one struct {
			Key      string
			Breaches []any
		}
		if err := s.Get("/api/v1/events/"+e.Key, &one); err != nil {
			t.Fatal(err)
		}
		if len(one.Breaches) != 2 {
			t.Errorf("event %s shows %d breaches, want 2", e.Key, len(one.Breaches))
		}
	}
}

func checkMetrics(t *testing.T, s *server) {
	boot.Eventually(t, 10*time.Second, "counts are fresh", func() error {
		m, err := s.metrics()
		if err == nil && m[`modelwarden_models{stage="deployed",workspace="contoso-ml"}`] == 0 {
			err = errors.New("no model is counted")
		}
		return err
	})
	s.series(t, map[string]float64{
		`modelwarden_models{stage="deployed",workspace="contoso-ml"}`:   1,
		`modelwarden_reviews_open{severity="warning"}`:                  1,
		`modelwarden_monitoring_coverage_ratio{workspace="contoso-ml"}`: 1,
	})
}

// checkWorkerMetrics looks at what only the process counts that does the work.
func checkWorkerMetrics(t *testing.T, s *server) {
	s.series(t, map[string]float64{
		`modelwarden_decisions_total{policy="churn-drift",reason="acted",verdict="act"}`:                                                     1,
		`modelwarden_actions_total{outcome="succeeded",target="hook",type="retrain"}`:                                                        1,
		`modelwarden_breach_value{metric="PopulationStabilityIndex",model="churn",signal="churn_monitor_data_drift",workspace="contoso-ml"}`: 0.35,
	})
}

func TestNothingIsLostToBadInput(t *testing.T) {
	s := serve(t, t.TempDir())
	big := `[{"id":"big","topic":"` + workspaceID + `","subject":"models/big:1","eventType":"Microsoft.MachineLearningServices.ModelRegistered","eventTime":"2026-11-02T09:00:00Z","data":{"modelName":"big","modelVersion":"1","modelTags":{"note":"` + strings.Repeat("x", 2<<20) + `"}},"dataVersion":"2"}]`
	for name, body := range map[string]string{
		"not JSON":       "hello",
		"foreign source": `[{"id":"f","topic":"/subscriptions/x/resourceGroups/y/providers/Microsoft.Storage/storageAccounts/z","subject":"s","eventType":"Microsoft.Storage.BlobCreated","eventTime":"2026-11-02T09:00:00Z","data":{},"dataVersion":"1"}]`,
		"mixed batch":    `[{"id":"good","topic":"` + workspaceID + `","subject":"models/ok:1","eventType":"Microsoft.MachineLearningServices.ModelRegistered","eventTime":"2026-11-02T09:00:00Z","data":{"modelName":"ok","modelVersion":1},"dataVersion":"2"}, 7, {"a":1}]`,
		"2 MB event":     big,
	} {
		if err := s.post("application/json", body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.drained(30 * time.Second)
	quarantined, err := list[struct{ ID, Reason string }](s, "/api/v1/quarantine", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(quarantined) != 4 {
		t.Errorf("want 4 in quarantine (text, foreign, 7, {a:1}), got %+v", quarantined)
	}
	for _, model := range []string{"ok", "big"} {
		var asset struct{ ID string }
		if err := s.Get("/api/v1/assets/model/contoso-ml/"+model+"/1", &asset); err != nil {
			t.Error(err)
		}
	}
	events, err := list[struct{ Key, ID string }](s, "/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.ID == "big" {
			checkBigEvent(t, s, e.Key, big)
		}
	}
}

// checkBigEvent asks for the event's payload back, whole.
func checkBigEvent(t *testing.T, s *server, key, sent string) {
	var got struct {
		Event struct{ Data json.RawMessage }
	}
	if err := s.Get("/api/v1/events/"+key, &got); err != nil {
		t.Fatal(err)
	}
	var original []struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(sent), &original); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(compact(t, got.Event.Data)) != sha256.Sum256(compact(t, original[0].Data)) {
		t.Errorf("the payload of %s came back with %d bytes, sent were %d", key, len(got.Event.Data), len(original[0].Data))
	}
}

func compact(t *testing.T, raw json.RawMessage) []byte {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestASecondProcessOnTheSameFolderIsRefused(t *testing.T) {
	data := t.TempDir()
	serve(t, data)
	said := &boot.Tail{}
	code := runCommand(t, said, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if code == 0 || !strings.Contains(said.String(), "in use") {
		t.Errorf("exit %d, said: %s", code, said)
	}
}

func TestTheDemoTellsItsStory(t *testing.T) {
	out := &boot.Tail{}
	if code := runCommand(t, out, "demo", "--exit", "--listen", "127.0.0.1:0"); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	for _, want := range []string{"acts on monitor.breached", "The review resolved itself", "the retrain was effective", "model/contoso-ml/churn/2", "made 1 retrain and 1 review"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out)
		}
	}
}

func TestHandshakes(t *testing.T) {
	s := serve(t, t.TempDir())
	req, err := http.NewRequest(http.MethodOptions, s.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("WebHook-Request-Origin", "eventgrid.azure.net")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if got := r.Header.Get("WebHook-Allowed-Origin"); got != "eventgrid.azure.net" {
		t.Errorf("CloudEvents handshake: allowed origin %q, status %s", got, r.Status)
	}
	body := `[{"id":"v","topic":"` + workspaceID + `","subject":"","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-11-02T08:00:00Z","data":{"validationCode":"512d38b6"},"dataVersion":"1"}]`
	req, err = http.NewRequest(http.MethodPost, s.URL+"/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("aeg-event-type", "SubscriptionValidation")
	req.Header.Set("Content-Type", "application/json")
	v, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Body.Close() }()
	var answer struct{ ValidationResponse string }
	if err := json.NewDecoder(v.Body).Decode(&answer); err != nil || answer.ValidationResponse != "512d38b6" || v.StatusCode != http.StatusOK {
		t.Errorf("Event Grid handshake: %s %+v %v", v.Status, answer, err)
	}
}

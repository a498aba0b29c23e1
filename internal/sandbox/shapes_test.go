package sandbox_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestEventShapes pins every event, byte for byte, in all four renderings.
// The golden files were compared with Microsoft's documentation and samples
// by eye; a change in one of them is a change of what "Azure" sends.
func TestEventShapes(t *testing.T) {
	for _, schema := range []sandbox.Schema{sandbox.EventGrid, sandbox.CloudEvents} {
		for _, casing := range []sandbox.Casing{sandbox.Camel, sandbox.Pascal} {
			name := string(schema) + "." + string(casing) + ".json"
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { golden(t, name, everyEvent(t, schema, casing)) })
			})
		}
	}
}

// everyEvent plays one of each and returns the requests' bodies, one a line.
func everyEvent(t *testing.T, schema sandbox.Schema, casing sandbox.Casing) []byte {
	s := &sink{}
	w := start(t, s, sandbox.Options{Seed: 1, Training: churn}, sandbox.Subscription{Schema: schema, Casing: casing})
	must[string](t)(w.RegisterData("churn-data"))
	job := must[string](t)(w.SubmitJob(sandbox.JobSpec{
		Name: "first", Component: "azureml:train_churn:3", Tags: map[string]string{"modelwarden.action": "k@p"},
	}))
	must[sandbox.Job](t)(w.WaitJob(t.Context(), job))
	must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "second", Experiment: "adhoc"}))
	check(t, w.FailJob("second", "out of memory"))
	monitor := churnMonitor
	monitor.Notify = []string{"mlops@contoso.example"}
	check(t, w.CreateMonitor(monitor))
	must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
	check(t, w.ShiftData("age", 0.6))
	must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
	w.ReportDrift(sandbox.DriftReport{Name: "churn-drift", Coefficient: 0.83, Start: time.Now().Add(-7 * 24 * time.Hour)})
	flush(t, w)
	check(t, w.DeleteSubscription("modelwarden"))
	flush(t, w)
	var out bytes.Buffer
	for _, r := range s.deliveries() {
		check(t, json.Indent(&out, r.body, "", "  "))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(path, got, 0o644))
	}
	want := must[[]byte](t)(os.ReadFile(path))
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run the test with -update and read the diff. Got:\n%s", path, got)
	}
}

// TestShapesMatchTheSamples compares with events as Microsoft documents them:
// the same keys in the same order, envelope and data.
func TestShapesMatchTheSamples(t *testing.T) {
	tests := []struct {
		kind   string
		casing sandbox.Casing
		keys   []string
	}{
		{"ModelRegistered", sandbox.Camel, []string{"modelName", "modelVersion", "modelTags", "modelProperties"}},
		{"ModelRegistered", sandbox.Pascal, []string{"ModelName", "ModelVersion", "ModelTags", "ModelProperties"}},
		{"ModelDeployed", sandbox.Camel, []string{"serviceName", "serviceComputeType", "modelIds", "serviceTags", "serviceProperties"}},
		{"RunCompleted", sandbox.Camel, []string{"experimentId", "experimentName", "runId", "runType", "runTags", "runProperties"}},
		{"RunStatusChanged", sandbox.Camel, []string{"experimentId", "experimentName", "runId", "runType", "runTags", "runProperties", "runStatus"}},
		{"DatasetDriftDetected", sandbox.Pascal, []string{"DataDriftId", "DataDriftName", "RunId", "BaseDatasetId", "TargetDatasetId", "DriftCoefficient", "StartTime", "EndTime"}},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+string(tt.casing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				envelope, data := keysOf(t, tt.kind, everyEvent(t, sandbox.EventGrid, tt.casing))
				equal(t, envelope, []string{"id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion", "metadataVersion"})
				equal(t, data, tt.keys)
			})
		})
	}
}

// keysOf lists the keys of the first event of a type, in order.
func keysOf(t *testing.T, kind string, stream []byte) (envelope, data []string) {
	t.Helper()
	for dec := json.NewDecoder(bytes.NewReader(stream)); dec.More(); {
		var batch []json.RawMessage
		check(t, dec.Decode(&batch))
		var e struct {
			EventType string          `json:"eventType"`
			Data      json.RawMessage `json:"data"`
		}
		check(t, json.Unmarshal(batch[0], &e))
		if e.EventType == "Microsoft.MachineLearningServices."+kind {
			return orderedKeys(t, batch[0]), orderedKeys(t, e.Data)
		}
	}
	t.Fatalf("no event of type %s", kind)
	return nil, nil
}

func orderedKeys(t *testing.T, object []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(object))
	must[json.Token](t)(dec.Token())
	var keys []string
	for dec.More() {
		keys = append(keys, must[json.Token](t)(dec.Token()).(string))
		var skip json.RawMessage
		check(t, dec.Decode(&skip))
	}
	return keys
}

func equal[T comparable](t *testing.T, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("at %d: got %v, want %v\nall: %v", i, got[i], want[i], got)
			return
		}
	}
}

func readGolden(schema sandbox.Schema, casing sandbox.Casing) ([]byte, error) {
	return os.ReadFile(filepath.Join("testdata", string(schema)+"."+string(casing)+".json"))
}

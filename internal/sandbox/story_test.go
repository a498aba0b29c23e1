package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// call is a client of a workspace's Handler.
type call struct {
	t    *testing.T
	base string
	http http.Client
}

func client(t *testing.T, w *sandbox.Workspace) call {
	return call{t: t, base: w.ID(), http: http.Client{Transport: sandbox.InMemory{"azure.test": w.Handler()}}}
}

// do sends a request and decodes the answer.
func (c call) do(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	req := must[*http.Request](c.t)(http.NewRequestWithContext(c.t.Context(), method, "http://azure.test"+path, strings.NewReader(body)))
	resp := must[*http.Response](c.t)(c.http.Do(req))
	raw := must[[]byte](c.t)(io.ReadAll(resp.Body))
	var answer map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			c.t.Fatalf("%s %s answered %q", method, path, raw)
		}
	}
	return resp.StatusCode, answer
}

// arm sends a request about a resource of the workspace.
func (c call) arm(method, resource, body string) (int, map[string]any) {
	c.t.Helper()
	return c.do(method, c.base+resource+"?api-version=2024-10-01", body)
}

// at walks down into an answer.
func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

const retrainBody = `{"properties": {"jobType": "Pipeline", "componentId": "azureml:train_churn:3",
	"experimentName": "churn-retrain", "tags": {"modelwarden.action": "k1@model/contoso-ml/churn"},
	"inputs": {"training_data": {"jobInputType": "uri_folder", "uri": "azureml:churn-data@latest"}}}}`

// TestStory plays the whole life once: the data shifts, the monitor breaches,
// a retrain is put, model 2 replaces model 1, the monitor passes.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := start(t, s, sandbox.Options{Seed: 42, Training: churn}, sandbox.Subscription{Copies: 2, Shuffle: 5})
		azure := client(t, w)

		must[string](t)(w.RegisterData("churn-data"))
		first := must[string](t)(w.SubmitJob(sandbox.JobSpec{Component: "azureml:train_churn:3"}))
		job := must[sandbox.Job](t)(w.WaitJob(t.Context(), first))
		if job.Status != sandbox.Completed || job.Model != "churn" || job.Version != "1" {
			t.Fatalf("first training: %+v", job)
		}
		check(t, w.CreateMonitor(churnMonitor))
		if run := must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor")); len(run.Violations) != 0 {
			t.Fatalf("before the shift: %+v", run)
		}

		check(t, w.ShiftData("age", 0.6))
		breach := must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
		if want := (sandbox.Violation{Signal: "churn_monitor_data_drift", Feature: "age", Metric: "PopulationStabilityIndex", Value: 0.36, Threshold: 0.2}); len(breach.Violations) != 1 || breach.Violations[0] != want {
			t.Fatalf("after the shift: %+v, want %+v", breach.Violations, want)
		}

		for i, want := range []int{http.StatusCreated, http.StatusOK} {
			if status, answer := azure.arm("PUT", "/jobs/mw-k1", retrainBody); status != want {
				t.Fatalf("PUT number %d: got %d %v, want %d", i+1, status, answer, want)
			}
		}
		followJob(t, azure)
		job = must[sandbox.Job](t)(w.WaitJob(t.Context(), "mw-k1"))
		if job.Version != "2" || job.Properties[sandbox.PropTrainingData] != "azureml:churn-data:2" {
			t.Fatalf("the retrained model: %+v", job)
		}
		if _, d := azure.arm("GET", "/onlineEndpoints/churn-ep/deployments/blue", ""); !strings.HasSuffix(fmt.Sprint(at(d, "properties", "model")), "/models/churn/versions/2") {
			t.Errorf("deployed: %v", d)
		}
		if run := must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor")); len(run.Violations) != 0 || run.Version != "2" {
			t.Errorf("after the retrain: %+v", run)
		}
		flush(t, w)
		checkLineage(t, s.events(t))
	})
}

// followJob sees the retrain go through its statuses, in virtual time.
func followJob(t *testing.T, azure call) {
	t.Helper()
	var seen []string
	for range 25 {
		_, job := azure.arm("GET", "/jobs/mw-k1", "")
		status, _ := at(job, "properties", "status").(string)
		if len(seen) == 0 || seen[len(seen)-1] != status {
			seen = append(seen, status)
		}
		time.Sleep(100 * time.Millisecond)
	}
	equal(t, seen, []string{"NotStarted", "Queued", "Running", "Finalizing", "Completed"})
}

// checkLineage builds data → job → model → deployment from events alone.
func checkLineage(t *testing.T, events []map[string]any) {
	t.Helper()
	links := map[string]string{}
	retrains := map[string]bool{}
	for _, e := range events {
		data := dataOf(e)
		switch typeOf(e) {
		case "RunCompleted":
			run := data["runId"].(string)
			if input, ok := at(data, "runProperties", sandbox.PropTrainingData).(string); ok {
				links["job "+run] = input
			}
			if action, ok := at(data, "runTags", "modelwarden.action").(string); ok && action == "k1@model/contoso-ml/churn" {
				retrains[run] = true
			}
		case "ModelRegistered":
			model := data["modelName"].(string) + ":" + data["modelVersion"].(string)
			links[model] = "job " + at(data, "modelProperties", "azureml.runId").(string)
		case "ModelDeployed":
			links["endpoint"] = data["modelIds"].(string)
		}
	}
	if got := links[links["churn:1"]]; got != "azureml:churn-data:1" {
		t.Errorf("model 1 comes from %q", got)
	}
	if got := links[links["churn:2"]]; got != "azureml:churn-data:2" {
		t.Errorf("model 2 comes from %q", got)
	}
	if len(retrains) != 1 || !retrains["mw-k1"] {
		t.Errorf("runs that carry the action: %v", retrains)
	}
}

// TestBreachEvents looks at what a breach emits: two events of one step, both
// with the tag, none of the root; with notification, the root's tag as well.
func TestBreachEvents(t *testing.T) {
	for _, notify := range [][]string{nil, {"mlops@contoso.example"}} {
		t.Run(fmt.Sprintf("notify %v", notify), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				w := start(t, s, sandbox.Options{Training: churn}, sandbox.Subscription{})
				run := breachOnce(t, w, notify)
				flush(t, w)
				var kinds []string
				for _, e := range s.events(t) {
					data := dataOf(e)
					switch data["runId"] {
					case run.Steps[0]:
						kinds = append(kinds, "step "+typeOf(e))
						checkTag(t, at(data, "runTags", sandbox.BreachTag))
						if at(data, "runProperties", "azureml.rootpipelinerunid") != run.Root || data["runType"] != "azureml.StepRun" {
							t.Errorf("step: %v", data)
						}
					case run.Root:
						kinds = append(kinds, "root "+typeOf(e))
						checkTag(t, at(data, "runTags", sandbox.RootBreachTag+"churn_monitor_data_drift"))
					}
				}
				want := []string{"step RunStatusChanged", "step RunCompleted"}
				if notify != nil {
					want = append(want, "root RunCompleted")
				}
				equal(t, kinds, want)
			})
		})
	}
}

func breachOnce(t *testing.T, w *sandbox.Workspace, notify []string) sandbox.MonitorRun {
	t.Helper()
	must[string](t)(w.RegisterData("churn-data"))
	name := must[string](t)(w.SubmitJob(sandbox.JobSpec{Component: "train_churn"}))
	must[sandbox.Job](t)(w.WaitJob(t.Context(), name))
	monitor := churnMonitor
	monitor.Notify = notify
	check(t, w.CreateMonitor(monitor))
	check(t, w.ShiftData("age", 0.6))
	check(t, w.ShiftData("tenure_months", -0.5))
	return must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
}

func checkTag(t *testing.T, tag any) {
	t.Helper()
	want := "The signal 'churn_monitor_data_drift' has failed due to one or more features violating metric thresholds.\n" +
		"The feature names and their corresponding computed metric values violating the threshold are \n" +
		`['{"group":"age","metric_value":0.36,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}', ` +
		`'{"group":"tenure_months","metric_value":0.25,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}']` + "\n"
	if tag != want {
		t.Errorf("got tag\n%v\nwant\n%s", tag, want)
	}
}

func TestBreachTagIsCutAtAzuresLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := start(t, s, sandbox.Options{Training: churn}, sandbox.Subscription{})
		monitor := churnMonitor
		monitor.Signals = []sandbox.Signal{{Name: "data_drift", Threshold: 0.2}}
		for i := range 20 {
			monitor.Signals[0].Features = append(monitor.Signals[0].Features, fmt.Sprintf("it's_größe_%02d", i))
			check(t, w.ShiftData(monitor.Signals[0].Features[i], 1))
		}
		must[string](t)(w.RegisterModel("churn", "", nil))
		check(t, w.Deploy("churn-ep", "blue", "churn", "1"))
		check(t, w.CreateMonitor(monitor))
		run := must[sandbox.MonitorRun](t)(w.RunMonitor("churn_monitor"))
		flush(t, w)
		events := s.events(t)
		tag, _ := at(dataOf(events[len(events)-1]), "runTags", sandbox.BreachTag).(string)
		if n := len([]rune(tag)); n != 1000 || len(run.Violations) != 20 {
			t.Errorf("the tag has %d characters for %d violations, want 1000 for 20", n, len(run.Violations))
		}
		if !strings.Contains(tag, `'{"group":"it\'s_größe_00",`) {
			t.Errorf("not as Python writes it: %s", tag)
		}
	})
}

func TestMetricsViolateInTheirDirection(t *testing.T) {
	tests := []struct {
		metric    string
		threshold float64
	}{
		{"PopulationStabilityIndex", 0.2}, {"JensenShannonDistance", 0.1}, {"NormalizedWassersteinDistance", 0.3},
		{"TwoSampleKolmogorovSmirnovTest", 0.05}, {"PearsonsChiSquaredTest", 0.05},
		{"NullValueRate", 0.1}, {"OutOfBoundsRate", 0.1}, {"Accuracy", 0.8}, {"RootMeanSquaredError", 0.3},
	}
	for _, tt := range tests {
		t.Run(tt.metric, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, &sink{}, sandbox.Options{Training: churn}, sandbox.Subscription{})
				must[string](t)(w.RegisterData("churn-data"))
				name := must[string](t)(w.SubmitJob(sandbox.JobSpec{Component: "train_churn"}))
				must[sandbox.Job](t)(w.WaitJob(t.Context(), name))
				check(t, w.CreateMonitor(sandbox.MonitorSpec{Name: "m", Model: "churn", Signals: []sandbox.Signal{{Name: "s", Metric: tt.metric, Threshold: tt.threshold}}}))
				var found []int
				for _, shift := range []float64{0, 0.9, -0.9} {
					check(t, w.ShiftData("age", shift))
					found = append(found, len(must[sandbox.MonitorRun](t)(w.RunMonitor("m")).Violations))
				}
				equal(t, found, []int{0, 1, 0})
			})
		})
	}
}

func TestJobsEndAsTold(t *testing.T) {
	tests := []struct {
		name   string
		silent bool
		end    func(w *sandbox.Workspace) error
		status sandbox.Status
		kinds  []string
	}{
		{"completes", false, func(*sandbox.Workspace) error { return nil }, sandbox.Completed,
			[]string{"RunStatusChanged Running", "RunStatusChanged Completed", "RunCompleted"}},
		{"fails", false, func(w *sandbox.Workspace) error { return w.FailJob("j", "disk full") }, sandbox.Failed,
			[]string{"RunStatusChanged Running", "RunStatusChanged Failed"}},
		{"is cancelled", false, func(w *sandbox.Workspace) error { return w.CancelJob("j") }, sandbox.Canceled,
			[]string{"RunStatusChanged Running", "RunStatusChanged Canceled"}},
		{"fails and nobody hears", true, func(w *sandbox.Workspace) error { return w.FailJob("j", "disk full") }, sandbox.Failed,
			[]string{"RunStatusChanged Running"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				w := start(t, s, sandbox.Options{SilentFailures: tt.silent, TrainTime: time.Minute}, sandbox.Subscription{})
				must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "j"}))
				time.Sleep(30 * time.Second)
				check(t, tt.end(w))
				job := must[sandbox.Job](t)(w.WaitJob(t.Context(), "j"))
				time.Sleep(time.Hour)
				flush(t, w)
				var kinds []string
				for _, e := range s.events(t) {
					status, _ := dataOf(e)["runStatus"].(string)
					kinds = append(kinds, strings.TrimSpace(typeOf(e)+" "+status))
				}
				equal(t, kinds, tt.kinds)
				if job.Status != tt.status {
					t.Errorf("ended %s, want %s", job.Status, tt.status)
				}
				if err := w.FailJob("j", "again"); !errors.Is(err, sandbox.ErrState) {
					t.Errorf("ending it twice: got %v", err)
				}
			})
		})
	}
}

func TestJobThatIsToldToFailRegistersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &sink{}, sandbox.Options{Training: churn}, sandbox.Subscription{})
		must[string](t)(w.RegisterData("churn-data"))
		must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: "j", Component: "train_churn", Fail: "bad data"}))
		job := must[sandbox.Job](t)(w.WaitJob(t.Context(), "j"))
		if job.Status != sandbox.Failed || job.Message != "bad data" || job.Model != "" || len(job.Metrics) != 0 {
			t.Errorf("got %+v", job)
		}
	})
}

func TestScoresDependOnSeedAndNameAlone(t *testing.T) {
	train := func(seed int64, names ...string) (out []map[string]float64) {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, &sink{}, sandbox.Options{Seed: seed, Training: churn}, sandbox.Subscription{})
			must[string](t)(w.RegisterData("churn-data"))
			for _, name := range names {
				must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: name, Component: "train_churn"}))
				time.Sleep(time.Millisecond)
			}
			for _, name := range names {
				out = append(out, must[sandbox.Job](t)(w.WaitJob(t.Context(), name)).Metrics)
			}
		})
		return out
	}
	a, b, c := train(1, "x", "y"), train(1, "y", "x"), train(2, "x")
	if fmt.Sprint(a[0]) != fmt.Sprint(b[1]) || fmt.Sprint(a[1]) != fmt.Sprint(b[0]) {
		t.Errorf("the order changed the scores: %v %v", a, b)
	}
	if fmt.Sprint(a[0]) == fmt.Sprint(a[1]) || fmt.Sprint(a[0]) == fmt.Sprint(c[0]) {
		t.Errorf("scores do not vary: %v %v", a, c)
	}
	for _, key := range []string{"accuracy", "auc", "f1", "log_loss"} {
		if v, ok := a[0][key]; !ok || v <= 0 || v >= 1 {
			t.Errorf("%s = %v", key, v)
		}
	}
}

func TestNextAccuracyIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &sink{}, sandbox.Options{Training: churn}, sandbox.Subscription{})
		must[string](t)(w.RegisterData("churn-data"))
		w.NextAccuracy(0.61)
		var got []bool
		for _, name := range []string{"bad", "good"} {
			must[string](t)(w.SubmitJob(sandbox.JobSpec{Name: name, Component: "train_churn"}))
			got = append(got, must[sandbox.Job](t)(w.WaitJob(t.Context(), name)).Metrics["accuracy"] == 0.61)
		}
		equal(t, got, []bool{true, false})
	})
}

func TestUnknownNamesAreNotFound(t *testing.T) {
	w := sandbox.New(sandbox.Options{Training: churn})
	defer func() { check(t, w.Close()) }()
	for name, err := range map[string]error{
		"data":         second(w.SubmitJob(sandbox.JobSpec{Component: "train_churn"})),
		"data version": second(w.SubmitJob(sandbox.JobSpec{Inputs: map[string]string{"training_data": "azureml:churn-data:9"}})),
		"job":          w.FailJob("nobody", ""),
		"job to wait":  second(w.WaitJob(t.Context(), "nobody")),
		"job to read":  second(w.Job("nobody")),
		"model":        w.Deploy("e", "d", "nothing", "1"),
		"model's job":  second(w.RegisterModel("churn", "nobody", nil)),
		"monitor":      second(w.RunMonitor("nothing")),
	} {
		if !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
	check(t, w.CreateMonitor(churnMonitor))
	if _, err := w.RunMonitor("churn_monitor"); !errors.Is(err, sandbox.ErrState) {
		t.Errorf("monitor of a model nobody deployed: got %v", err)
	}
	if err := w.CreateMonitor(sandbox.MonitorSpec{Name: "m"}); err == nil {
		t.Error("a monitor without a signal was created")
	}
}

func second[T any](_ T, err error) error { return err }

func TestAssetsAreBounded(t *testing.T) {
	w := sandbox.New(sandbox.Options{MaxAssets: 3})
	defer func() { check(t, w.Close()) }()
	var errs []error
	for i := range 4 {
		errs = append(errs, second(w.SubmitJob(sandbox.JobSpec{Name: fmt.Sprint("j", i)})), second(w.RegisterData("d")))
	}
	full := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(full) != 2 || !errors.Is(full[0], sandbox.ErrFull) || !errors.Is(full[1], sandbox.ErrFull) {
		t.Errorf("got %v, want the fourth of each kind refused", full)
	}
	if _, err := w.SubmitJob(sandbox.JobSpec{Name: "j0"}); err != nil {
		t.Errorf("a name that exists is found even when full: %v", err)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

// lab is a simulated workspace with the address that the service asks it at.
type lab struct {
	*sandbox.Workspace
	t      *testing.T
	server *httptest.Server
	// around, if set, stands between the service and the workspace.
	around atomic.Pointer[func(next http.Handler) http.Handler]
}

func newLab(t *testing.T, o sandbox.Options) *lab {
	t.Helper()
	l := &lab{t: t}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := l.Handler()
		if around := l.around.Load(); around != nil {
			h = (*around)(h)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	o.PublicURL = l.server.URL
	l.Workspace = sandbox.New(o)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	l.must(l.Start())
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// told waits until every event has been delivered and worked off.
func (l *lab) told(s *server) {
	l.t.Helper()
	l.must(l.Flush(l.t.Context()))
	s.drained(30 * time.Second)
}

// config writes a configuration that knows the workspace, and rules.
func (l *lab) config(rules string) string {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "modelwarden.yaml")
	text := fmt.Sprintf("azureML: {endpoint: %q, workspaces: [%q], reconcileEvery: 1s, settle: 1s}\n%s", l.server.URL, l.ID(), rules)
	l.must(os.WriteFile(file, []byte(text), 0o600))
	return file
}

// train runs a component to the end of its job.
func (l *lab) train(component string) sandbox.Job {
	l.t.Helper()
	name, err := l.SubmitJob(sandbox.JobSpec{Component: component, Experiment: "train"})
	l.must(err)
	job, err := l.WaitJob(l.t.Context(), name)
	l.must(err)
	return job
}

// monitored makes a monitor for a model, and lets its data shift.
func (l *lab) monitored(model string) {
	l.t.Helper()
	l.must(l.CreateMonitor(sandbox.MonitorSpec{Name: model + "_monitor", Model: model, Signals: []sandbox.Signal{
		{Name: model + "_monitor_data_drift", Metric: "PopulationStabilityIndex", Features: []string{"age"}, Threshold: 0.2},
	}}))
}

// jobsOf counts the jobs that the service asked for.
func (l *lab) jobsOf(prefix string) (names []string) {
	l.t.Helper()
	next := l.server.URL + l.ID() + "/jobs?api-version=2024-10-01"
	for next != "" {
		var page struct {
			Value    []struct{ Name string }
			NextLink string
		}
		l.must(getJSON(next, &page))
		for _, j := range page.Value {
			if strings.HasPrefix(j.Name, prefix) && !slices.Contains(names, j.Name) {
				names = append(names, j.Name)
			}
		}
		next = page.NextLink
	}
	return names
}

func getJSON(address string, into any) error {
	b, err := boot.Download(address, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

const churn = "train_churn"

func churnTraining() []sandbox.Training {
	return []sandbox.Training{{Component: churn, Model: "churn", Data: "churn-data", Endpoint: "churn-ep", Tags: map[string]string{"owner": "risk-ml"}}}
}

const retrainRules = `
policies:
  - name: drift
    on: [monitor.breached]
    match: {model: "churn"}
    then: [{retrain: {target: pipeline}}, {review: {severity: warning}}]
targets:
  pipeline: {azureml: {workspace: contoso-ml, component: "azureml:train_churn:1", experiment: churn-retrain}}
`

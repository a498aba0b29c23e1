//go:build peers

// Package mlflow reads runs from a real MLflow server with the adapter that
// reads those of Azure Machine Learning, whose tracking server has the same
// interface. The runs are logged with MLflow's own client. test/peers/run
// installs MLflow and says where in MODELWARDEN_MLFLOW.
package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// patience bounds the server's start and the client's work.
const patience = 90 * time.Second

var workspace = event.Workspace{
	Alias: "contoso",
	ID:    "/subscriptions/5f0c1e2a/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/contoso",
}

func TestRunsOfARealServer(t *testing.T) {
	server := serve(t)
	runs := logRuns(t, server)
	client := reader(t, server)

	full := read(t, client, runs["full"])
	want := map[string]float64{
		"accuracy": 0.92, "loss": 0.1, "age/PopulationStabilityIndex": 0.35, "tiny": 5e-324, "negative": -1.5, "whole": 7,
	}
	if !maps.Equal(full.Metrics, want) {
		t.Errorf("metrics %v\nwant %v: the newest step of each; NaN and infinities left out", full.Metrics, want)
	}
	if want := map[string]string{"depth": "6", "learning rate": "0.1", "data": "azureml:churn-data:7"}; !maps.Equal(full.Params, want) {
		t.Errorf("parameters %v, want %v", full.Params, want)
	}
	if full.ID != runs["full"] || full.Status != "FINISHED" || full.Experiment == "" {
		t.Errorf("run %+v", full)
	}
	if full.Tags["team"] != "risk-ml" || full.Tags[event.OriginTag] != "k@model/ws/churn/12" || full.Tags["mlflow.runName"] != "full" {
		t.Errorf("tags %v", full.Tags)
	}

	if empty := read(t, client, runs["empty"]); len(empty.Metrics)+len(empty.Params) != 0 || empty.Status != "FINISHED" {
		t.Errorf("the empty run: %+v", empty)
	}
	if many := read(t, client, runs["many"]); len(many.Metrics) != 900 || many.Metrics["feature_0899/PopulationStabilityIndex"] != 0.899 {
		t.Errorf("%d of 900 metrics", len(many.Metrics))
	}
	for name, status := range map[string]string{"failed": "FAILED", "open": "RUNNING"} {
		if run := read(t, client, runs[name]); run.Status != status {
			t.Errorf("run %q is %s, want %s", name, run.Status, status)
		}
	}
	if _, err := client.Run(t.Context(), workspace, "0123456789abcdef0123456789abcdef"); !errors.Is(err, lineage.ErrNotFound) {
		t.Errorf("a run that does not exist: %v", err)
	}
}

func read(t *testing.T, client *ml.Client, id string) azureml.Run {
	t.Helper()
	run, err := client.Run(t.Context(), workspace, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// reader is the adapter with a server's address for that of the workspace. A
// stand-in for ARM tells no more of the workspace than its region.
func reader(t *testing.T, server string) *ml.Client {
	t.Helper()
	arm := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"location": "westeurope", "properties": {}}`))
	}))
	t.Cleanup(arm.Close)
	client, err := ml.New(ml.Options{Endpoint: arm.URL, Tracking: func(string, string) string { return server }})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// command is a program of the MLflow installation.
func command(t *testing.T, ctx context.Context, name string, args ...string) *exec.Cmd {
	t.Helper()
	home := os.Getenv("MODELWARDEN_MLFLOW")
	if home == "" {
		t.Fatal("MODELWARDEN_MLFLOW does not say where MLflow is installed: run test/peers/run")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(home, "bin", name), args...)
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "GIT_PYTHON_REFRESH=quiet", "PYTHONWARNINGS=ignore")
	return cmd
}

// logRuns runs the script and returns the ids of its runs by name.
func logRuns(t *testing.T, server string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := command(t, ctx, "python", "log_runs.py", server)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("log_runs.py: %v\n%s", err, complaints.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var runs map[string]string
	if err := json.Unmarshal(lines[len(lines)-1], &runs); err != nil {
		t.Fatalf("log_runs.py printed %s: %v", out, err)
	}
	return runs
}

// serve starts an MLflow server over a database of its own and returns its
// address.
func serve(t *testing.T) string {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	cmd := command(t, context.Background(), "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"), "--default-artifact-root", filepath.Join(dir, "artifacts"))
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// The server forks; its group ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("the server said:\n%s", said.Bytes())
		}
	})
	address := "http://127.0.0.1:" + port
	awaitHealth(t, address, ended)
	return address
}

// awaitHealth waits until the server answers or has ended.
func awaitHealth(t *testing.T, address string, ended chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if healthy(ctx, address) {
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err // for the clean-up
			t.Fatalf("the MLflow server ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("the MLflow server does not answer within %v", patience)
		}
	}
}

func healthy(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/health", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// freePort is a port of this machine that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

package ml_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// rig is a client before a simulated workspace, to be used within synctest.
type rig struct {
	*ml.Client
	ws *sandbox.Workspace
	at event.Workspace
}

const host = "127.0.0.1"

func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	o.Training = append(o.Training, sandbox.Training{
		Component: "train_churn", Model: "churn", Data: "churn-data", Endpoint: "churn-ep", Tags: map[string]string{"owner": "risk-ml"},
	})
	ws := sandbox.New(o)
	t.Cleanup(func() { check(t, ws.Close()) })
	check(t, ws.Start())
	client, err := ml.New(ml.Options{Endpoint: "http://" + host, Transport: &http.Client{Transport: sandbox.InMemory{host: ws.Handler()}}, PollEvery: time.Second})
	check(t, err)
	r := &rig{Client: client, ws: ws, at: event.Workspace{Alias: "contoso-ml", ID: ws.ID()}}
	must[string](t)(ws.RegisterData("churn-data"))
	return r
}

// train runs a job to its end.
func (r *rig) train(t *testing.T, spec sandbox.JobSpec) sandbox.Job {
	t.Helper()
	name := must[string](t)(r.ws.SubmitJob(spec))
	return must[sandbox.Job](t)(r.ws.WaitJob(t.Context(), name))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// walk reads a listing from its start to its end.
func walk[T any](t *testing.T, r *rig, list func(context.Context, event.Workspace, string) ([]T, string, error)) []T {
	t.Helper()
	var out []T
	cursor := ""
	for range 100 {
		items, next, err := list(t.Context(), r.at, cursor)
		check(t, err)
		out = append(out, items...)
		if cursor = next; cursor == "" {
			return out
		}
	}
	t.Fatal("the listing does not end")
	return nil
}

package ml_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// inbox keeps the events that a workspace sends, parsed as a worker would.
type inbox struct {
	t      *testing.T
	parser *event.Parser
	mu     sync.Mutex
	events []*event.Event
}

// ServeHTTP implements http.Handler.
func (i *inbox) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Header.Get("aeg-event-type") == "SubscriptionValidation" {
		var asked []struct {
			Data struct{ ValidationCode string }
		}
		_ = json.Unmarshal(body, &asked)
		_ = json.NewEncoder(rw).Encode(map[string]string{"validationResponse": asked[0].Data.ValidationCode})
		return
	}
	parts, err := event.Split(r.Header.Get("Content-Type"), r.Header.Get, body)
	if err != nil {
		i.t.Error(err)
		return
	}
	for _, p := range parts {
		ev, err := i.parser.Parse(p.Envelope)
		if err != nil {
			i.t.Error(err)
			return
		}
		i.events = append(i.events, ev)
	}
}

// find is the newest event of a kind.
func (i *inbox) find(kind event.Kind) *event.Event {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.events) - 1; n >= 0; n-- {
		if i.events[n].Kind == kind {
			return i.events[n]
		}
	}
	i.t.Fatalf("no event of kind %s among %d", kind, len(i.events))
	return nil
}

// TestACutBreachTagIsMadeWhole goes the whole way: a workspace measures more
// features than a tag can name, its event arrives, and the adapter reads the
// rest from the run's metrics.
func TestACutBreachTagIsMadeWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{t: t, parser: must[*event.Parser](t)(event.NewParser(event.DefaultOptions()))}
		r := newRig(t, sandbox.Options{
			Subscriptions: []sandbox.Subscription{{URL: "http://warden.test/events"}},
			HTTPClient:    &http.Client{Transport: sandbox.InMemory{"warden.test": in}},
		})
		r.train(t, sandbox.JobSpec{Name: "first", Component: "train_churn", Environment: "azureml:sklearn:5"})
		features := make([]string, 30)
		for i := range features {
			features[i] = fmt.Sprintf("feature_%02d", i)
			check(t, r.ws.ShiftData(features[i], 3))
		}
		check(t, r.ws.CreateMonitor(sandbox.MonitorSpec{Name: "churn_monitor", Model: "churn",
			Signals: []sandbox.Signal{{Name: "data_drift", Threshold: 0.2, Features: features}}}))
		run := must[sandbox.MonitorRun](t)(r.ws.RunMonitor("churn_monitor"))
		check(t, r.ws.Flush(t.Context()))

		ev := in.find(event.MonitorBreached)
		if len(run.Violations) != 30 || ev.Loss == nil || len(ev.Breaches) >= 30 {
			t.Fatalf("%d violations, %d of them in the tag, loss %+v: the tag should be cut", len(run.Violations), len(ev.Breaches), ev.Loss)
		}
		serving := func(context.Context, string, string) (event.Model, error) {
			return event.Model{Name: "churn", Version: "1"}, nil
		}
		_, champion, err := azureml.NewEnricher(r.Client, nil).Enrich(t.Context(), ev, serving)
		check(t, err)
		if len(ev.Breaches) != 30 || ev.Loss.Rehydrated != 30-ev.Loss.Kept {
			t.Fatalf("%d breaches, loss %+v", len(ev.Breaches), ev.Loss)
		}
		for _, v := range run.Violations {
			found := false
			for _, b := range ev.Breaches {
				found = found || (b.Feature == v.Feature && b.Signal == v.Signal && *b.Value == v.Value && *b.Threshold == v.Threshold)
			}
			if !found {
				t.Errorf("%+v is not among the breaches", v)
			}
		}
		if ev.Monitor.Schedule == nil || ev.Monitor.Schedule.Endpoint != "churn-ep" || len(champion) == 0 {
			t.Errorf("schedule %+v, the champion's metrics %v", ev.Monitor.Schedule, champion)
		}

		registered := in.find(event.ModelRegistered)
		_, _, err = azureml.NewEnricher(r.Client, nil).Enrich(t.Context(), registered, serving)
		check(t, err)
		if m := registered.Model; m.Job != "first" || m.Run == nil || m.Run.Facts["environment"] != "azureml:sklearn:5" {
			t.Errorf("model %+v", m)
		}
	})
}

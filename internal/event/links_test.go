package event_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
)

// deployed is a deployment of the given modelIds.
func deployed(t *testing.T, modelIDs any) *event.Event {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"serviceName": "scoring", "modelIds": modelIDs})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newParser(t).Parse(event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.ModelDeployed", Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// numbered are n distinct links.
func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("m%d:%d", i, i)
	}
	return out
}

func TestModelsOfADeploymentAreBoundedAndCounted(t *testing.T) {
	for _, c := range []struct {
		name          string
		ids           any
		kept, trimmed int
	}{
		{"all that fit", numbered(1000), 1000, 0},
		{"a list too long", numbered(5000), 1000, 4000},
		{"text too long", strings.Join(numbered(5000), ","), 1000, 4000},
		{"repeats cost nothing", append(numbered(1000), numbered(1000)...), 1000, 0},
		{"few", "a:1, b:2,a:1", 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := deployed(t, c.ids)
			got := e.Deployment.Models
			if len(got) != c.kept || e.Trimmed != c.trimmed {
				t.Fatalf("%d models, %d trimmed; want %d, %d", len(got), e.Trimmed, c.kept, c.trimmed)
			}
			if want := (event.ModelRef{Name: "m999", Version: "999"}); c.kept == 1000 && got[999] != want {
				t.Errorf("the last is %+v, want %+v", got[999], want)
			}
		})
	}
}

func TestInputsOfARunAreBoundedAndCounted(t *testing.T) {
	e := completed(t, newParser(t), map[string]any{
		"runProperties": map[string]string{"input_data": strings.Join(numbered(200), ",")},
		"runTags":       map[string]string{"input_data": strings.Join(numbered(300), ",")},
	})
	if len(e.Run.Inputs) != 256 || e.Trimmed != 44 {
		t.Errorf("%d inputs, %d trimmed; want 256 and 44", len(e.Run.Inputs), e.Trimmed)
	}
}

func TestTargetsOfAnAlertAreBoundedAndCounted(t *testing.T) {
	raw, err := json.Marshal(map[string]any{"essentials": map[string]any{
		"alertId": "/subscriptions/0/a", "alertRule": "latency", "monitorCondition": "Fired", "alertTargetIDs": numbered(70),
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newParser(t).Parse(event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.AlertsManagement.Alert.Fired", Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Alert.Targets) != 64 || e.Trimmed != 6 {
		t.Errorf("%d targets, %d trimmed; want 64 and 6", len(e.Alert.Targets), e.Trimmed)
	}
}

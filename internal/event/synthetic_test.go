package event_test

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// TestTheMarkOfASyntheticEventTravels takes it the whole way that an event
// goes: written for the queue, cut to fit one, read and parsed.
func TestTheMarkOfASyntheticEventTravels(t *testing.T) {
	for _, synthetic := range []bool{true, false} {
		sent := event.Envelope{
			ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.RunStatusChanged", Subject: "experiments/e/runs/r",
			Time: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), Data: []byte(`{"runStatus":"Failed"}`), Synthetic: synthetic,
		}
		body, ok := event.Shrink(sent.AppendJSON(nil), 4000)
		items, err := event.Split("", nil, body)
		if !ok || err != nil || len(items) != 1 || items[0].Problem != nil {
			t.Fatalf("%s: %v %v", body, items, err)
		}
		got, err := newParser(t).Parse(items[0].Envelope)
		if err != nil || got.Synthetic != synthetic || got.Kind != event.JobFailed {
			t.Errorf("%s: synthetic %v, kind %s, %v", body, got.Synthetic, got.Kind, err)
		}
		plain := sent
		plain.Synthetic = false
		if sent.Key() != plain.Key() {
			t.Error("the mark changes the event's identity")
		}
	}
}

func TestOnlyTrueMarksAnEventSynthetic(t *testing.T) {
	for _, v := range []string{`"yes"`, `1`, `null`, `false`, `{}`} {
		items, err := event.Split("", nil, []byte(`{"id":"1","source":"s","type":"t","mwsynthetic":`+v+`}`))
		if err != nil || items[0].Envelope.Synthetic {
			t.Errorf("%s marks the event: %v", v, err)
		}
	}
}

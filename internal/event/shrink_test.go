package event_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/event"
)

// heavy is an event of about a megabyte: two long tags beside short ones.
func heavy(t *testing.T, longest, second string) (event.Envelope, []byte) {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"runId": "sincere_yak", "runStatus": "Failed", "attempts": json.Number("12345678901234567890"),
		"runTags": map[string]string{"owner": "risk", "log": longest, "note": second},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := event.Envelope{ID: "1", Source: "/subscriptions/s/x", Type: "Microsoft.MachineLearningServices.RunStatusChanged", Subject: "experiments/e/runs/r", Data: data}
	return e, e.AppendJSON(nil)
}

func shrink(t *testing.T, body []byte, limit int) event.Envelope {
	t.Helper()
	got, ok := event.Shrink(body, limit)
	if !ok || len(got) > limit {
		t.Fatalf("to %d bytes: got %d, %v", limit, len(got), ok)
	}
	items, err := event.Split("", nil, got)
	if err != nil || len(items) != 1 || items[0].Problem != nil {
		t.Fatalf("what is left is no event: %v, %+v", err, items)
	}
	return items[0].Envelope
}

func TestShrinkCutsTheLongestTextAlone(t *testing.T) {
	long, short := strings.Repeat("é", 400_000), strings.Repeat("y", 1000)
	want, body := heavy(t, long, short)
	e := shrink(t, body, 200_000)
	if e.Key() != want.Key() {
		t.Error("the identity changed")
	}
	var data struct {
		RunTags  map[string]string `json:"runTags"`
		Attempts json.Number       `json:"attempts"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	if data.RunTags["note"] != short || data.RunTags["owner"] != "risk" || data.Attempts != "12345678901234567890" {
		t.Errorf("more was cut than had to be: %v", data)
	}
	log := data.RunTags["log"]
	if !strings.HasPrefix(log, strings.Repeat("é", 100)) || !strings.Contains(log, fmt.Sprintf("%d bytes, sha256 %x", len(long), sha256.Sum256([]byte(long)))) {
		t.Errorf("the cut text is %q", log)
	}
}

func TestShrinkLeavesWhatFits(t *testing.T) {
	_, body := heavy(t, "a", "b")
	if got, ok := event.Shrink(body, len(body)); !ok || string(got) != string(body) {
		t.Errorf("got %s, %v", got, ok)
	}
}

func TestShrinkReplacesAPayloadWithoutLongTexts(t *testing.T) {
	numbers, err := json.Marshal(make([]int, 300_000))
	if err != nil {
		t.Fatal(err)
	}
	want := event.Envelope{ID: "1", Source: "/s", Type: "t", Data: numbers}
	e := shrink(t, want.AppendJSON(nil), 10_000)
	if e.Key() != want.Key() || !strings.Contains(string(e.Data), "modelwardenCut") || !strings.Contains(string(e.Data), "[0,0,0") {
		t.Errorf("left is %s", e.Data)
	}
}

func TestShrinkCutsWhatIsNoEvent(t *testing.T) {
	body := strings.Repeat("not json ", 100_000)
	got, ok := event.Shrink([]byte(body), 5000)
	if !ok || len(got) > 5000 || !strings.HasPrefix(string(got), "not json not json") || !strings.Contains(string(got), "900000 bytes, sha256 ") {
		t.Errorf("got %d bytes, %v", len(got), ok)
	}
}

func TestShrinkSaysWhenNothingHelps(t *testing.T) {
	e := event.Envelope{ID: strings.Repeat("i", 5000), Source: "/s", Type: "t", Data: json.RawMessage(`{"a":"` + strings.Repeat("x", 9000) + `"}`)}
	if got, ok := event.Shrink(e.AppendJSON(nil), 4000); ok {
		t.Errorf("an identity of 5,000 bytes became %d", len(got))
	}
}

// TestShrinkFits holds for any document and any limit that leaves room.
func TestShrinkFits(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return strings.Repeat("\"\u2028é\x01", n) }))
	rapid.Check(t, func(rt *rapid.T) {
		tags := rapid.MapOfN(rapid.String(), text, 0, 8).Draw(rt, "tags")
		data, err := json.Marshal(map[string]any{"list": []any{tags, 1.5, nil, true}})
		if err != nil {
			rt.Fatal(err)
		}
		e := event.Envelope{ID: "1", Source: "/s", Type: "t", Data: data}
		body := e.AppendJSON(nil)
		limit := rapid.IntRange(600, 30_000).Draw(rt, "limit")
		got, ok := event.Shrink(body, limit)
		if !ok || len(got) > limit {
			rt.Fatalf("%d bytes to %d: got %d, %v", len(body), limit, len(got), ok)
		}
		items, err := event.Split("", nil, got)
		if err != nil || len(items) != 1 || items[0].Problem != nil || items[0].Envelope.Key() != e.Key() {
			rt.Fatalf("left is %s", got)
		}
	})
}

package lineage_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// The hand-written encoders must mean what encoding/json means.

func TestAssetEncodingIsWhatDecodingReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for _, ev := range rapid.SliceOfN(rapid.Custom(anyEvent), 1, 30).Draw(t, "history") {
			w.apply(ev)
		}
		for id, a := range w.assets {
			a.Rev, a.Recorded = rapid.Int64Range(0, 5).Draw(t, "rev"), start
			if a.Fields == nil {
				a.Fields = map[string]lineage.Field{}
			}
			a.Fields[rapid.String().Draw(t, "name")] = lineage.Field{V: json.RawMessage(`"x"`), S: a.First}
			got, err := lineage.DecodeAsset(a.AppendJSON(nil))
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			same(t, a, got)
		}
	})
}

func TestEntryEncodingIsWhatDecodingReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return rapid.String().Draw(t, label) }
		n := lineage.Entry{
			ID: text("id"), Kind: event.JobFailed, Asset: "job/ws/x", Workspace: text("ws"),
			Received: start, Committed: start.Add(time.Second), Via: text("via"), Subscription: text("subscription"),
			DeliveryCount: text("count"), TraceParent: text("trace"), Fenced: rapid.Bool().Draw(t, "fenced"), Page: text("page"),
			Decisions: rapid.IntRange(0, 3).Draw(t, "decisions"), Actions: rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "actions"),
			Enrichment: &lineage.Enrichment{State: lineage.EnrichmentDone, Waiting: rapid.Bool().Draw(t, "waiting"), Ended: start, Page: text("later"), Policies: []string{text("policy")}},
			Breaches:   2, Chunks: 1, Notes: []string{text("note")}, Loss: &event.Loss{Reason: "truncated", Kept: 3}, Event: json.RawMessage(`{"a":[1,"b"]}`),
		}
		loss, err := json.Marshal(n.Loss)
		if err != nil {
			t.Fatal(err)
		}
		var got lineage.Entry
		if err := json.Unmarshal(n.AppendJSON(nil, loss), &got); err != nil {
			t.Fatal(err)
		}
		same(t, n, got)
		line := lineage.EventLine{Key: n.ID, ID: text("event"), Kind: n.Kind, Type: text("type"), Subject: text("subject"), Time: start, Committed: start, Actions: 1}
		var gotLine lineage.EventLine
		if err := json.Unmarshal(line.AppendJSON(nil), &gotLine); err != nil {
			t.Fatal(err)
		}
		same(t, line, gotLine)
	})
}

// same compares by encoding/json, which knows no difference between an empty
// and an absent list.
func same(t *rapid.T, want, got any) {
	a, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Fatalf("wrote\n%s\nread\n%s", a, b)
	}
}

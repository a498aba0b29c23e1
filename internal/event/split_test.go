package event_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"pgregory.net/rapid"
)

const workspace = "/subscriptions/5f0c1e2a/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"

// registered is a whole event in CloudEvents form.
func registered(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":"Microsoft.MachineLearningServices.ModelRegistered","subject":"models/churn:1","data":{"a":1}}`, id, workspace)
}

// brief is a body's items in short: ids of events, reasons of problems.
func brief(items []event.Item) []string {
	out := []string{}
	for _, i := range items {
		if i.Problem != nil {
			out = append(out, "!"+i.Problem.Reason)
			continue
		}
		out = append(out, i.Envelope.ID)
	}
	return out
}

func TestSplitFindsEventsWhateverTheContentTypeSays(t *testing.T) {
	a, b := registered("a"), registered("b")
	grid := `{"id":"g","topic":"` + workspace + `","eventType":"T","data":null}`
	bodies := map[string][]string{
		a:                                  {"a"},
		"[" + a + "]":                      {"a"},
		"[" + a + "," + grid + "]":         {"a", "g"},
		" \n\t[ " + a + " , " + b + " ] ":  {"a", "b"},
		"\ufeff" + a:                       {"a"},
		a + "\n" + b + "\n":                {"a", "b"},
		"[" + a + "][" + b + "]":           {"a", "b"},
		"[]":                               {},
		" [ ] ":                            {},
		"[{}," + a + "]":                   {"!not_event", "a"},
		"[" + a + ",1,null,\"x\",[],true]": {"a", "!not_event", "!not_event", "!not_event", "!not_event", "!not_event"},
		"[" + a + "," + "{\"id\":1 2}," + b + "]": {"a", "!not_json", "b"},
		"[" + a + ",{]," + b + "]":                {"a", "!not_json", "b"},
		"[" + a + ",,," + b + ",]":                {"a", "!not_json", "!not_json", "b", "!not_json"},
		"[" + a + "," + b[:50]:                    {"a", "!not_json"},
		"[" + a + ",":                             {"a", "!not_json"},
		"[" + a:                                   {"a", "!not_json"},
		"[" + a + " " + b + "]":                   {"a", "!not_json"},
		"[" + a + " junk}, " + b + "]":            {"a", "!not_json", "b"},
		"[" + a + ",}{\"x\":[}]}," + b + "]":      {"a", "!not_json", "b"},
		"[" + a + `,{"x\`:                         {"a", "!not_json"},
		a + "trailing":                            {"a", "!not_json"},
		"{}":                                      {"!not_event"},
		`{"type":"t","source":"s"}`:               {"!missing_id"},
		`{"id":"1","source":"s"}`:                 {"!missing_type"},
		`{"id":"1","type":"t"}`:                   {"!missing_source"},
		`{"schemaId":"AzureMonitorMetricAlert"}`:  {"!unsupported_type"},
		"[" + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "," + a + "]": {"!too_deep", "a"},
	}
	types := []string{
		"application/json", "application/json; charset=utf-8", "application/cloudevents+json",
		"application/cloudevents-batch+json", "text/plain", "",
	}
	for body, want := range bodies {
		for _, contentType := range types {
			items, err := event.Split(contentType, nil, []byte(body))
			if err != nil {
				t.Errorf("%.80s as %q: %v", body, contentType, err)
			}
			if got := brief(items); !slices.Equal(got, want) {
				t.Errorf("%.80s as %q: %v, want %v", body, contentType, got, want)
			}
		}
	}
}

func TestSplitRefusesBodiesWithoutAnyEvent(t *testing.T) {
	for body, reason := range map[string]string{
		"":                         event.ReasonEmpty,
		" \r\n ":                   event.ReasonEmpty,
		"\ufeff":                   event.ReasonEmpty,
		"hello":                    event.ReasonNotJSON,
		"<xml/>":                   event.ReasonNotJSON,
		"1":                        event.ReasonNotEvent,
		`"text"`:                   event.ReasonNotEvent,
		"null":                     event.ReasonNotEvent,
		"{":                        event.ReasonNotJSON,
		`{"id":}`:                  event.ReasonNotJSON,
		"[":                        event.ReasonNotJSON,
		"[,]":                      event.ReasonNotJSON,
		"\xff\xfe[\x00]\x00":       event.ReasonNotJSON,
		strings.Repeat("[", 1<<20): event.ReasonTooDeep,
		strings.Repeat(",", 1<<10): event.ReasonNotJSON,
	} {
		items, err := event.Split("application/json", nil, []byte(body))
		var p *event.Problem
		if !errors.As(err, &p) || p.Reason != reason || len(items) != 0 {
			t.Errorf("%.40q: %v and %d items, want %s", body, err, len(items), reason)
		}
	}
}

func TestSplitSaysWhereAnElementIsBroken(t *testing.T) {
	body := "[" + registered("a") + `, {"id": oops}]`
	items, err := event.Split("", nil, []byte(body))
	if err != nil || len(items) != 2 {
		t.Fatal(items, err)
	}
	want := fmt.Sprintf("event 2 of the body, at byte %d: the JSON breaks its grammar", strings.Index(body, "oops"))
	if got := items[1].Problem.Detail; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(items[1].Raw); got != `{"id": oops}` {
		t.Errorf("raw %q", got)
	}
}

func TestManyBrokenElementsShareItemsButLoseNothing(t *testing.T) {
	body := "[" + strings.Repeat("1,", 5000) + registered("a") + strings.Repeat(",2", 5000) + "]"
	items, err := event.Split("", nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(items) > 103 {
		t.Errorf("%d items", len(items))
	}
	raw := 0
	for _, i := range items {
		raw += len(i.Raw)
	}
	if least := len(body) - 205; raw < least {
		t.Errorf("the items hold %d bytes of %d", raw, len(body))
	}
}

func TestDataIsTheSendersBytes(t *testing.T) {
	data := "{ \"big\" : 123456789012345678901234567890.0e+1,\n \"s\":\"\\u00e9\\/\" }"
	items, err := event.Split("", nil, []byte(`{"id":"1","source":"s","type":"t","data": `+data+` }`))
	if err != nil || string(items[0].Envelope.Data) != data {
		t.Errorf("%s, %v", items[0].Envelope.Data, err)
	}
}

func headers(kv ...string) func(string) string {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h.Get
}

func TestBinaryMode(t *testing.T) {
	h := headers("ce-specversion", "1.0", "ce-id", "b%201", "ce-type", "T", "ce-source", "/s/%C3%A9", "ce-subject", "sub", "ce-time", "2026-11-02T09:14:07.4931201Z")
	want := event.Envelope{ID: "b 1", Type: "T", Source: "/s/é", Subject: "sub", Time: time.Date(2026, 11, 2, 9, 14, 7, 493120100, time.UTC)}
	for body, data := range map[string]string{
		`{"a":1}`:           `{"a":1}`,
		" [1]\n":            `[1]`,
		"":                  "",
		"null":              "",
		"plain text":        `"plain text"`,
		"{broken":           `"{broken"`,
		"\x00\xff":          `{"data_base64":"AP8="}`,
		"12":                `12`,
		registered("inner"): registered("inner"),
	} {
		items, err := event.Split("application/json", h, []byte(body))
		if err != nil || len(items) != 1 || items[0].Problem != nil {
			t.Fatalf("%q: %v, %v", body, items, err)
		}
		got := items[0].Envelope
		if string(got.Data) != data {
			t.Errorf("%q: data %s, want %s", body, got.Data, data)
		}
		if got.Data = nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestBinaryHeadersDoNotHideStructuredEvents(t *testing.T) {
	complete := headers("ce-id", "h", "ce-type", "T", "ce-source", "s")
	partial := headers("ce-id", "h", "ce-specversion", "1.0")
	for _, c := range []struct {
		name, contentType string
		header            func(string) string
		body              string
		want              []string
	}{
		{"structured wins by its content type", "application/cloudevents+json", complete, registered("a"), []string{"a"}},
		{"a false content type gives way to whole headers", "application/cloudevents+json", complete, `{"x":1}`, []string{"h"}},
		{"headers without a source count for nothing", "application/json", partial, registered("a"), []string{"a"}},
		{"an empty batch under whole headers is the payload of one event", "application/cloudevents+json", complete, `[]`, []string{"h"}},
	} {
		items, err := event.Split(c.contentType, c.header, []byte(c.body))
		if got := brief(items); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// envelopes draws envelopes as Split makes them.
func envelopes() *rapid.Generator[event.Envelope] {
	return rapid.Custom(func(t *rapid.T) event.Envelope {
		text := rapid.StringN(1, 20, -1)
		e := event.Envelope{
			ID: text.Draw(t, "id"), Source: text.Draw(t, "source"), Type: text.Draw(t, "type"),
			Subject: rapid.StringN(0, 20, -1).Draw(t, "subject"),
		}
		if rapid.Bool().Draw(t, "timed") {
			e.Time = time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		}
		if rapid.Bool().Draw(t, "loaded") {
			e.Data = []byte(rapid.SampledFrom([]string{`{}`, `{"a": [1, 2.50, null]}`, `"text"`, `12345678901234567890`, `[]`, `false`, `{"schemaId":"azureMonitorCommonAlertSchema"}`}).Draw(t, "data"))
		}
		return e
	})
}

func TestCanonicalFormReadsBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := envelopes().Draw(t, "envelope")
		body := e.AppendJSON(nil)
		items, err := event.Split("", nil, body)
		if err != nil || len(items) != 1 || items[0].Problem != nil {
			t.Fatalf("%s: %v %v", body, items, err)
		}
		sameEnvelope(t, items[0].Envelope, e)
		if again := items[0].Envelope.AppendJSON(nil); string(again) != string(body) {
			t.Fatalf("%s became %s", body, again)
		}
		if items[0].Envelope.Key() != e.Key() {
			t.Fatal("the key changed")
		}
	})
}

type fataler interface{ Fatalf(string, ...any) }

func sameEnvelope(t fataler, got, want event.Envelope) {
	same := got.ID == want.ID && got.Source == want.Source && got.Type == want.Type &&
		got.Subject == want.Subject && got.Time.Equal(want.Time) && string(got.Data) == string(want.Data)
	if !same {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

// What Split accepts, the worker's Split must accept again, or an accepted
// event would be lost to its own depth.
func TestCanonicalFormReadsBackAtAnyDepth(t *testing.T) {
	binary := headers("ce-id", "1", "ce-type", "t", "ce-source", "s")
	for depth := 120; depth < 140; depth++ {
		deep := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		for body, header := range map[string]func(string) string{
			deep: binary,
			`{"id":"1","type":"t","source":"s","data":` + deep + `}`:                                                     nil,
			`{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertId":"1"},"x":` + deep + `}}`:        nil,
			`{"id":"1","type":"t","source":"s","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(deep)) + `"}`: nil,
		} {
			items, err := event.Split("application/json", header, []byte(body))
			if err != nil || items[0].Problem != nil {
				continue
			}
			again, err := event.Split("", nil, items[0].Envelope.AppendJSON(nil))
			if err != nil || again[0].Problem != nil {
				t.Errorf("depth %d: %.80s: %v, %v", depth, body, again, err)
			}
		}
	}
}

func TestAppendJSONAppends(t *testing.T) {
	e := event.Envelope{ID: "a\"\x01\xff", Source: "s\\", Type: "t", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}
	got := string(e.AppendJSON([]byte("before ")))
	want := `before {"specversion":"1.0","id":"a\"\u0001` + "\ufffd" + `","source":"s\\","type":"t","time":"2026-01-02T02:04:05Z"}`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnyBatchSplitsIntoItsElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(envelopes(), 0, 8).Draw(t, "events")
		var parts []string
		var want []string
		for i := range list {
			parts = append(parts, string(list[i].AppendJSON(nil)))
			want = append(want, list[i].ID)
			if rapid.Bool().Draw(t, "break") {
				broken := rapid.SampledFrom([]string{`{"id":1 2}`, `{"a" "b"}`, `nope`, `"x"`, `{"x":[1,}}`, ``}).Draw(t, "broken")
				parts = append(parts, broken)
				want = append(want, "")
			}
		}
		items, err := event.Split("", nil, []byte("["+strings.Join(parts, ",")+"]"))
		if len(list) == 0 {
			return
		}
		if err != nil || len(items) != len(want) {
			t.Fatalf("%d items of %d, %v", len(items), len(want), err)
		}
		for i, item := range items {
			if (item.Problem == nil) != (want[i] != "") || item.Problem == nil && item.Envelope.ID != want[i] {
				t.Fatalf("item %d: %+v, want %q", i, item, want[i])
			}
		}
	})
}

package eventgrid

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	const a = `{"brokerProperties":{"lockToken":"A","deliveryCount":3},"event":{"id":"1"}}`
	tests := []struct {
		name, page string
		want       []string // lease/attempt/body
		fails      bool
	}{
		{"empty", `{"value":[]}`, nil, false},
		{"null", `{"value":null}`, nil, false},
		{"no value", `{"other":[1,2]}`, nil, false},
		{"one", `{"value":[` + a + `]}`, []string{`A/3/{"id":"1"}`}, false},
		{"byte order mark", "\ufeff" + `{"value":[` + a + `]}`, []string{`A/3/{"id":"1"}`}, false},
		{"things around", `{"x":{"value":[7]},"value":[` + a + `],"y":1}`, []string{`A/3/{"id":"1"}`}, false},
		{"no event", `{"value":[{"brokerProperties":{"lockToken":"A"}}]}`, []string{`A/1/{"brokerProperties":{"lockToken":"A"}}`}, false},
		{"null event", `{"value":[{"event":null,"brokerProperties":{"lockToken":"A"}}]}`, []string{`A/1/null`}, false},
		{"text count", `{"value":[{"event":1,"brokerProperties":{"lockToken":"A","deliveryCount":"4"}}]}`, []string{`A/4/1`}, false},
		{"odd count", `{"value":[{"event":1,"brokerProperties":{"lockToken":"A","deliveryCount":-4}}]}`, []string{`A/1/1`}, false},
		{"no token", `{"value":[{"event":1},` + a + `]}`, []string{`A/3/{"id":"1"}`}, true},
		{"number token", `{"value":[{"event":1,"brokerProperties":{"lockToken":5}},7,` + a + `]}`, []string{`A/3/{"id":"1"}`}, true},
		{"cut", `{"value":[` + a + `,{"brok`, []string{`A/3/{"id":"1"}`}, true},
		{"cut at once", `{"value"`, nil, true},
		{"array", `[]`, nil, true},
		{"text", `oops`, nil, true},
		{"value is no array", `{"value":7}`, nil, true},
		{"nothing", ``, nil, true},
	}
	for _, tt := range tests {
		page, err := split([]byte(tt.page))
		var got []string
		for _, d := range page {
			got = append(got, fmt.Sprintf("%s/%d/%s", d.Lease, d.Attempt, d.Body))
		}
		if strings.Join(got, ";") != strings.Join(tt.want, ";") || (err != nil) != tt.fails {
			t.Errorf("%s: got %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

// Whatever the events are, all of them come out as they were, in order.
func TestSplitKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOf(rapid.SampledFrom([]string{
			`{"id":"1"}`, `{}`, `[1,[2,{"value":[]}]]`, `"\"}]"`, `null`, `1e400`, `{"brokerProperties":{"lockToken":"evil"}}`,
		})).Draw(t, "events")
		elements := make([]string, len(events))
		for i, e := range events {
			elements[i] = fmt.Sprintf(`{"event":%s,"brokerProperties":{"deliveryCount":%d,"lockToken":"t%d"}}`, e, i+1, i)
		}
		page, err := split([]byte(`{"value": [` + strings.Join(elements, " , ") + `] }`))
		if err != nil || len(page) != len(events) {
			t.Fatalf("%d of %d events, error %v", len(page), len(events), err)
		}
		for i, d := range page {
			if string(d.Body) != events[i] || string(d.Lease) != fmt.Sprint("t", i) || d.Attempt != i+1 {
				t.Fatalf("event %d became %+v", i, d)
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	const a = `{"brokerProperties":{"lockToken":"A","deliveryCount":3},"event":{"id":"1"}}`
	for _, seed := range []string{"", "{}", `{"value":[` + a + `,` + a + `]}`, `{"value":[` + a + `,{"ev`, `{"value":null}`, `{"a":1,"value":[7]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		out, err := split(page)
		for _, d := range out {
			if d.Lease == "" || d.Attempt < 1 || !json.Valid(d.Body) {
				t.Fatalf("delivery %+v", d)
			}
		}
		var whole struct {
			Value []struct {
				BrokerProperties struct{ LockToken string }
			}
		}
		if json.Unmarshal(page, &whole) != nil || err != nil {
			return
		}
		if strings.Count(strings.ToLower(string(page)), "value") == 1 && strings.Contains(string(page), `"value"`) && len(out) != len(whole.Value) {
			t.Fatalf("%d deliveries of %d elements without an error", len(out), len(whole.Value))
		}
	})
}

package cosmos

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func noise(size int) []byte {
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(body)
	return body
}

func TestAlphabet(t *testing.T) {
	seen := map[rune]bool{}
	for _, r := range alphabet85 {
		seen[r] = true
	}
	quoted, err := json.Marshal(alphabet85)
	if err != nil || string(quoted) != `"`+alphabet85+`"` || len(seen) != 85 || len(alphabet85) != 85 {
		t.Errorf("%d different characters of %d, as JSON %s", len(seen), len(alphabet85), quoted)
	}
}

func FuzzBase85(f *testing.F) {
	for _, s := range []string{"", "\x00", "\xff\xff\xff\xff", "\xff\xff\xff", "abcde"} {
		f.Add([]byte(s), s)
	}
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		encoded := append85(nil, b)
		back, err := decode85(string(encoded))
		if err != nil || !bytes.Equal(back, b) || len(encoded) != size85(len(b)) {
			t.Errorf("%x became %s and came back as %x, %v", b, encoded, back, err)
		}
		if _, err := decode85(s); err == nil && strings.ContainsAny(s, "\"\\<>& ") {
			t.Errorf("%q was decoded", s)
		}
	})
}

// roundTrip stores a body in an item, marshals it the way the SDK does and
// reads it back; it returns the size of the body's part.
func roundTrip(t *testing.T, body []byte) form {
	t.Helper()
	raw := encodeItem("pk", &lineage.Record{ID: "a", Body: body}, "mark", time.Time{})
	wire, err := json.Marshal(json.RawMessage(raw))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := decodeItem("p", wire)
	if err != nil || !bytes.Equal(r.Body, body) {
		t.Fatalf("a body of %d bytes came back as %d, %v", len(body), len(r.Body), err)
	}
	f := smallest(body)
	if rest := len(wire) - f.size; rest > 60 || rest < 30 {
		t.Fatalf("%d bytes were estimated of an item of %d", f.size, len(wire))
	}
	return f
}

func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"a": "<b>"}`), 1)
	f.Add([]byte("\u2028\x00\xff\x7f\uFFFD\xed\xa0\x80"), 1000)
	f.Fuzz(func(t *testing.T, body []byte, times int) {
		body = bytes.Repeat(body, max(1, times%2000))
		if len(body) > 1<<18 {
			return
		}
		if form := roundTrip(t, body); form.size > size85(len(body))+1 {
			t.Errorf("%d bytes take %d", len(body), form.size)
		}
	})
}

func TestBodyForms(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		kind byte
		most float64 // bytes for one of the body
	}{
		{"nothing", nil, asText, 0},
		{"a document", []byte(`{"kind":"model.registered","name":"churn"}`), asText, 1.25},
		{"text of another script", []byte(strings.Repeat("日本", 600)), asText, 1},
		{"little that is not UTF-8", []byte("\xff\xfe\xfd\xfc"), asBytes, 1.5},
		{"noise", noise(100_000), asBytes, 1.2501},
		{"the most of it", noise(lineage.MaxBody), asBytes, 1.2501},
		{"a large document", bytes.Repeat([]byte(`{"name":"churn"},`), 1000), asFlate, 0.05},
		{"what HTML escapes", []byte(strings.Repeat("<", 3000)), asBytes, 1.251},
		{"zeros", make([]byte, lineage.MaxBody), asFlate, 0.01},
	} {
		f := roundTrip(t, c.body)
		if f.kind != c.kind || float64(f.size) > c.most*float64(len(c.body)) {
			t.Errorf("%s: %d bytes take %d as %c", c.name, len(c.body), f.size, f.kind)
		}
	}
}

func FuzzJSONSize(f *testing.F) {
	f.Add("a\"\\\b\f\n\r\t\x00\x1f<>&\u2028\u2029\x7fé日🦆")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var back string
		if err := json.Unmarshal(appendJSON(nil, s), &back); err != nil || back != s {
			t.Errorf("%q became %s: %v", s, appendJSON(nil, s), err)
		}
		if wire, err := json.Marshal(s); err != nil || len(wire)-2 != jsonSize([]byte(s)) {
			t.Errorf("%q has %d bytes as JSON, computed %d, %v", s, len(wire)-2, jsonSize([]byte(s)), err)
		}
	})
}

func TestItemsThatAreNotOurs(t *testing.T) {
	bomb := append85([]byte(`f`), deflate(make([]byte, lineage.MaxBody+1)))
	for _, raw := range []string{
		`{"id":"a"}`, `{"id":"a/b","b":""}`, `{"id":"a","o":"/ a","b":""}`, `{"id":"a","z":"r\""}`, `{"id":"a","z":"x00000"}`,
		`{"id":"a","z":"f00000"}`, `{"id":1}`, `[]`, `{"id":"a","z":"` + string(bomb) + `"}`, `{"id":"a","i":"&","b":""}`,
	} {
		_, _, err := decodeItem("p", []byte(raw))
		if err == nil {
			t.Errorf("%.60s was read", raw)
		} else if class, _ := classify(err); class != final {
			t.Errorf("%v would be read again", err)
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_999)
	for _, c := range []struct {
		in  time.Duration
		ttl string
	}{
		{time.Second, `"ttl":2,`}, {1500 * time.Millisecond, `"ttl":3,`}, {0, `"ttl":1,`}, {-time.Hour, `"ttl":1,`},
		{200 * 365 * 24 * time.Hour, `"ttl":2147483647,`},
	} {
		if got := string(appendExpiry(nil, now.Add(c.in), now)); !strings.HasSuffix(got, c.ttl) {
			t.Errorf("in %v: %s", c.in, got)
		}
	}
	raw := encodeItem("pk", &lineage.Record{ID: "a", Expires: time.UnixMilli(-5)}, "mark", now)
	if r, _, err := decodeItem("p", raw); err != nil || r.Expires.IsZero() {
		t.Errorf("a time before 1970 became %v, %v", r.Expires, err)
	}
}

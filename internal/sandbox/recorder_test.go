package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

func jsonString(t *testing.T, s string) []byte {
	t.Helper()
	return must[[]byte](t)(json.Marshal(s))
}

// post sends a webhook and returns the status, 0 for a dropped connection.
func post(t *testing.T, h http.Handler, header map[string]string, body string) int {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "POST", "http://hook.test/retrain", strings.NewReader(body)))
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := sandbox.InMemory{"hook.test": h}.RoundTrip(req)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestRecorderCountsByKey(t *testing.T) {
	c := must[*sandbox.Recorder](t)(sandbox.NewRecorder(sandbox.RecorderOptions{Keep: 2}))
	var got []int
	for _, h := range []map[string]string{
		{"Idempotency-Key": "a"}, {"webhook-id": "a"}, {"webhook-id": "b", "Idempotency-Key": "b"},
		{"webhook-id": "a", "Idempotency-Key": "b"}, {}, {"Idempotency-Key": "c"}, {"Idempotency-Key": "a"},
	} {
		got = append(got, post(t, c, h, "hello"))
	}
	equal(t, got, []int{204, 204, 204, 401, 401, 507, 204})
	if counts := c.Counts(); counts["a"] != 3 || counts["b"] != 1 || len(counts) != 2 || c.Refused() != 2 {
		t.Errorf("got %v, %d refused", counts, c.Refused())
	}
	if d := c.Deliveries(); len(d) != 4 || d[0].Key != "a" || string(d[0].Body) != "hello" || d[0].Path != "/retrain" {
		t.Errorf("got %+v", d)
	}
	rw := httptest.NewRecorder()
	c.ServeHTTP(rw, httptest.NewRequest("GET", "/", nil))
	if want := `{"keys":{"a":3,"b":1},"refused":2}`; rw.Body.String() != want {
		t.Errorf("got %s, want %s", rw.Body, want)
	}
}

func TestRecorderFailsBeforeAndAfterRecording(t *testing.T) {
	c := must[*sandbox.Recorder](t)(sandbox.NewRecorder(sandbox.RecorderOptions{Script: []sandbox.Reply{
		{Status: 503, Unrecorded: true}, {Drop: true, Unrecorded: true}, {Drop: true}, {Status: 500}, {Status: 429, RetryAfter: "3"},
	}}))
	var statuses, counts []int
	for range 6 {
		statuses = append(statuses, post(t, c, map[string]string{"webhook-id": "k"}, ""))
		counts = append(counts, c.Counts()["k"])
	}
	equal(t, statuses, []int{503, 0, 0, 500, 429, 204})
	equal(t, counts, []int{0, 0, 1, 2, 3, 4})
}

func TestRecorderFailsByItsSeed(t *testing.T) {
	play := func(seed int64) (statuses []int, recorded int) {
		c := must[*sandbox.Recorder](t)(sandbox.NewRecorder(sandbox.RecorderOptions{Seed: seed, FailBefore: 0.3, FailAfter: 0.3}))
		for i := range 200 {
			statuses = append(statuses, post(t, c, map[string]string{"webhook-id": fmt.Sprint(i)}, ""))
		}
		return statuses, len(c.Counts())
	}
	a, recorded := play(1)
	b, _ := play(1)
	other, _ := play(2)
	equal(t, a, b)
	count := map[int]int{}
	for _, status := range a {
		count[status]++
	}
	if recorded != count[204]+count[500] || min(count[503], count[500], count[204]) < 40 {
		t.Errorf("got %v, %d recorded", count, recorded)
	}
	if fmt.Sprint(a) == fmt.Sprint(other) {
		t.Error("another seed failed alike")
	}
}

func TestRecorderVerifiesStandardWebhooks(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	key := []byte("a secret of thirty-two bytes, yes")
	sign := func(id string, at time.Time, body string) string {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	tests := []struct {
		name, signature string
		at              time.Time
		want            int
	}{
		{"valid", sign("k", now, "body"), now, 204},
		{"valid among others", "v1,AAAA v2,x " + sign("k", now, "body"), now, 204},
		{"of another body", sign("k", now, "other"), now, 401},
		{"of another id", sign("l", now, "body"), now, 401},
		{"missing", "", now, 401},
		{"old", sign("k", now.Add(-time.Hour), "body"), now.Add(-time.Hour), 401},
		{"of another time", sign("k", now, "body"), now.Add(time.Second), 401},
		{"another version", "v2" + strings.TrimPrefix(sign("k", now, "body"), "v1"), now, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := must[*sandbox.Recorder](t)(sandbox.NewRecorder(sandbox.RecorderOptions{
				Secret: "whsec_" + base64.StdEncoding.EncodeToString(key), Now: func() time.Time { return now },
			}))
			got := post(t, c, map[string]string{
				"webhook-id": "k", "webhook-timestamp": fmt.Sprint(tt.at.Unix()), "webhook-signature": tt.signature,
			}, "body")
			if got != tt.want || (got == 204) != (c.Counts()["k"] == 1) {
				t.Errorf("got %d and %v, want %d", got, c.Counts(), tt.want)
			}
		})
	}
	if _, err := sandbox.NewRecorder(sandbox.RecorderOptions{Secret: "whsec_sesame!"}); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("a secret that is not base64: got %v", err)
	}
}

package effect_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// pagerHears is a PagerDuty target whose webhooks are signed with pagerKey.
func pagerHears(t testing.TB) effect.Caller {
	t.Helper()
	all, err := effect.NewTicketers(map[string]policy.Target{"oncall": {PagerDuty: &policy.PagerDutyTarget{
		Token: policy.Token{TokenEnv: "PD"}, Callback: policy.Callback{CallbackSecretEnv: "HOOK"},
	}}}, effect.Deps{LookupEnv: func(string) (string, bool) { return pagerKey, true }})
	if err != nil {
		t.Fatal(err)
	}
	return all["oncall"].(effect.Caller)
}

func signedHeader(signatures ...string) http.Header {
	h := http.Header{}
	h.Set("X-PagerDuty-Signature", strings.Join(signatures, ", "))
	return h
}

func TestPagerDutyTellsWhatPeopleDo(t *testing.T) {
	merged := map[string]any{"type": "merge_resolve_reason", "incident": pagerNote("")["incident"]}
	timeout := map[string]any{"html_url": "https://contoso.pagerduty.com/services/P5", "id": "P5", "self": "https://api.pagerduty.com/services/P5", "summary": "Models", "type": "service_reference"}
	person := effect.Heard{Key: pagedID, Ref: pagedID, By: "Ada", At: t0.Add(time.Minute), ID: "5ac64822-4adc-4fda-ade0-410becf0de4f"}
	for name, tc := range map[string]struct {
		kind  string
		agent any
		data  map[string]any
		verb  review.Verb // "" for nothing
		ref   string
	}{
		"acknowledged":                {"incident.acknowledged", pagerAda, pagerIncident(pagedID, nil), review.Ack, pagedID},
		"resolved":                    {"incident.resolved", pagerAda, pagerIncident(pagedID, map[string]any{"status": "resolved"}), review.Resolve, pagedID},
		"reopened":                    {"incident.reopened", pagerAda, pagerIncident(pagedID, nil), review.Reopen, pagedID},
		"a following incident":        {"incident.acknowledged", pagerAda, pagerIncident(pagedID+".12", nil), review.Ack, pagedID + ".12"},
		"acknowledged by us":          {"incident.acknowledged", pagerOwn, pagerIncident(pagedID, nil), "", ""},
		"resolved by us":              {"incident.resolved", pagerOwn, pagerIncident(pagedID, nil), "", ""},
		"resolved by a timeout":       {"incident.resolved", nil, pagerIncident(pagedID, nil), "", ""},
		"resolved by a service":       {"incident.resolved", timeout, pagerIncident(pagedID, nil), "", ""},
		"merged":                      {"incident.resolved", pagerAda, pagerIncident(pagedID, map[string]any{"resolve_reason": merged}), "", ""},
		"unacknowledged":              {"incident.unacknowledged", pagerAda, pagerIncident(pagedID, nil), "", ""},
		"escalated":                   {"incident.escalated", pagerAda, pagerIncident(pagedID, nil), "", ""},
		"triggered":                   {"incident.triggered", pagerOwn, pagerIncident(pagedID, nil), "", ""},
		"another tool's incident":     {"incident.resolved", pagerAda, pagerIncident("srv01/mysql", nil), "", ""},
		"an incident made by hand":    {"incident.resolved", pagerAda, pagerIncident("", nil), "", ""},
		"a note on an unknown one":    {"incident.annotated", pagerAda, pagerNote("rolled back"), "", ""},
		"what PagerDuty may yet send": {"incident.dreamt_of", pagerAda, pagerIncident(pagedID, nil), "", ""},
	} {
		body := pagerWebhook(t, tc.kind, tc.agent, tc.data)
		got, err := pagerHears(t).Hear(signedHeader(pagerSign(pagerKey, body)), body)
		want := fmt.Sprint([]effect.Heard(nil))
		if tc.verb != "" {
			h := person
			h.Verb, h.Ref = tc.verb, tc.ref
			want = fmt.Sprint([]effect.Heard{h})
		}
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A note names its incident by an id that only other webhooks explain.
func TestNotesAreOnIncidentsThatWereHeardOf(t *testing.T) {
	p := pagerHears(t)
	hear := func(kind string, agent any, data map[string]any) []effect.Heard {
		t.Helper()
		body := pagerWebhook(t, kind, agent, data)
		got, err := p.Hear(signedHeader(pagerSign(pagerKey, body)), body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	hear("incident.triggered", pagerOwn, pagerIncident(pagedID+".2", nil))
	got := hear("incident.annotated", pagerAda, pagerNote(strings.Repeat("é", 1500)))
	if len(got) != 1 || got[0].Verb != review.Remark || got[0].Key != pagedID || got[0].Ref != pagedID+".2" || got[0].By != "Ada" || len(got[0].Why) > 2000 || !strings.HasPrefix(got[0].Why, "éé") {
		t.Errorf("heard %+v", got)
	}
	if got := hear("incident.annotated", pagerOwn, pagerNote("x")); got != nil {
		t.Errorf("an integration's note: %+v", got)
	}
	// What is remembered is bounded, the oldest goes first.
	for n := range 5000 {
		hear("incident.triggered", pagerOwn, pagerIncident(pagedID, map[string]any{"id": fmt.Sprint("P", n)}))
	}
	if got := hear("incident.annotated", pagerAda, pagerNote("x")); got != nil {
		t.Errorf("remembered for ever: %+v", got)
	}
}

func TestWebhooksThatPagerDutyDidNotSignAreRefused(t *testing.T) {
	body := pagerWebhook(t, "incident.resolved", pagerAda, pagerIncident(pagedID, nil))
	good := pagerSign(pagerKey, body)
	for name, header := range map[string]http.Header{
		"unsigned": {}, "another secret": signedHeader(pagerSign("x"+pagerKey, body)), "another version": signedHeader("v2=" + good[3:]),
		"half": signedHeader(good[:len(good)-2]), "no digits": signedHeader("v1="), "not hexadecimal": signedHeader("v1=zz"),
		"another body": signedHeader(pagerSign(pagerKey, body[1:])),
	} {
		if got, err := pagerHears(t).Hear(header, body); !errors.Is(err, effect.ErrForged) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// While a secret is exchanged PagerDuty signs with both.
	if got, err := pagerHears(t).Hear(signedHeader(pagerSign("new", body), good), body); err != nil || len(got) != 1 {
		t.Errorf("two signatures: %v, %v", got, err)
	}
	p, _ := newPagedByPagerDuty(t)
	if _, err := p.to.(effect.Caller).Hear(signedHeader(good), body); !errors.Is(err, effect.ErrNoCallback) {
		t.Errorf("without a secret: %v", err)
	}
}

func TestWebhooksThatCantBeReadAreRefused(t *testing.T) {
	for _, body := range []string{
		``, `[]`, `{}`, `{"event":null}`, `{"event":{"data":{}}}`, `{"messages":[{"event":"incident.resolve"}]}`,
		`{"event":{"event_type":"incident.resolved","occurred_at":"yesterday"}}`,
		`{"event":{"event_type":"incident.resolved","agent":{"type":"user_reference"},"data":{"type":"incident","incident_key":"` + pagedID + `"}}}`,
	} {
		got, err := pagerHears(t).Hear(signedHeader(pagerSign(pagerKey, []byte(body))), []byte(body))
		if err == nil || errors.Is(err, effect.ErrForged) || got != nil {
			t.Errorf("%s: %v, %v", body, got, err)
		}
		if err != nil && strings.Contains(err.Error(), pagerKey) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	ping := []byte(`{"event":{"id":"x","event_type":"pagey.ping","occurred_at":"2026-03-02T10:00:00Z","data":{"message":"Hello from your friend Pagey!","type":"ping"}}}`)
	if got, err := pagerHears(t).Hear(signedHeader(pagerSign(pagerKey, ping)), ping); err != nil || got != nil {
		t.Errorf("a ping: %v, %v", got, err)
	}
}

// Whatever is signed, what is heard is bounded and about a review that may be.
func FuzzPagerDutyHear(f *testing.F) {
	f.Add(pagerWebhook(f, "incident.resolved", pagerAda, pagerIncident(pagedID, nil)), "")
	f.Add(pagerWebhook(f, "incident.annotated", pagerAda, pagerNote("rolled back")), "v1=00")
	f.Add([]byte(`{"event":{"event_type":"incident.acknowledged"}}`), "v1=")
	p := pagerHears(f)
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		if got, err := p.Hear(signedHeader(signature), body); got != nil || !errors.Is(err, effect.ErrForged) {
			if signature != pagerSign(pagerKey, body) {
				t.Fatalf("believed %q: %v, %v", signature, got, err)
			}
		}
		got, err := p.Hear(signedHeader(pagerSign(pagerKey, body)), body)
		if err != nil && got != nil {
			t.Fatalf("%v and %v", got, err)
		}
		for _, h := range got {
			if h.Key == "" || len(h.Key) > 40 || !strings.HasPrefix(h.Ref, h.Key) || len(h.By) > 200 || len(h.Why) > 2000 || h.At.IsZero() || h.Verb == "" {
				t.Fatalf("heard %+v", h)
			}
		}
	})
}

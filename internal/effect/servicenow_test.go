package effect_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// incidentSays is what the documented business rule sends.
func incidentSays(user, previous, state, comment string, heard []effect.Heard) toolSays {
	return toolSays{heard: heard, body: fmt.Sprintf(`{"correlation_id":%q,"sys_id":"41","state":%q,"previous":%q,"comment":%q,"by":"Ana Lopez","user":%q,"created_by":"warden","at":"2026-03-02 10:05:00","id":"41-3"}`,
		reviewKey, state, previous, comment, user)}
}

const analopez = "Ana Lopez"

var serviceNowCallback = toolCallback{
	target: policy.Target{ServiceNow: &policy.ServiceNowTarget{URL: "https://contoso.service-now.com"}},
	sign: func(h http.Header, secret string, body []byte) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		h.Set("X-Modelwarden-Signature", "sha256="+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	},
	says: map[string]toolSays{
		"taken":                   incidentSays("ana", "1", "2", "", heard(review.Ack, analopez, "", fiveLater, "41-3")),
		"resolved":                incidentSays("ana", "2", "6", "", heard(review.Resolve, analopez, "", fiveLater, "41-3")),
		"canceled":                incidentSays("ana", "1", "8", "", heard(review.Resolve, analopez, "", fiveLater, "41-3")),
		"closed after it was":     incidentSays("system", "6", "7", "", nil),
		"opened again":            incidentSays("ana", "6", "2", "", append(heard(review.Reopen, analopez, "", fiveLater, "41-3"), heard(review.Ack, analopez, "", fiveLater, "41-3")...)),
		"on hold":                 incidentSays("ana", "2", "3", "", nil),
		"commented":               incidentSays("ana", "", "", "looking into it", heard(review.Remark, analopez, "looking into it", fiveLater, "41-3")),
		"in another form of time": incidentSays("ana", "1", "2", "", heard(review.Ack, analopez, "", fiveLater, "41-3")).edited("2026-03-02 10:05:00", "2026-03-02T10:05:00Z"),
		"by ourselves":            incidentSays("warden", "1", "6", "", nil),
		"an incident of others":   incidentSays("ana", "1", "6", "", nil).edited(reviewKey, "some other thing"),
	},
}

func TestServiceNowSignsInHexadecimalAsWell(t *testing.T) {
	caller := buildTracker(t, credentialed(serviceNowCallback.target, hooked)).(effect.Caller)
	header, body := http.Header{}, []byte(serviceNowCallback.says["taken"].body)
	hubSign("X-Modelwarden-Signature")(header, theHook, body)
	if got, err := caller.Hear(header, body); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	_, body = serviceNowCallback.says["taken"].edited("2026-03-02 10:05:00", "yesterday").request(serviceNowCallback, theHook)
	hubSign("X-Modelwarden-Signature")(header, theHook, body)
	if got, err := caller.Hear(header, body); err == nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func newServiceNowDesk(t *testing.T) (*serviceNowFake, *trackerDesk) {
	f := newServiceNowFake(t).(*serviceNowFake)
	return f, &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
}

func TestIncidentsHaveTheirFields(t *testing.T) {
	f, d := newServiceNowDesk(t)
	for severity, levels := range map[review.Severity]string{review.Critical: "1 1", review.Error: "1 2", review.Warning: "2 2", review.Info: "3 3"} {
		d.change(func(r *review.Review, _ time.Time) { r.Severity = severity })
		d.deliver()
		if got := fmt.Sprint(d.only().fields["urgency"], " ", d.only().fields["impact"]); got != levels {
			t.Errorf("%s: urgency and impact %s", severity, got)
		}
	}
	k := d.only()
	if got := fmt.Sprint(k.fields["category"], k.fields["correlation_id"]); got != "software"+reviewKey {
		t.Errorf("category and correlation %s", got)
	}
	if d.ticket.URL != f.URL+"/incident.do?sys_id=41" || !strings.Contains(k.body, "Review in Modelwarden: "+d.card.URL) {
		t.Errorf("%s\n%s", d.ticket.URL, k.body)
	}
	d.enter(review.Resolved)
	d.deliver()
	if got := fmt.Sprint(k.fields["close_code"], ", ", k.fields["close_notes"]); got != "Solution provided, resolved by ana@contoso.example: upstream fixed" {
		t.Errorf("closed with %s", got)
	}
	d.enter(review.Open)
	if d.deliver(); k.status != "2" {
		t.Errorf("opened again in state %s", k.status)
	}
}

func TestIncidentsThatWereClosedStaySo(t *testing.T) {
	_, d := newServiceNowDesk(t)
	d.deliver()
	d.enter(review.Resolved)
	d.deliver()
	first := d.only()
	first.status = "7" // ServiceNow closes what was resolved a week ago
	d.change(func(r *review.Review, now time.Time) {
		r.Comments = append(r.Comments, review.Comment{At: now, By: "ana@contoso.example", Text: "late"})
	})
	d.deliver()
	if d.ticket.Ref != first.ref || strings.Contains(first.body, "late") {
		t.Errorf("%+v", d.ticket)
	}
	d.enter(review.Open)
	d.deliver()
	d.enter(review.Acknowledged)
	d.deliver()
	live := d.s.live()
	if len(live) != 2 || d.ticket.Ref != live[1].ref || live[0].status != "7" || live[1].status != "2" {
		t.Errorf("%+v of %d", d.ticket, len(live))
	}
}

func TestIncidentsOfOthersAreNotAdopted(t *testing.T) {
	f, d := newServiceNowDesk(t)
	f.plant("something-else")
	f.blind = true
	if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), "correlation_id") || d.s.written() != 0 {
		t.Errorf("%d changes, %v", d.s.written(), err)
	}
}

func TestServiceNowSaysWhatItNeeds(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusNotFound: "check that url", http.StatusForbidden: "role itil", http.StatusBadRequest: "sys_ids", http.StatusUnauthorized: "not accepted",
	} {
		_, d := newServiceNowDesk(t)
		d.s.faults(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }, nil)
		if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), says) || len(d.s.requests) != 1 {
			t.Errorf("%d, after %d requests: %v", status, len(d.s.requests), err)
		}
	}
}

package effect_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// updated is a request of the service hook workitem.updated, cut down to what
// matters of the documented sample; changes are its resource's fields.
func updated(by, changes string, heard []effect.Heard) toolSays {
	return toolSays{heard: heard, body: fmt.Sprintf(`{"subscriptionId":"s","notificationId":1,"id":"n","eventType":"workitem.updated","publisherId":"tfs",`+
		`"resource":{"id":2,"workItemId":41,"rev":3,"revisedBy":{"id":"i","name":"%[1]s <%[1]s@contoso.example>","displayName":"%[1]s","uniqueName":"%[1]s@contoso.example"},`+
		`"revisedDate":"9999-01-01T00:00:00Z","fields":{"System.Rev":{"oldValue":2,"newValue":3}%[2]s},`+
		`"revision":{"id":41,"rev":3,"fields":{"System.State":"Doing","System.Tags":"mlops; modelwarden-%[3]s","System.CreatedBy":"warden <warden@contoso.example>",`+
		`"System.ChangedBy":"%[1]s <%[1]s@contoso.example>","System.ChangedDate":"2026-03-02T10:05:00Z"}}},"resourceVersion":"1.0","createdDate":"2026-03-02T10:05:02.5943909Z"}`, by, changes, reviewKey)}
}

func state(from, to string) string {
	return fmt.Sprintf(`,"System.State":{"oldValue":%q,"newValue":%q}`, from, to)
}

const commentedItem = `{"id":"n","eventType":"workitem.commented","publisherId":"tfs","resource":{"id":41,"rev":3,"fields":{"System.State":"Doing",` +
	`"System.Tags":"modelwarden-` + reviewKey + `","System.CreatedBy":{"displayName":"warden","uniqueName":"warden@contoso.example"},` +
	`"System.ChangedBy":{"displayName":"ana","uniqueName":"ana@contoso.example"},"System.ChangedDate":"2026-03-02T10:05:00Z","System.History":"<div>looking &lt;into&gt; it</div>"}}}`

var workItemCallback = toolCallback{
	target: policy.Target{WorkItem: &policy.WorkItemTarget{Organization: "contoso", Project: "Churn Models"}},
	sign: func(h http.Header, secret string, _ []byte) {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("anybody:"+secret)))
	},
	says: map[string]toolSays{
		"taken":             updated("ana", state("To Do", "Doing"), heard(review.Ack, "ana", "", fiveLater, "41-3")),
		"done":              updated("ana", state("Doing", "done"), heard(review.Resolve, "ana", "", fiveLater, "41-3")),
		"opened again":      updated("ana", state("Done", "To Do"), heard(review.Reopen, "ana", "", fiveLater, "41-3")),
		"taken again":       updated("ana", state("Done", "Doing"), append(heard(review.Reopen, "ana", "", fiveLater, "41-3"), heard(review.Ack, "ana", "", fiveLater, "41-3")...)),
		"put back":          updated("ana", state("Doing", "To Do"), nil),
		"moved elsewhere":   updated("ana", state("To Do", "Blocked"), nil),
		"commented":         updated("ana", `,"System.History":{"newValue":"<p>looking</p><p>into &amp; it</p>"}`, heard(review.Remark, "ana", "looking\n\ninto & it", fiveLater, "41-3")),
		"commented, by its": {body: commentedItem, heard: heard(review.Remark, "ana", "looking <into> it", fiveLater, "41-3")},
		"renamed":           updated("ana", `,"System.Title":{"oldValue":"a","newValue":"b"}`, nil),
		"by ourselves":      updated("warden", state("To Do", "Done"), nil),
		"an item of others": updated("ana", state("To Do", "Done"), nil).edited("modelwarden-", "something-"),
		"created":           updated("ana", state("To Do", "Done"), nil).edited("workitem.updated", "workitem.created"),
	},
}

func TestWorkItemsHaveTheirPlace(t *testing.T) {
	f := newWorkItemsFake(t)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	d.deliver()
	k := d.only()
	if got, want := fmt.Sprint(k.labels, k.fields), `[modelwarden modelwarden-`+reviewKey+` mlops] map[/fields/System.AreaPath:Churn Models\Risk /fields/System.IterationPath:Churn Models\Sprint 1]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if d.ticket.URL != f.base().URL+"/contoso/Churn%20Models/_workitems/edit/41" {
		t.Errorf("URL %s", d.ticket.URL)
	}
	if !strings.Contains(k.body, `<a href="`+d.card.URL+`">`) {
		t.Errorf("body %s", k.body)
	}
}

func TestWorkItemsAreNotOverwrittenUnseen(t *testing.T) {
	f := newWorkItemsFake(t)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	d.deliver()
	k := d.only()
	d.enter(review.Acknowledged)
	d.s.faults(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch { // somebody is faster
			f.put(k, review.Resolved)
		}
		return false
	}, nil)
	if err := d.try(); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "at the same moment") {
		t.Errorf("%v", err)
	}
	d.s.faults(nil, nil)
	if d.deliver(); k.status != "Dropped" {
		t.Errorf("moved to %q", k.status)
	}
}

func TestWorkItemsSayWhatTheirProjectNeeds(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusNotFound: "check organization", http.StatusForbidden: "Work Items (read and write)", http.StatusBadRequest: `"To Do", "Doing" and "Done"`,
		http.StatusNonAuthoritativeInfo: "not accepted", http.StatusFound: "not accepted",
	} {
		f := newWorkItemsFake(t)
		d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
		d.s.faults(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }, nil)
		if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), says) || len(d.s.requests) != 1 {
			t.Errorf("%d, after %d requests: %v", status, len(d.s.requests), err)
		}
	}
}

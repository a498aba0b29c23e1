package effect_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// jiraUpdated is a request of a Jira Cloud webhook, cut down to what matters of
// the documented jira:issue_updated.
func jiraUpdated(by, from, to string, heard []effect.Heard) toolSays {
	return toolSays{
		header: map[string]string{"X-Atlassian-Webhook-Identifier": "w-1"}, heard: heard,
		body: fmt.Sprintf(`{"timestamp":1772445900000,"webhookEvent":"jira:issue_updated","issue_event_type_name":"issue_generic",`+
			`"user":{"accountId":"id-%[1]s","accountType":"atlassian","displayName":"%[1]s"},"issue":{"id":"41","key":"CHURN-41","fields":{"summary":"s",`+
			`"labels":["mlops","modelwarden","modelwarden-%[4]s"],"creator":{"accountId":"id-warden","accountType":"atlassian","displayName":"warden"}}},`+
			`"changelog":{"id":"7","items":[{"field":"resolution","fromString":null,"toString":"x"},{"field":"status","fieldtype":"jira","fieldId":"status","from":"1","fromString":%[2]q,"to":"3","toString":%[3]q}]}}`,
			by, from, to, reviewKey),
	}
}

// jiraCommented is a request of the documented comment_created, in which an
// issue has no labels.
func jiraCommented(author, comment string, heard []effect.Heard) toolSays {
	return toolSays{
		header: map[string]string{"X-Atlassian-Webhook-Identifier": "w-1"}, heard: heard,
		body: fmt.Sprintf(`{"timestamp":1772445900000,"webhookEvent":"comment_created","comment":{"id":"9","author":%s,%s},"issue":{"id":"41","key":"CHURN-41","fields":{"summary":"s"}}}`, author, comment),
	}
}

const (
	anaOfJira = `{"accountId":"id-ana","accountType":"atlassian","displayName":"ana"}`
	jiraApp   = `{"accountId":"id-app","accountType":"app","displayName":"Automation for Jira"}`
	looking   = `"body":"looking into it","created":"2026-03-02T10:05:00.000+0000"`
)

// unlabelled is what is heard of a ticket whose key the request does not have.
func unlabelled(heard []effect.Heard) []effect.Heard {
	heard[0].Key = ""
	return heard
}

var jiraCallback = toolCallback{
	target: policy.Target{Jira: &policy.JiraTarget{URL: "https://contoso.atlassian.net", Project: "CHURN"}},
	sign:   hubSign("X-Hub-Signature"),
	says: map[string]toolSays{
		"taken":               jiraUpdated("ana", "To Do", "In Progress", heard(review.Ack, "ana", "", fiveLater, "w-1")),
		"done":                jiraUpdated("ana", "In Progress", "DONE", heard(review.Resolve, "ana", "", fiveLater, "w-1")),
		"opened again":        jiraUpdated("ana", "Done", "To Do", heard(review.Reopen, "ana", "", fiveLater, "w-1")),
		"put back":            jiraUpdated("ana", "In Progress", "To Do", nil),
		"moved elsewhere":     jiraUpdated("ana", "To Do", "In Review", nil),
		"by ourselves":        jiraUpdated("warden", "To Do", "Done", nil),
		"by an app":           jiraUpdated("ana", "To Do", "Done", nil).edited(`"accountType":"atlassian"`, `"accountType":"app"`),
		"data center":         jiraUpdated("ana", "To Do", "Done", heard(review.Resolve, "ana", "", fiveLater, "w-1")).edited(`"accountId":"id-ana","accountType":"atlassian"`, `"name":"ana"`).edited(`"accountId":"id-warden","accountType":"atlassian"`, `"name":"warden"`),
		"not a status":        jiraUpdated("ana", "To Do", "Done", nil).edited(`"field":"status"`, `"field":"summary"`),
		"an issue of others":  jiraUpdated("ana", "To Do", "Done", nil).edited(`"modelwarden-`, `"something-`),
		"without labels":      jiraUpdated("ana", "To Do", "Done", nil).edited(`"labels"`, `"tags"`),
		"deleted":             jiraUpdated("ana", "To Do", "Done", nil).edited("issue_updated", "issue_deleted"),
		"commented":           jiraCommented(anaOfJira, looking, unlabelled(heard(review.Remark, "ana", "looking into it", fiveLater, "w-1"))),
		"commented by an app": jiraCommented(jiraApp, looking, nil),
		"for some only":       jiraCommented(anaOfJira, looking+`,"visibility":{"type":"role","value":"Administrators"}`, nil),
		"an empty comment":    jiraCommented(anaOfJira, `"body":""`, nil),
		"another format":      jiraCommented(anaOfJira, `"body":{"type":"doc"}`, nil),
	},
}

func newJiraDesk(t *testing.T) (*jiraFake, *trackerDesk) {
	f := newJiraFake(t, true)
	return f, &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
}

func TestJiraIssuesHaveLabelsAndPriority(t *testing.T) {
	f, d := newJiraDesk(t)
	d.deliver()
	k := d.only()
	if got := fmt.Sprint(k.labels); got != "[modelwarden modelwarden-"+reviewKey+" mlops]" || k.fields["priority"] != "" {
		t.Errorf("labels %s, priority %q", got, k.fields["priority"])
	}
	if d.ticket.URL != f.URL+"/browse/CHURN-41" || !strings.HasPrefix(k.body, "[Review in Modelwarden|"+d.card.URL+"]\n\n{noformat}\n") {
		t.Errorf("%s\n%s", d.ticket.URL, k.body)
	}
	d.change(func(r *review.Review, _ time.Time) { r.Severity = review.Critical })
	if d.deliver(); k.fields["priority"] != "Highest" {
		t.Errorf("priority %q", k.fields["priority"])
	}
}

func TestJiraSaysWhereNoTransitionLeads(t *testing.T) {
	f, d := newJiraDesk(t)
	d.deliver()
	f.leads = []string{"In Review", "To Do"}
	d.enter(review.Resolved)
	err := d.try()
	if !isPermanent(err) || !strings.Contains(err.Error(), `leads from "To Do" to "Done", only to "IN REVIEW"`) {
		t.Errorf("%v", err)
	}
	// From where people moved it, it need not come back.
	f.put(d.only(), "")
	if d.deliver(); d.only().status != "In Review" {
		t.Errorf("%q", d.only().status)
	}
}

func TestJiraDataCenterIsSearchedItsOwnWay(t *testing.T) {
	f := newJiraFake(t, false)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	d.deliver()
	if want := []string{"GET /jira/rest/api/2/search/jql", "GET /jira/rest/api/2/search", "POST /jira/rest/api/2/issue"}; !slices.Equal(d.s.requests, want) {
		t.Errorf("requests %q", d.s.requests)
	}
}

func TestJiraSaysWhatItsProjectNeeds(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusNotFound: "check that url is the site's", http.StatusForbidden: "Transition Issues", http.StatusBadRequest: "issue type Task", http.StatusUnauthorized: "not accepted",
	} {
		_, d := newJiraDesk(t)
		d.s.faults(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }, nil)
		if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), says) || len(d.s.requests) > 2 {
			t.Errorf("%d, after %d requests: %v", status, len(d.s.requests), err)
		}
	}
}

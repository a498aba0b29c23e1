package effect_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// gitHubSays is a webhook delivery of the events "issues" or "issue_comment",
// with the keys that GitHub's description requires of them (npm
// @octokit/openapi-webhooks 12.1.0, webhook-issues-* and
// webhook-issue-comment-created).
func gitHubSays(event, action, sender, more string, heard []effect.Heard) toolSays {
	return toolSays{
		header: map[string]string{"X-GitHub-Event": event, "X-GitHub-Delivery": "d-" + action},
		body: fmt.Sprintf(`{"action":%q,"issue":{"number":41,"state":"open","state_reason":null,"body":"text\n<!-- modelwarden-review: %s -->\n","labels":[{"name":"modelwarden"}],`+
			`"updated_at":"2026-03-02T10:05:00Z","user":{"login":"modelwarden-bot","type":"User"}},"repository":{"full_name":"Contoso/churn"},"sender":%s%s}`,
			action, reviewKey, sender, more),
		heard: heard,
	}
}

const (
	ana       = `{"login":"ana","type":"User"}`
	ourselves = `{"login":"modelwarden-bot","type":"User"}`
	anApp     = `{"login":"stale[bot]","type":"Bot"}`
)

var (
	fiveLater = t0.Add(5 * time.Minute)
	remark    = `,"comment":{"body":"looking into it","created_at":"2026-03-02T10:05:00Z","user":` + ana + `}`
)

func (s toolSays) edited(old, new string) toolSays {
	s.body = strings.Replace(s.body, old, new, 1)
	return s
}

var gitHubCallback = toolCallback{
	target: policy.Target{GitHubIssue: &policy.GitHubIssueTarget{Owner: "contoso", Repo: "churn"}},
	sign:   hubSign("X-Hub-Signature-256"),
	says: map[string]toolSays{
		"closed":                gitHubSays("issues", "closed", ana, "", heard(review.Resolve, "ana", "closed as not planned", fiveLater, "d-closed")).edited(`"state_reason":null`, `"state_reason":"not_planned"`),
		"closed, older server":  gitHubSays("issues", "closed", ana, "", heard(review.Resolve, "ana", "closed", fiveLater, "d-closed")),
		"reopened":              gitHubSays("issues", "reopened", ana, "", heard(review.Reopen, "ana", "", fiveLater, "d-reopened")),
		"assigned":              gitHubSays("issues", "assigned", ana, `,"assignee":`+ana, heard(review.Ack, "ana", "", fiveLater, "d-assigned")),
		"labelled":              gitHubSays("issues", "labeled", ana, `,"label":{"name":"acknowledged"}`, heard(review.Ack, "ana", "", fiveLater, "d-labeled")),
		"labelled otherwise":    gitHubSays("issues", "labeled", ana, `,"label":{"name":"bug"}`, nil),
		"commented":             gitHubSays("issue_comment", "created", ana, remark, heard(review.Remark, "ana", "looking into it", fiveLater, "d-created")),
		"comment edited":        gitHubSays("issue_comment", "edited", ana, remark, nil),
		"empty comment":         gitHubSays("issue_comment", "created", ana, `,"comment":{"body":" \n"}`, nil),
		"comment of a bot":      gitHubSays("issue_comment", "created", anApp, remark, nil),
		"closed by ourselves":   gitHubSays("issues", "closed", ourselves, "", nil),
		"closed by a bot":       gitHubSays("issues", "closed", anApp, "", nil),
		"edited":                gitHubSays("issues", "edited", ana, "", nil),
		"another repository":    gitHubSays("issues", "closed", ana, "", nil).edited("Contoso/churn", "contoso/other"),
		"an issue of others":    gitHubSays("issues", "closed", ana, "", nil).edited("modelwarden-review", "something"),
		"a forged marker":       gitHubSays("issues", "closed", ana, "", nil).edited(`"name":"modelwarden"`, `"name":"help wanted"`),
		"a pull request":        gitHubSays("issue_comment", "created", ana, remark, nil).edited(`"number":41`, `"number":41,"pull_request":{"url":"u"}`),
		"an event of no issues": gitHubSays("ping", "created", ana, "", nil),
	},
}

func TestIssuesAreFoundBehindOthers(t *testing.T) {
	f := newIssuesFake(t)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	first := f.plant(reviewKey)
	for n := range 120 {
		f.plant(fmt.Sprint("another-", n))
	}
	f.plant(reviewKey).fields = map[string]any{"pull_request": map[string]any{"url": "u"}}
	if d.deliver(); d.ticket.Ref != first.ref {
		t.Errorf("adopted %+v", d.ticket)
	}
	for n := range 900 {
		f.plant(fmt.Sprint("yet-another-", n))
	}
	d.ticket = review.Ticket{}
	if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), "so many tickets") {
		t.Errorf("%v", err)
	}
}

func TestIssuesWaitForGitHubsLimits(t *testing.T) {
	f := newIssuesFake(t)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	d.s.faults(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(t0.Add(time.Hour+7*time.Minute).Unix(), 10))
		w.WriteHeader(http.StatusForbidden)
		return true
	}, nil)
	if err := d.try(); isPermanent(err) || retryAfter(err) != 7*time.Minute {
		t.Errorf("comes back in %s: %v", retryAfter(err), err)
	}
}

func TestIssuesSayWhatTheirRepositoryNeeds(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusNotFound: "check owner and repo", http.StatusGone: "has issues", http.StatusForbidden: "Issues: write",
		http.StatusUnauthorized: "not accepted", http.StatusUnprocessableEntity: "assignees",
	} {
		f := newIssuesFake(t)
		d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
		d.s.faults(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }, nil)
		if err := d.try(); !isPermanent(err) || !strings.Contains(err.Error(), says) || len(d.s.requests) != 1 {
			t.Errorf("%d, after %d requests: %v", status, len(d.s.requests), err)
		}
	}
}

func TestIssuesHaveTheirLabelsAndAssignees(t *testing.T) {
	f := newIssuesFake(t)
	d := &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()}
	d.deliver()
	k := d.only()
	if got := fmt.Sprint(k.labels, k.fields["assignees"]); got != "[modelwarden mlops] [oncall-lead]" {
		t.Errorf("labels and assignees %s", got)
	}
	if !strings.Contains(k.body, "[Review in Modelwarden](<"+d.card.URL+">)") || strings.Count(k.body, "<!--") != 1 {
		t.Errorf("body:\n%s", k.body)
	}
	if d.ticket.URL != "https://github.com/contoso/churn/issues/41" {
		t.Errorf("URL %s", d.ticket.URL)
	}
}

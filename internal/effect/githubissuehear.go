package effect

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// gitHubEvent is the part of the webhook events "issues" and "issue_comment"
// that is read here.
type gitHubEvent struct {
	Action string `json:"action"`
	Issue  struct {
		gitHubIssue
		StateReason string     `json:"state_reason"`
		UpdatedAt   time.Time  `json:"updated_at"`
		User        gitHubUser `json:"user"`
	} `json:"issue"`
	Label   gitHubLabel `json:"label"`
	Comment struct {
		Body      string    `json:"body"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"comment"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Sender gitHubUser `json:"sender"`
}

type gitHubUser struct {
	Login string `json:"login"`
	Type  string `json:"type"`
}

// hear reads a webhook delivery ("Validating webhook deliveries", "Webhook
// events and payloads"): closing resolves, reopening reopens, the label
// acknowledged or an assignment acknowledges, comments are remarks.
//
// Bots are not heard, and neither is the account that opened the issue: that is
// ours, and it speaks of what the review did.
func (g *gitHubIssues) hear(secret string, header http.Header, body []byte) ([]Heard, error) {
	if !hubSigned(secret, header.Get("X-Hub-Signature-256"), body) {
		return nil, ErrForged
	}
	kind := header.Get("X-GitHub-Event")
	if kind != "issues" && kind != "issue_comment" {
		return nil, nil
	}
	var e gitHubEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, unreadable("GitHub", err)
	}
	if !g.concerns(&e) {
		return nil, nil
	}
	h := Heard{
		Key: gitHubKey(e.Issue.Body), Ref: strconv.Itoa(e.Issue.Number), By: e.Sender.Login,
		At: e.Issue.UpdatedAt, ID: header.Get("X-GitHub-Delivery"),
	}
	if kind == "issue_comment" {
		if e.Action != "created" {
			return nil, nil
		}
		h.Verb, h.Why, h.At = review.Remark, e.Comment.Body, e.Comment.CreatedAt
		return bounded(h), nil
	}
	if h.Verb, h.Why = e.verb(); h.Verb == "" {
		return nil, nil
	}
	return bounded(h), nil
}

// concerns reports whether an event is of one of our issues, and somebody
// else's doing. Only who may label issues can make one look like ours.
func (g *gitHubIssues) concerns(e *gitHubEvent) bool {
	return strings.EqualFold(e.Repository.FullName, g.o.Owner+"/"+g.o.Repo) &&
		e.Issue.PullRequest == nil && e.Issue.labelled(allTickets) && gitHubKey(e.Issue.Body) != "" &&
		e.Sender.Type != "Bot" && e.Sender.Login != e.Issue.User.Login
}

// verb is what somebody did to an issue, "" for nothing that a review knows.
func (e *gitHubEvent) verb() (verb review.Verb, why string) {
	switch {
	case e.Action == "closed" && e.Issue.StateReason != "":
		return review.Resolve, "closed as " + strings.ReplaceAll(e.Issue.StateReason, "_", " ")
	case e.Action == "closed":
		return review.Resolve, "closed"
	case e.Action == "reopened":
		return review.Reopen, ""
	case e.Action == "assigned", e.Action == "labeled" && strings.EqualFold(e.Label.Name, gitHubTaken):
		return review.Ack, ""
	}
	return "", ""
}

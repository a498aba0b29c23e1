package effect

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// jiraEvent is the part of the webhook events jira:issue_updated and
// comment_created that is read here.
type jiraEvent struct {
	Timestamp int64      `json:"timestamp"` // in milliseconds
	Event     string     `json:"webhookEvent"`
	User      jiraPerson `json:"user"`
	Issue     struct {
		ID     string `json:"id"`
		Fields struct {
			Labels  []string   `json:"labels"`
			Creator jiraPerson `json:"creator"`
		} `json:"fields"`
	} `json:"issue"`
	Changelog struct {
		Items []jiraChange `json:"items"`
	} `json:"changelog"`
	Comment struct {
		Author     jiraPerson      `json:"author"`
		Body       json.RawMessage `json:"body"`
		Visibility *struct{}       `json:"visibility"`
	} `json:"comment"`
}

type jiraChange struct {
	Field string `json:"field"`
	From  string `json:"fromString"`
	To    string `json:"toString"`
}

// jiraPerson is an account: of Jira Cloud, where AccountID names it, or of Data
// Center, where Name does.
type jiraPerson struct {
	AccountID   string `json:"accountId"`
	AccountType string `json:"accountType"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
}

func (p *jiraPerson) id() string { return cmp.Or(p.AccountID, p.Name) }

// hear reads a webhook with a secret ("Webhooks", X-Hub-Signature). A status
// that is one of ours resolves, reopens or acknowledges; comments that
// everybody may read are remarks. Apps are not heard, and neither is the
// account that made the issue: that is ours, and it speaks of what the review
// did.
//
// Jira sends an issue's labels with changes of the issue, but not with
// comments: of those only Ref says which ticket they are about.
func (j *jira) hear(secret string, header http.Header, body []byte) ([]Heard, error) {
	if !hubSigned(secret, header.Get("X-Hub-Signature"), body) {
		return nil, ErrForged
	}
	var e jiraEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, unreadable("Jira", err)
	}
	h := Heard{
		Key: keyOf(e.Issue.Fields.Labels), Ref: e.Issue.ID, By: e.User.DisplayName,
		At: time.UnixMilli(e.Timestamp).UTC(), ID: header.Get("X-Atlassian-Webhook-Identifier"),
	}
	switch {
	case h.Ref == "" || h.Key == "" && len(e.Issue.Fields.Labels) > 0:
		return nil, nil
	case e.Event == "comment_created":
		return e.remark(h), nil
	case e.Event == "jira:issue_updated" && h.Key != "" && e.byPeople():
		from, to := e.moved()
		return bounded(h.moved(j.states.of(from), j.states.of(to))...), nil
	}
	return nil, nil
}

func (e *jiraEvent) byPeople() bool {
	return e.User.AccountType != "app" && (e.User.id() == "" || e.User.id() != e.Issue.Fields.Creator.id())
}

// moved is between which statuses the issue was moved.
func (e *jiraEvent) moved() (from, to string) {
	for _, c := range e.Changelog.Items {
		if strings.EqualFold(c.Field, "status") {
			from, to = c.From, c.To
		}
	}
	return from, to
}

func (e *jiraEvent) remark(h Heard) []Heard {
	var text string
	if e.Comment.Visibility != nil || e.Comment.Author.AccountType == "app" || json.Unmarshal(e.Comment.Body, &text) != nil {
		return nil
	}
	h.By = e.Comment.Author.DisplayName
	return bounded(h.remark(text))
}

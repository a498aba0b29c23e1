package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// What GitHub takes of one issue.
const (
	maxIssueLabels    = 90
	maxIssueLabel     = 50
	maxIssueAssignees = 10
)

// takenLabel is the label of an issue that is in somebody's hands.
const takenLabel = "acknowledged"

func (c *checker) gitHubIssue(path string, t *GitHubIssueTarget) {
	c.repository(path, t.Owner, t.Repo)
	c.words(path+".labels", t.Labels, maxIssueLabels, maxIssueLabel, "")
	for i, l := range t.Labels {
		if strings.EqualFold(l, takenLabel) {
			c.fail(fmt.Sprintf("%s.labels[%d]", path, i), "is the label that says that somebody has the issue in hand: new ones can't have it")
		}
	}
	c.words(path+".assignees", t.Assignees, maxIssueAssignees, maxIssueLabel, " @/")
	c.called(path, t.URL, &t.Token, &t.Callback)
}

// called checks how a tracker is called, and how it calls back.
func (c *checker) called(path, url string, t *Token, back *Callback) {
	c.optionalURL(path+".url", url)
	c.token(path, t)
	c.callback(path, back)
}

// words checks a list of labels, tags or names: at most many, of at most long
// characters each, none of them out of refused.
func (c *checker) words(path string, list []string, many, long int, refused string) {
	if len(list) > many {
		c.fail(path, "has %d entries: at most %d", len(list), many)
	}
	for i, w := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case strings.TrimSpace(w) == "":
			c.fail(at, "is empty")
		case utf8.RuneCountInString(w) > long:
			c.fail(at, "has more than %d characters", long)
		case strings.ContainsAny(w, refused) || strings.ContainsFunc(w, isControl):
			c.fail(at, "has a character that can't be in it: %s", clip(w, 40))
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (c *checker) workItem(path string, t *WorkItemTarget) {
	c.token(path, &t.Token)
}

func (c *checker) jira(path string, t *JiraTarget) {
	c.token(path, &t.Token)
}

func (c *checker) serviceNow(path string, t *ServiceNowTarget) {
	c.token(path, &t.Token)
}

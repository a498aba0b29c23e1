package policy

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
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

// ownLabel is the label of every ticket; with a dash and a key it is that of one.
const ownLabel = "modelwarden"

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
		case w == ownLabel || strings.HasPrefix(w, ownLabel+"-"):
			c.fail(at, "is set by the sender itself: it is what tickets are found by")
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// What Azure DevOps takes of one work item. maxStateName is Jira's limit too.
const (
	maxItemTags  = 90
	maxItemTag   = 400
	maxStateName = 128
	maxItemPath  = 4000
)

func (c *checker) workItem(path string, t *WorkItemTarget) {
	c.project(path, t.Organization, t.Project)
	c.named(path+".type", t.Type, maxStateName)
	if strings.ContainsAny(t.Type, `/\?#%`) {
		c.fail(path+".type", "wants the name of a work item type, such as Issue, Bug or Task")
	}
	for key, v := range map[string]string{".area": t.Area, ".iteration": t.Iteration} {
		c.named(path+key, v, maxItemPath)
		if strings.HasPrefix(v, `\`) || strings.Contains(v, "/") {
			c.fail(path+key, `wants a path that begins with the project's name, such as Churn\Risk`)
		}
	}
	c.words(path+".tags", t.Tags, maxItemTags, maxItemTag, ";,")
	c.ticketStates(path+".states", t.States, TicketStates{Open: "To Do", Acknowledged: "Doing", Resolved: "Done"})
	c.called(path, t.URL, &t.Token, &t.Callback)
}

// ticketStates wants three different states: of two that are the same, neither
// could be told from the other.
func (c *checker) ticketStates(path string, s, defaults TicketStates) {
	c.named(path+".open", s.Open, maxStateName)
	c.named(path+".acknowledged", s.Acknowledged, maxStateName)
	c.named(path+".resolved", s.Resolved, maxStateName)
	open, taken, done := cmp.Or(s.Open, defaults.Open), cmp.Or(s.Acknowledged, defaults.Acknowledged), cmp.Or(s.Resolved, defaults.Resolved)
	if strings.EqualFold(open, taken) || strings.EqualFold(taken, done) || strings.EqualFold(open, done) {
		c.fail(path, "has one state twice: open is %q, acknowledged %q, resolved %q", clip(open, 40), clip(taken, 40), clip(done, 40))
	}
}

// named checks a name that may be left out.
func (c *checker) named(path, v string, long int) {
	switch {
	case v != strings.TrimSpace(v) || strings.ContainsFunc(v, isControl):
		c.fail(path, "has a space around it, or a control character in it")
	case utf8.RuneCountInString(v) > long:
		c.fail(path, "has more than %d characters", long)
	}
}

// What Jira takes of one issue.
const (
	maxJiraLabels = 90
	maxJiraLabel  = 255
	maxUser       = 254
)

var jiraProject = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,254}$`)

func (c *checker) jira(path string, t *JiraTarget) {
	c.url(path+".url", t.URL)
	if !jiraProject.MatchString(t.Project) {
		c.fail(path+".project", "wants the project's key, such as CHURN: letters, digits and underscores")
	}
	c.named(path+".type", t.Type, maxStateName)
	c.words(path+".labels", t.Labels, maxJiraLabels, maxJiraLabel, " ")
	for _, severity := range slices.Sorted(maps.Keys(t.Priorities)) {
		at := strictyaml.Join(path+".priorities", severity)
		if !slices.Contains(severities, severity) {
			c.fail(at, "unknown severity %q%s", clip(severity, 40), suggest(severity, severities))
		}
		c.named(at, t.Priorities[severity], maxStateName)
	}
	c.ticketStates(path+".states", t.States, TicketStates{Open: "To Do", Acknowledged: "In Progress", Resolved: "Done"})
	c.user(path+".user", t.User)
	c.called(path, "", &t.Token, &t.Callback)
}

// user checks the name that goes with a token as its password.
func (c *checker) user(path, name string) {
	c.named(path, name, maxUser)
	if strings.Contains(name, ":") {
		c.fail(path, "has a colon, which ends a name in basic authentication: the password does not belong in this file")
	}
}

// maxIncidentField is what ServiceNow takes of a choice or a reference.
const maxIncidentField = 100

func (c *checker) serviceNow(path string, t *ServiceNowTarget) {
	c.url(path+".url", t.URL)
	c.named(path+".assignmentGroup", t.AssignmentGroup, maxIncidentField)
	c.named(path+".category", t.Category, maxIncidentField)
	c.named(path+".callerId", t.CallerID, maxIncidentField)
	c.named(path+".closeCode", t.CloseCode, maxIncidentField)
	c.user(path+".user", t.User)
	c.called(path, "", &t.Token, &t.Callback)
}

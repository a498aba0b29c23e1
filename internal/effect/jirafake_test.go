package effect_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// jiraFake is version 2 of Jira's REST API, for the project CHURN, with In
// Review and Won't Do beside the statuses that a new project has. Of what was
// resolved only the status can be changed, until it is opened again.
type jiraFake struct {
	trackerServer
	cloud bool
	// leads are the statuses that transitions lead to, from any other.
	leads []string
}

func newJiraCloud(t *testing.T) trackerFake  { return newJiraFake(t, true) }
func newJiraServer(t *testing.T) trackerFake { return newJiraFake(t, false) }

func newJiraFake(t *testing.T, cloud bool) *jiraFake {
	f := &jiraFake{cloud: cloud, leads: []string{"In Review", "To Do", "In Progress", "Done", "Won't Do"}}
	f.start(t, "jira.json", f)
	return f
}

func (f *jiraFake) target() policy.Target {
	target := &policy.JiraTarget{URL: f.URL + "/jira", Project: "CHURN", Labels: []string{"mlops"}, Priorities: map[string]string{"critical": "Highest"}}
	if f.cloud {
		target.URL, target.User = f.URL, "warden@contoso.example"
	}
	return policy.Target{Jira: target}
}

func (f *jiraFake) authentic(r *http.Request) bool {
	want := "Bearer " + theKey
	if f.cloud {
		want = "Basic " + basic("warden@contoso.example")
	}
	return r.Header.Get("Authorization") == want
}

func (f *jiraFake) route(w http.ResponseWriter, r *http.Request) {
	context := "/jira"
	if f.cloud {
		context = ""
	}
	path, _ := strings.CutPrefix(r.URL.Path, context+"/rest/api/2/")
	id, isIssue := strings.CutPrefix(path, "issue/")
	id, moves := strings.CutSuffix(id, "/transitions")
	k := f.at(id)
	switch route := r.Method + " " + path; {
	case route == "GET search" && f.cloud:
		f.refuse(w, http.StatusGone, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.")
	case route == "GET search", route == "GET search/jql" && f.cloud:
		f.search(w, r)
	case route == "POST issue":
		f.create(w, r)
	case isIssue && k == nil:
		f.refuse(w, http.StatusNotFound, "Issue does not exist or you do not have permission to see it.")
	case isIssue && moves && r.Method == http.MethodGet:
		f.asks(r, "nothing")
		f.answer(w, http.StatusOK, map[string]any{"expand": "transitions", "transitions": f.transitions(k)})
	case isIssue && moves && r.Method == http.MethodPost:
		f.move(w, r, k)
	case isIssue && r.Method == http.MethodGet:
		f.asks(r, "get")
		f.answer(w, http.StatusOK, f.json(k))
	case isIssue && r.Method == http.MethodPut:
		f.edit(w, r, k)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *jiraFake) refuse(w http.ResponseWriter, status int, message string) {
	f.answer(w, status, map[string]any{"errorMessages": []string{message}, "errors": map[string]string{}})
}

// jiraCategories are the categories of statuses.
var jiraCategories = map[string]string{"To Do": "new", "In Progress": "indeterminate", "In Review": "indeterminate", "Done": "done", "Won't Do": "done"}

func (f *jiraFake) json(k *fakeTicket) map[string]any {
	status := map[string]any{"name": k.status, "statusCategory": map[string]any{"key": jiraCategories[k.status]}}
	return map[string]any{"id": k.ref, "key": "CHURN-" + k.ref, "fields": map[string]any{"status": status}}
}

func (f *jiraFake) transitions(k *fakeTicket) []map[string]any {
	out := []map[string]any{}
	for i, to := range f.leads {
		if to != k.status {
			out = append(out, map[string]any{"id": fmt.Sprint(10 + i), "name": "go", "to": map[string]any{"name": strings.ToUpper(to)}})
		}
	}
	return out
}

var jqlLabel = regexp.MustCompile(`project = "CHURN" AND labels = "([^"]+)"`)

func (f *jiraFake) search(w http.ResponseWriter, r *http.Request) {
	label := jqlLabel.FindStringSubmatch(f.asks(r, "search").Get("jql"))
	if label == nil {
		f.refuse(w, http.StatusBadRequest, "The value does not exist for the field 'project'.")
		return
	}
	issues := []map[string]any{}
	for _, k := range slices.Backward(f.tickets) {
		if !k.deleted && slices.Contains(k.labels, label[1]) && len(issues) == 0 {
			issues = append(issues, f.json(k))
		}
	}
	f.answer(w, http.StatusOK, map[string]any{"issues": issues, "isLast": true})
}

type jiraFields struct {
	Fields struct {
		Summary, Description string
		Labels               []string
		Priority             struct{ Name string }
	}
}

func (f *jiraFake) create(w http.ResponseWriter, r *http.Request) {
	var body jiraFields
	if !f.wants(w, r, "create", "application/json", &body) {
		return
	}
	f.writes++
	k := f.add(&fakeTicket{title: body.Fields.Summary, body: body.Fields.Description, status: "To Do", labels: body.Fields.Labels, fields: map[string]any{"priority": body.Fields.Priority.Name}}, 41)
	f.answer(w, http.StatusCreated, map[string]any{"id": k.ref, "key": "CHURN-" + k.ref, "self": f.URL})
}

func (f *jiraFake) edit(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	var body jiraFields
	if !f.wants(w, r, "edit", "application/json", &body) {
		return
	}
	if jiraCategories[k.status] == "done" {
		f.refuse(w, http.StatusBadRequest, "You do not have permission to edit issues in this status.")
		return
	}
	f.writes++
	k.title, k.body = body.Fields.Summary, body.Fields.Description
	if p := body.Fields.Priority.Name; p != "" {
		k.fields["priority"] = p
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *jiraFake) move(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	var body struct{ Transition struct{ ID string } }
	if !f.wants(w, r, "transition", "application/json", &body) {
		return
	}
	for i, to := range f.leads {
		if fmt.Sprint(10+i) == body.Transition.ID && to != k.status {
			f.writes++
			k.status = to
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	f.refuse(w, http.StatusBadRequest, "It seems that you have tried to perform a workflow operation that is not valid.")
}

func (f *jiraFake) shows(k *fakeTicket, s review.State) bool {
	return s == map[string]review.State{"To Do": review.Open, "In Progress": review.Acknowledged, "Done": review.Resolved, "Won't Do": review.Resolved}[k.status]
}

func (f *jiraFake) put(k *fakeTicket, s review.State) bool {
	k.status = map[review.State]string{review.Open: "To Do", review.Acknowledged: "In Progress", review.Resolved: "Won't Do", "": "In Review"}[s]
	return true
}

func (f *jiraFake) plant(key string) *fakeTicket {
	return f.add(&fakeTicket{title: "by hand", status: "To Do", labels: []string{"modelwarden-" + key}, fields: map[string]any{}}, 41)
}

func (f *jiraFake) markup() map[string]int { return map[string]int{"{noformat}": 2} }

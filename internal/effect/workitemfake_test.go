package effect_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// workItemsFake is Azure DevOps' API of work items, for the project Churn
// Models of contoso, which uses the Basic process with the states Blocked and
// Dropped added.
type workItemsFake struct{ trackerServer }

func newWorkItemsFake(t *testing.T) trackerFake {
	f := &workItemsFake{}
	f.start(t, "workitem.json", f)
	return f
}

func (f *workItemsFake) target() policy.Target {
	return policy.Target{WorkItem: &policy.WorkItemTarget{
		Organization: "contoso", Project: "Churn Models", Area: `Churn Models\Risk`, Iteration: `Churn Models\Sprint 1`, Tags: []string{"mlops"}, URL: f.URL,
	}}
}

func (f *workItemsFake) authentic(r *http.Request) bool {
	return r.Header.Get("Authorization") == "Basic "+basic("")
}

func (f *workItemsFake) route(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/contoso/Churn%20Models/_apis/wit/")
	id, isItem := strings.CutPrefix(path, "workitems/")
	k := f.at(id)
	switch {
	case !ok:
		f.refuse(w, http.StatusNotFound, "TF200016: The following project does not exist")
	case path == "wiql" && r.Method == http.MethodPost:
		f.query(w, r)
	case path == "workitems" && r.Method == http.MethodGet:
		f.list(w, r)
	case path == "workitems/$Issue" && r.Method == http.MethodPost:
		f.create(w, r)
	case path == "workitemtypes/Issue/states":
		f.asks(r, "plain")
		f.answer(w, http.StatusOK, map[string]any{"count": 5, "value": workItemStates})
	case isItem && k == nil:
		f.refuse(w, http.StatusNotFound, "TF401232: Work item "+id+" does not exist, or you do not have permissions to read it.")
	case isItem && r.Method == http.MethodGet:
		f.asks(r, "get")
		f.answer(w, http.StatusOK, f.json(k))
	case isItem && r.Method == http.MethodPatch:
		f.patch(w, r, k)
	default:
		f.refuse(w, http.StatusNotFound, "no such route")
	}
}

var workItemStates = []map[string]string{
	{"name": "To Do", "color": "b2b2b2", "category": "Proposed"},
	{"name": "Doing", "color": "007acc", "category": "InProgress"},
	{"name": "Blocked", "color": "cc293d", "category": "InProgress"},
	{"name": "Done", "color": "339933", "category": "Completed"},
	{"name": "Dropped", "color": "ffffff", "category": "Removed"},
}

func (f *workItemsFake) refuse(w http.ResponseWriter, status int, message string) {
	f.answer(w, status, map[string]any{"$id": "1", "message": message})
}

func (f *workItemsFake) json(k *fakeTicket) map[string]any {
	id, _ := strconv.Atoi(k.ref)
	return map[string]any{"id": id, "rev": k.rev, "fields": map[string]any{
		"System.State": k.status, "System.Tags": strings.Join(k.labels, "; "), "System.WorkItemType": "Issue",
	}}
}

var wiqlTag = regexp.MustCompile(`\[System\.TeamProject\] = @project AND \[System\.Tags\] CONTAINS '([A-Za-z0-9-]+)'`)

// query finds parts of tags as well: that whole ones are meant is not
// documented.
func (f *workItemsFake) query(w http.ResponseWriter, r *http.Request) {
	f.asks(r, "wiqlQuery")
	var body struct{ Query string }
	if !f.wants(w, r, "wiql", "application/json", &body) {
		return
	}
	tag := wiqlTag.FindStringSubmatch(body.Query)
	if tag == nil {
		f.t.Errorf("query %s", body.Query)
		tag = []string{"", "none"}
	}
	found := []map[string]any{}
	for _, k := range slices.Backward(f.tickets) {
		if !k.deleted && strings.Contains(strings.Join(k.labels, ";"), tag[1]) {
			id, _ := strconv.Atoi(k.ref)
			found = append(found, map[string]any{"id": id, "url": "u"})
		}
	}
	f.answer(w, http.StatusOK, map[string]any{"queryType": "flat", "workItems": found})
}

func (f *workItemsFake) list(w http.ResponseWriter, r *http.Request) {
	q := f.asks(r, "list")
	value := []any{nil} // one that was deleted since
	for id := range strings.SplitSeq(q.Get("ids"), ",") {
		if k := f.at(id); k != nil {
			value = append(value, f.json(k))
		}
	}
	slices.Reverse(value)
	f.answer(w, http.StatusOK, map[string]any{"count": len(value), "value": value})
}

type fakePatch []struct {
	Path  string
	Value any
}

// apply carries the operations on fields out, and returns the rest.
func (f *workItemsFake) apply(k *fakeTicket, ops fakePatch) {
	for _, op := range ops {
		switch text, _ := op.Value.(string); op.Path {
		case "/fields/System.Title":
			k.title = text
		case "/fields/System.Description":
			k.body = text
		case "/fields/System.State":
			k.status = text
		case "/fields/System.Tags":
			k.labels = strings.Split(text, "; ")
		default:
			k.fields[op.Path] = op.Value
		}
	}
}

func (f *workItemsFake) create(w http.ResponseWriter, r *http.Request) {
	f.asks(r, "plain")
	var ops fakePatch
	if !f.wants(w, r, "create", "application/json-patch+json", &ops) {
		return
	}
	f.writes++
	k := f.add(&fakeTicket{status: "To Do", fields: map[string]any{}}, 41)
	f.apply(k, ops)
	f.answer(w, http.StatusOK, f.json(k))
}

func (f *workItemsFake) patch(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	f.asks(r, "plain")
	var ops fakePatch
	if !f.wants(w, r, "update", "application/json-patch+json", &ops) {
		return
	}
	if rev, _ := ops[0].Value.(float64); int(rev) != k.rev {
		f.refuse(w, http.StatusPreconditionFailed, "VS403208: the work item has been changed")
		return
	}
	f.writes++
	k.rev++
	f.apply(k, ops[1:])
	f.answer(w, http.StatusOK, f.json(k))
}

func (f *workItemsFake) shows(k *fakeTicket, s review.State) bool {
	return s == map[string]review.State{"To Do": review.Open, "Doing": review.Acknowledged, "Done": review.Resolved, "Dropped": review.Resolved}[k.status]
}

func (f *workItemsFake) put(k *fakeTicket, s review.State) bool {
	k.status = map[review.State]string{review.Open: "To Do", review.Acknowledged: "Doing", review.Resolved: "Dropped", "": "Blocked"}[s]
	k.rev++
	return true
}

func (f *workItemsFake) plant(key string) *fakeTicket {
	return f.add(&fakeTicket{title: "by hand", status: "To Do", labels: []string{"other", "modelwarden-" + key}, fields: map[string]any{}}, 41)
}

func (f *workItemsFake) markup() map[string]int {
	return map[string]int{"<script": 0, "<!--": 0, "<pre>": 1, "</pre>": 1, "<a ": 1}
}

package effect_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// issuesFake is GitHub's API of issues, for contoso/churn.
type issuesFake struct{ trackerServer }

func newIssuesFake(t *testing.T) trackerFake {
	f := &issuesFake{}
	f.start(t, "githubissue.json", f)
	return f
}

func (f *issuesFake) target() policy.Target {
	return policy.Target{GitHubIssue: &policy.GitHubIssueTarget{
		Owner: "contoso", Repo: "churn", Labels: []string{"mlops"}, Assignees: []string{"oncall-lead"}, URL: f.URL + "/api/v3",
	}}
}

func (f *issuesFake) authentic(r *http.Request) bool {
	for name, want := range map[string]string{"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"} {
		if got := r.Header.Get(name); got != want {
			f.t.Errorf("%s: %q", name, got)
		}
	}
	return r.Header.Get("Authorization") == "Bearer "+theKey
}

func (f *issuesFake) route(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v3/repos/contoso/churn/issues")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	k := f.at(parts[0])
	switch {
	case !ok:
		f.answer(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	case path == "" && r.Method == http.MethodGet:
		f.list(w, r)
	case path == "" && r.Method == http.MethodPost:
		f.create(w, r)
	case k == nil:
		f.answer(w, http.StatusGone, map[string]any{"message": "This issue was deleted"})
	case len(parts) == 1 && r.Method == http.MethodGet:
		f.answer(w, http.StatusOK, f.json(k))
	case len(parts) == 1 && r.Method == http.MethodPatch:
		f.patch(w, r, k)
	case len(parts) == 2 && parts[1] == "labels" && r.Method == http.MethodPost:
		f.addLabels(w, r, k)
	case len(parts) == 3 && parts[1] == "labels" && r.Method == http.MethodDelete:
		f.takeLabel(w, k, parts[2])
	default:
		f.answer(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func (f *issuesFake) json(k *fakeTicket) map[string]any {
	number, _ := strconv.Atoi(k.ref)
	labels := []map[string]any{}
	for _, l := range k.labels {
		labels = append(labels, map[string]any{"name": l})
	}
	issue := map[string]any{
		"number": number, "html_url": "https://github.com/contoso/churn/issues/" + k.ref,
		"title": k.title, "body": k.body, "state": k.status, "labels": labels, "user": map[string]any{"login": "modelwarden-bot"},
	}
	if k.fields["pull_request"] != nil { // GitHub lists them as issues
		issue["pull_request"] = k.fields["pull_request"]
	}
	return issue
}

func (f *issuesFake) list(w http.ResponseWriter, r *http.Request) {
	q := f.asks(r, "list")
	size, _ := strconv.Atoi(q.Get("per_page"))
	page, _ := strconv.Atoi(q.Get("page"))
	since, err := time.Parse(time.RFC3339, q.Get("since"))
	if err != nil || since.After(t0) || q.Get("state") != "all" || q.Get("direction") != "desc" {
		f.t.Errorf("a listing that misses issues: %s", r.URL.RawQuery)
	}
	var all []map[string]any
	for _, k := range slices.Backward(f.tickets) {
		if !k.deleted && slices.Contains(k.labels, q.Get("labels")) {
			all = append(all, f.json(k))
		}
	}
	from := min((page-1)*size, len(all))
	f.answer(w, http.StatusOK, all[from:min(from+size, len(all))])
}

func (f *issuesFake) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Title, Body       string
		Labels, Assignees []string
	}
	if !f.wants(w, r, "create", "application/json", &body) {
		return
	}
	f.writes++
	k := f.add(&fakeTicket{title: body.Title, body: body.Body, status: "open", labels: body.Labels, fields: map[string]any{"assignees": body.Assignees}}, 41)
	f.answer(w, http.StatusCreated, f.json(k))
}

func (f *issuesFake) patch(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	var body struct{ Title, Body, State *string }
	if !f.wants(w, r, "update", "application/json", &body) {
		return
	}
	f.writes++
	for to, from := range map[*string]*string{&k.title: body.Title, &k.body: body.Body, &k.status: body.State} {
		if from != nil {
			*to = *from
		}
	}
	f.answer(w, http.StatusOK, f.json(k))
}

func (f *issuesFake) addLabels(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	var body struct{ Labels []string }
	if !f.wants(w, r, "addLabels", "application/json", &body) {
		return
	}
	f.writes++
	for _, l := range body.Labels {
		if !slices.Contains(k.labels, l) {
			k.labels = append(k.labels, l)
		}
	}
	f.answer(w, http.StatusOK, f.json(k)["labels"])
}

func (f *issuesFake) takeLabel(w http.ResponseWriter, k *fakeTicket, label string) {
	at := slices.Index(k.labels, label)
	if at < 0 {
		f.answer(w, http.StatusNotFound, map[string]any{"message": "Label does not exist"})
		return
	}
	f.writes++
	k.labels = slices.Delete(k.labels, at, at+1)
	f.answer(w, http.StatusOK, f.json(k)["labels"])
}

func (f *issuesFake) shows(k *fakeTicket, s review.State) bool {
	switch {
	case k.status == "closed":
		return s == review.Resolved
	case slices.Contains(k.labels, "acknowledged"):
		return s == review.Acknowledged
	}
	return s == review.Open
}

// put moves an issue by hand. Issues have no state beyond a review's.
func (f *issuesFake) put(k *fakeTicket, s review.State) bool {
	k.status = "open"
	k.labels = slices.DeleteFunc(k.labels, func(l string) bool { return l == "acknowledged" })
	switch s {
	case review.Resolved:
		k.status = "closed"
	case review.Acknowledged:
		k.labels = append(k.labels, "acknowledged")
	}
	return s != ""
}

func (f *issuesFake) plant(key string) *fakeTicket {
	return f.add(&fakeTicket{title: "by hand", status: "open", labels: []string{"modelwarden"}, body: "text\n<!-- modelwarden-review: " + key + " -->\n"}, 41)
}

func (f *issuesFake) markup() map[string]int {
	return map[string]int{"<script": 0, "@everyone": 0, "<!--": 1, "](https://evil": 0, "://evil": 0}
}

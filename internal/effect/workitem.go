package effect

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Facts of Azure DevOps' REST API 7.1 ("Work Items", "Wiql", "Work Item Type
// States") and of its fields.
const (
	workItemTitleLimit = 255
	// workItemTextLimit is ours: a description may be longer than anybody reads.
	workItemTextLimit = 30000
	// workItemsRead bounds how many items with one tag are looked at.
	workItemsRead = 20

	jsonPatch = "application/json-patch+json"
)

// workItems keeps an Azure DevOps work item per review.
//
// The key is in a tag; another is on all items. A review's states are states of the work item's type, by
// name; an item that people moved to a state of the category Completed or
// Removed counts as resolved. The token needs the scope Work Items (read and
// write).
type workItems struct {
	api    rest
	patch  rest // the same, for JSON Patch
	o      policy.WorkItemTarget
	states ticketStates
	now    func() time.Time
}

func buildWorkItem(name string, t *policy.WorkItemTarget, d *Deps) (Ticketer, error) {
	token, secret, client, err := d.trackerCaller(name, policy.WorkItemKind, &t.Token, &t.Callback)
	if err != nil {
		return nil, err
	}
	api, err := azureDevOpsREST(t.URL, token, client, d.userAgent())
	if err != nil {
		return nil, err
	}
	patch := api
	patch.header = api.header.Clone()
	patch.header.Set("Content-Type", jsonPatch)
	w := &workItems{api: api, patch: patch, o: *t, now: d.Now, states: newTicketStates(t.States, "To Do", "Doing", "Done")}
	w.o.Type = cmp.Or(t.Type, "Issue")
	return &tracked{target: name, secret: secret, t: w}, nil
}

// compose implements tracker. Descriptions are HTML: nothing of the card is
// markup.
func (w *workItems) compose(c *review.Card, _ string) (title, body string) {
	text := html.EscapeString(atMostLines(strings.TrimRight(trackerText(c), "\n"), workItemTextLimit))
	body = "<pre>" + text + "</pre><p>" + html.EscapeString(asOfLine(c)) + "</p>"
	if link := shownLink(c.URL); link != "" {
		body = `<p><a href="` + html.EscapeString(link) + `">Review in Modelwarden</a></p>` + body
	}
	return trackerTitle(&c.Review, workItemTitleLimit), body
}

// workItem is the part of a work item that is read here.
type workItem struct {
	ID     int            `json:"id"`
	Rev    int            `json:"rev"`
	Fields workItemFields `json:"fields"`
}

type workItemFields struct {
	State string `json:"System.State"`
	Tags  string `json:"System.Tags"`
	Type  string `json:"System.WorkItemType"`
}

// tagged reports whether one of the item's tags is the key's.
func (f *workItemFields) tagged(key string) bool {
	return slices.ContainsFunc(strings.Split(f.Tags, ";"), func(tag string) bool {
		return strings.EqualFold(strings.TrimSpace(tag), oneTicket+key)
	})
}

func (w *workItems) standing(i *workItem) *standing {
	ref := strconv.Itoa(i.ID)
	page := w.api.base.JoinPath(url.PathEscape(w.o.Organization), url.PathEscape(w.o.Project), "_workitems", "edit", ref)
	return &standing{ref: ref, url: page.String(), rev: i.Rev, status: i.Fields.State, state: w.states.of(i.Fields.State)}
}

// find implements tracker. Contains finds whole tags, but is not documented to:
// the tags are compared here.
func (w *workItems) find(ctx context.Context, key string, _ time.Time) (*standing, error) {
	query := "SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS '" +
		oneTicket + key + "' ORDER BY [System.Id] DESC"
	var found struct {
		WorkItems []struct {
			ID int `json:"id"`
		} `json:"workItems"`
	}
	path := w.project("wit/wiql")
	err := w.call(ctx, &w.api, http.MethodPost, path, w.version("$top", strconv.Itoa(workItemsRead)), map[string]any{"query": query}, &found)
	if err != nil || len(found.WorkItems) == 0 {
		return nil, err
	}
	ids := make([]string, len(found.WorkItems))
	for i := range ids {
		ids[i] = strconv.Itoa(found.WorkItems[i].ID)
	}
	return w.newest(ctx, ids, key)
}

// newest reads items, the newest first, and returns the first that has the
// key's tag.
func (w *workItems) newest(ctx context.Context, ids []string, key string) (*standing, error) {
	query := w.version("ids", strings.Join(ids, ","), "fields", workItemFieldNames, "errorPolicy", "omit")
	var list struct {
		Value []*workItem `json:"value"` // nil where an item was deleted meanwhile
	}
	if err := w.call(ctx, &w.api, http.MethodGet, w.project("wit/workitems"), query, nil, &list); err != nil {
		return nil, err
	}
	var newest *workItem
	for _, i := range list.Value {
		if i != nil && i.Fields.tagged(key) && (newest == nil || i.ID > newest.ID) {
			newest = i
		}
	}
	if newest == nil {
		return nil, nil
	}
	return w.standing(newest), nil
}

const workItemFieldNames = "System.State,System.Tags,System.WorkItemType"

// create implements tracker.
func (w *workItems) create(ctx context.Context, p *page) (*standing, error) {
	tags := slices.Concat([]string{allTickets, oneTicket + p.key}, w.o.Tags)
	ops := append(p.ops(), setField("System.Tags", strings.Join(tags, "; ")))
	if w.o.Area != "" {
		ops = append(ops, setField("System.AreaPath", w.o.Area))
	}
	if w.o.Iteration != "" {
		ops = append(ops, setField("System.IterationPath", w.o.Iteration))
	}
	var made workItem
	path := w.project("wit/workitems/$" + url.PathEscape(w.o.Type))
	if err := w.call(ctx, &w.patch, http.MethodPost, path, w.version(), ops, &made); err != nil {
		return nil, err
	}
	return w.standing(&made), nil
}

// read implements tracker.
func (w *workItems) read(ctx context.Context, ref string) (*standing, error) {
	var i workItem
	path := w.project("wit/workitems/" + url.PathEscape(ref))
	if err := w.call(ctx, &w.api, http.MethodGet, path, w.version("fields", workItemFieldNames), nil, &i); err != nil {
		return nil, err
	}
	s := w.standing(&i)
	if s.state == "" {
		return s, w.classify(ctx, s, i.Fields.Type)
	}
	return s, nil
}

// classify finds out whether a state that is none of ours is an end.
func (w *workItems) classify(ctx context.Context, s *standing, kind string) error {
	var list struct {
		Value []struct {
			Name     string `json:"name"`
			Category string `json:"category"`
		} `json:"value"`
	}
	path := w.project("wit/workitemtypes/" + url.PathEscape(kind) + "/states")
	if err := w.call(ctx, &w.api, http.MethodGet, path, w.version(), nil, &list); err != nil {
		return err
	}
	for _, v := range list.Value {
		if strings.EqualFold(v.Name, s.status) && (v.Category == "Completed" || v.Category == "Removed") {
			s.state = review.Resolved
		}
	}
	return nil
}

// update implements tracker. The first operation makes Azure DevOps refuse the
// others when somebody changed the item since it was read.
func (w *workItems) update(ctx context.Context, at *standing, p *page, e edit) error {
	ops := []patchOp{{Op: "test", Path: "/rev", Value: at.rev}}
	if e.text {
		ops = append(ops, p.ops()...)
	}
	if e.move {
		ops = append(ops, setField("System.State", w.states.name(p.state)))
	}
	return w.call(ctx, &w.patch, http.MethodPatch, w.project("wit/workitems/"+url.PathEscape(at.ref)), w.version(), ops, nil)
}

// patchOp is one operation of a JSON Patch (RFC 6902).
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// setField is the operation that sets a field, whether it has a value or not.
func setField(field string, value any) patchOp {
	return patchOp{Op: "add", Path: "/fields/" + field, Value: value}
}

func (p *page) ops() []patchOp {
	return []patchOp{setField("System.Title", p.title), setField("System.Description", p.body)}
}

func (w *workItems) project(path string) string {
	return url.PathEscape(w.o.Organization) + "/" + url.PathEscape(w.o.Project) + "/_apis/" + path
}

// version is a query with the API's version and pairs of names and values.
func (w *workItems) version(pairs ...string) url.Values {
	query := url.Values{"api-version": {azureDevOpsAPIVersion}}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query
}

// call makes one request and reads the answer into a value, unless that is nil.
func (w *workItems) call(ctx context.Context, api *rest, method, path string, query url.Values, body, into any) error {
	ans, err := api.send(ctx, method, path, query, body)
	switch {
	case err != nil:
		return err
	case ans.status == http.StatusPreconditionFailed, ans.status == http.StatusConflict:
		return fmt.Errorf("%s answered %d: somebody changed the work item at the same moment", place(api.base), ans.status)
	case ans.status == http.StatusNotFound:
		return goneError{azureDevOpsFailure(ans, api, w.now(), w.advice)}
	case ans.status != http.StatusOK:
		return azureDevOpsFailure(ans, api, w.now(), w.advice)
	case into == nil:
		return nil
	}
	return api.read(ans, into)
}

// advice is a sentence about a refusal.
func (w *workItems) advice(status int) string {
	switch status {
	case http.StatusBadRequest:
		return fmt.Sprintf("check that the project's work item type %s has the states %s, that its rules let them follow each other, and that area and iteration exist", w.o.Type, w.states)
	case http.StatusForbidden:
		return "the token needs the scope Work Items (read and write), and its user the right to edit work items of the area"
	case http.StatusNotFound:
		return "check organization, project and type, and that the token may see them"
	}
	return ""
}

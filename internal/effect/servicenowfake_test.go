package effect_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// serviceNowFake is ServiceNow's Table API for the table incident of the base
// system.
type serviceNowFake struct {
	trackerServer
	// blind makes the account one that may not read correlation ids: the
	// condition on them is dropped.
	blind bool
}

func newServiceNowFake(t *testing.T) trackerFake {
	f := &serviceNowFake{}
	f.start(t, "servicenow.json", f)
	return f
}

func (f *serviceNowFake) target() policy.Target {
	return policy.Target{ServiceNow: &policy.ServiceNowTarget{
		URL: f.URL, User: "warden", AssignmentGroup: "287ebd7da9fe198100f92cc8d1d2154e", Category: "software", CallerID: "681ccaf9c0a8016400b98a06818d57c7",
	}}
}

func (f *serviceNowFake) authentic(r *http.Request) bool {
	return r.Header.Get("Authorization") == "Basic "+basic("warden")
}

func (f *serviceNowFake) route(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/now/table/incident")
	id := strings.TrimPrefix(path, "/")
	k := f.at(id)
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case id == "" && r.Method == http.MethodGet:
		f.list(w, r)
	case id == "" && r.Method == http.MethodPost:
		f.create(w, r)
	case k == nil:
		f.answer(w, http.StatusNotFound, map[string]any{"error": map[string]any{"message": "No Record found", "detail": "Record doesn't exist or ACL restricts the record retrieval"}, "status": "failure"})
	case r.Method == http.MethodGet:
		f.asks(r, "one")
		f.answer(w, http.StatusOK, map[string]any{"result": f.json(k)})
	case r.Method == http.MethodPatch:
		f.patch(w, r, k)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *serviceNowFake) json(k *fakeTicket) map[string]any {
	id := k.fields["correlation_id"]
	if f.blind {
		id = ""
	}
	return map[string]any{"sys_id": k.ref, "number": "INC00" + k.ref, "state": k.status, "correlation_id": id}
}

var correlation = regexp.MustCompile(`^correlation_id=([^^]+)\^`)

func (f *serviceNowFake) list(w http.ResponseWriter, r *http.Request) {
	query := correlation.FindStringSubmatch(f.asks(r, "list").Get("sysparm_query"))
	result := []map[string]any{}
	for _, k := range slices.Backward(f.tickets) {
		if !k.deleted && len(result) == 0 && k.status != "7" && k.status != "8" && (f.blind || k.fields["correlation_id"] == query[1]) {
			result = append(result, f.json(k))
		}
	}
	f.answer(w, http.StatusOK, map[string]any{"result": result})
}

func (f *serviceNowFake) create(w http.ResponseWriter, r *http.Request) {
	f.asks(r, "one")
	var body map[string]any
	if !f.wants(w, r, "create", "application/json", &body) {
		return
	}
	f.writes++
	k := f.add(&fakeTicket{status: "1", fields: map[string]any{}}, 41)
	f.take(k, body)
	f.answer(w, http.StatusCreated, map[string]any{"result": f.json(k)})
}

func (f *serviceNowFake) patch(w http.ResponseWriter, r *http.Request, k *fakeTicket) {
	f.asks(r, "one")
	var body map[string]any
	if !f.wants(w, r, "update", "application/json", &body) {
		return
	}
	if k.status == "7" || k.status == "8" {
		f.answer(w, http.StatusForbidden, map[string]any{"error": map[string]any{"message": "Operation Failed", "detail": "ACL Exception Update Failed due to security constraints"}, "status": "failure"})
		return
	}
	f.writes++
	f.take(k, body)
	f.answer(w, http.StatusOK, map[string]any{"result": f.json(k)})
}

func (f *serviceNowFake) take(k *fakeTicket, body map[string]any) {
	for name, value := range body {
		text, _ := value.(string)
		switch name {
		case "short_description":
			k.title = text
		case "description":
			k.body = text
		case "state":
			k.fields["reopened"] = k.status == "6" && text == "2"
			k.status = text
		default:
			k.fields[name] = value
		}
	}
}

// shows: an incident that was opened again is in progress.
func (f *serviceNowFake) shows(k *fakeTicket, want review.State) bool {
	switch k.status {
	case "1":
		return want == review.Open
	case "2":
		return want == review.Acknowledged || want == review.Open && k.fields["reopened"] == true
	}
	return want == review.Resolved && k.status != "3"
}

func (f *serviceNowFake) put(k *fakeTicket, s review.State) bool {
	k.status = map[review.State]string{review.Open: "1", review.Acknowledged: "2", review.Resolved: "6", "": "3"}[s]
	k.fields["reopened"] = false
	return true
}

func (f *serviceNowFake) plant(key string) *fakeTicket {
	return f.add(&fakeTicket{title: "by hand", status: "1", fields: map[string]any{"correlation_id": key}}, 41)
}

func (f *serviceNowFake) markup() map[string]int { return nil }

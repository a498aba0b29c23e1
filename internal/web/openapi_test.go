package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwarden/modelwarden/internal/web"
)

// contract are the routes that users rely on.
var contract = []string{
	"GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json",
	"GET /api/v1/models", "GET /api/v1/assets/{asset}", "GET /api/v1/lineage/{asset}",
	"GET /api/v1/events", "GET /api/v1/events/{key}", "GET /api/v1/decisions",
	"GET /api/v1/actions", "GET /api/v1/actions/{id}", "POST /api/v1/actions/{id}/retry",
	"GET /api/v1/reviews", "GET /api/v1/reviews/{id}", "GET /api/v1/reviews/{id}/card", "POST /api/v1/reviews/{id}/ack", "POST /api/v1/reviews/{id}/snooze",
	"POST /api/v1/reviews/{id}/resolve", "POST /api/v1/reviews/{id}/comment", "POST /api/v1/reviews/{id}/reopen",
	"POST /api/v1/reviews/{id}/retrain", "POST /api/v1/reviews/{id}/rollback", "POST /api/v1/reviews/{id}/silence",
	"GET /api/v1/silences", "POST /api/v1/silences", "GET /api/v1/silences/{id}", "DELETE /api/v1/silences/{id}", "POST /api/v1/silences/{id}/end",
	"GET /api/v1/quarantine", "GET /api/v1/quarantine/{id}", "POST /api/v1/quarantine/{id}/replay",
	"GET /api/v1/dead", "GET /api/v1/dead/{id}", "POST /api/v1/dead/{id}/replay", "DELETE /api/v1/dead/{id}",
	"GET /api/v1/workspaces/{alias}/backfill", "POST /api/v1/workspaces/{alias}/backfill", "DELETE /api/v1/workspaces/{alias}/backfill",
	"GET /api/v1/policies", "POST /api/v1/policies/{name}/resume", "GET /api/v1/status",
}

type operation struct {
	OperationID string
	Summary     string
	Parameters  []struct {
		Name, In    string
		Description string
	}
	Responses map[string]json.RawMessage
	Security  []map[string][]string
}

type document struct {
	OpenAPI  string
	Info     struct{ Title, Version, Description string }
	Paths    map[string]map[string]operation
	Security []map[string][]string
}

func openAPI(w *world) document {
	w.t.Helper()
	var d document
	rec := w.ask("GET", "/openapi.json", "", "Authorization", "Bearer "+newToken)
	w.decode(rec, 200, &d)
	return d
}

func TestDocumentSaysHowIdsStandInPaths(t *testing.T) {
	d := openAPI(newWorld(t))
	if !strings.Contains(d.Info.Description, "percent-escaped as a whole") {
		t.Errorf("description: %s", d.Info.Description)
	}
	for _, path := range []string{"/api/v1/assets/{asset}", "/api/v1/lineage/{asset}", "/api/v1/events/{key}", "/api/v1/actions/{id}"} {
		p := d.Paths[path]["get"].Parameters
		if len(p) == 0 || !strings.Contains(p[0].Description, "percent-escaped as one segment") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestDocumentListsExactlyTheContract(t *testing.T) {
	d := openAPI(newWorld(t))
	if d.OpenAPI != "3.1.0" || d.Info.Version != "1.2.3" {
		t.Errorf("%s %+v", d.OpenAPI, d.Info)
	}
	var listed []string
	for path, methods := range d.Paths {
		for method := range methods {
			listed = append(listed, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(listed)
	want := slices.Sorted(slices.Values(contract))
	if !slices.Equal(listed, want) {
		t.Errorf("listed:\n%s\nwant:\n%s", strings.Join(listed, "\n"), strings.Join(want, "\n"))
	}
}

func TestDocumentedRoutesAreMounted(t *testing.T) {
	w := newWorld(t)
	for path, methods := range openAPI(w).Paths {
		for method := range methods {
			target := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x@model/a/b")
			if strings.Contains(path, "/{id}") && !strings.Contains(path, "actions") {
				target = strings.Replace(path, "{id}", "x", 1)
			}
			target = strings.Replace(target, "workspaces/x@model/a/b", "workspaces/x", 1)
			target = strings.Replace(target, "policies/x@model/a/b", "policies/x", 1)
			rec := w.ask(strings.ToUpper(method), target, "")
			if rec.Code == http.StatusMethodNotAllowed || strings.Contains(rec.Body.String(), "there is nothing at") {
				t.Errorf("%s %s: %d %s", method, target, rec.Code, rec.Body)
			}
		}
	}
}

func TestOperationsAreDescribed(t *testing.T) {
	ids := map[string]bool{}
	for path, methods := range openAPI(newWorld(t)).Paths {
		for method, op := range methods {
			name := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Responses) == 0 {
				t.Errorf("%s: id %q, summary %q, %d responses", name, op.OperationID, op.Summary, len(op.Responses))
			}
			ids[op.OperationID] = true
			declared := map[string]bool{}
			for _, p := range op.Parameters {
				declared[p.Name] = p.In == "path"
				if p.Description == "" {
					t.Errorf("%s: parameter %s has no description", name, p.Name)
				}
			}
			for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !declared[m[1]] {
					t.Errorf("%s: path parameter %s is not declared", name, m[1])
				}
			}
		}
	}
}

func TestDocumentTellsWhereATokenIsNeeded(t *testing.T) {
	if d := openAPI(newWorld(t)); len(d.Security) != 0 {
		t.Errorf("an open service asks for %v", d.Security)
	}
	d := openAPI(newWorld(t, withTokens))
	if len(d.Security) != 2 {
		t.Errorf("security: %v", d.Security)
	}
	if s := d.Paths["/healthz"]["get"].Security; len(s) != 1 || len(s[0]) != 0 {
		t.Errorf("/healthz asks for %v", s)
	}
}

// TestAnswersFitTheirSchemas reads every route of the story and holds the
// answer against what the document promises.
func TestAnswersFitTheirSchemas(t *testing.T) {
	w := newWorld(t).story()
	doc, err := jsonschema.UnmarshalJSON(w.ask("GET", "/openapi.json", "").Body)
	must(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	must(t, compiler.AddResource("openapi.json", doc))
	patterns := slices.Collect(maps.Keys(openAPI(w).Paths))
	for _, path := range apiPaths(w) {
		pattern := patternOf(patterns, path)
		pointer := fmt.Sprintf("openapi.json#/paths/%s/get/responses/200/content/application~1json/schema", strings.ReplaceAll(pattern, "/", "~1"))
		schema, err := compiler.Compile(pointer)
		must(t, err)
		answer, err := jsonschema.UnmarshalJSON(w.ask("GET", path, "").Body)
		must(t, err)
		if err := schema.Validate(answer); err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
	}
}

// patternOf is the longest documented path that fits.
func patternOf(patterns []string, path string) string {
	best := ""
	for _, p := range patterns {
		prefix, rest, templated := strings.Cut(p, "{")
		_, suffix, _ := strings.Cut(rest, "}")
		fits := templated && strings.HasPrefix(path, prefix) && strings.HasSuffix(path, suffix)
		if (p == path || fits) && len(p) > len(best) {
			best = p
		}
	}
	return best
}

func TestTwoServicesDoNotShareTheirDocuments(t *testing.T) {
	a := openAPI(newWorld(t))
	b := openAPI(newWorld(t, func(o *web.Options) { o.Version = "9" }))
	if a.Info.Version == b.Info.Version || len(a.Paths) != len(b.Paths) {
		t.Errorf("%s %s, %d %d paths", a.Info.Version, b.Info.Version, len(a.Paths), len(b.Paths))
	}
}

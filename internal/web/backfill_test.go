package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/web"
)

const backfillPath = "/api/v1/workspaces/contoso-ml/backfill"

func withWorkspace(o *web.Options) { o.Workspaces = func() []string { return []string{"contoso-ml"} } }

func TestABackfillIsAskedForOnceAndWatched(t *testing.T) {
	w := newWorld(t, withWorkspace)
	w.get(backfillPath, 404, new(problemOf))
	var first, again, seen web.Backfill
	w.decode(w.ask("POST", backfillPath, `{"since":"30d"}`), 200, &first)
	if !first.Created || first.State != lineage.BackfillRequested || !first.Since.Equal(w.now.Add(-30*24*time.Hour)) || first.Workspace != "contoso-ml" {
		t.Errorf("%+v", first)
	}
	w.now = w.now.Add(time.Minute)
	w.decode(w.ask("POST", backfillPath, ""), 200, &again)
	if again.Created || again.ID != first.ID || !again.Since.Equal(first.Since) {
		t.Errorf("the second request began another: %+v", again)
	}
	// A worker came some way, with a cursor that is nobody's business.
	b, version, err := lineage.GetBackfill(t.Context(), w.store, "contoso-ml")
	must(t, err)
	b.State, b.Phase, b.Progress, b.Seen, b.Told, b.Cursor = lineage.BackfillRunning, "jobs", 0.5, 300, 20, "https://secret"
	c, err := b.Change(version)
	must(t, err)
	w.put(lineage.WorkPartition("contoso-ml"), c.Record)
	rec := w.ask("GET", backfillPath, "")
	if body := rec.Body.String(); strings.Contains(body, "secret") {
		t.Errorf("the cursor is shown: %s", body)
	}
	w.decode(rec, 200, &seen)
	if seen.Progress != 0.5 || seen.Phase != "jobs" || seen.Seen != 300 || seen.Told != 20 {
		t.Errorf("%+v", seen)
	}
	for range 2 { // cancelling again changes nothing
		var ended web.Backfill
		w.decode(w.ask("DELETE", backfillPath, ""), 200, &ended)
		if ended.State != lineage.BackfillCancelled || ended.Seen != 300 {
			t.Errorf("%+v", ended)
		}
	}
	var next web.Backfill
	w.decode(w.ask("POST", backfillPath, "{}"), 200, &next)
	if !next.Created || next.ID == first.ID || next.Seen != 0 || !next.Since.IsZero() {
		t.Errorf("%+v", next)
	}
}

// TestABackfillFitsItsSchema holds all three answers against the document.
func TestABackfillFitsItsSchema(t *testing.T) {
	w := newWorld(t, withWorkspace)
	doc, err := jsonschema.UnmarshalJSON(w.ask("GET", "/openapi.json", "").Body)
	must(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	must(t, compiler.AddResource("openapi.json", doc))
	for _, method := range []string{"POST", "GET", "DELETE"} {
		schema, err := compiler.Compile("openapi.json#/paths/~1api~1v1~1workspaces~1{alias}~1backfill/" +
			strings.ToLower(method) + "/responses/200/content/application~1json/schema")
		must(t, err)
		answer, err := jsonschema.UnmarshalJSON(w.ask(method, backfillPath, "").Body)
		must(t, err)
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestWhatCanNotBeBackfilledIsRefused(t *testing.T) {
	w := newWorld(t, withWorkspace)
	var p problemOf
	w.decode(w.ask("POST", "/api/v1/workspaces/elsewhere/backfill", ""), 404, &p)
	if !strings.Contains(p.Detail, "elsewhere") {
		t.Errorf("%+v", p)
	}
	for _, since := range []string{"yesterday", "2099-01-01"} {
		w.decode(w.ask("POST", backfillPath, `{"since":"`+since+`"}`), 400, &p)
		if !strings.Contains(p.Detail, since) || p.Errors[0].Location != "body.since" {
			t.Errorf("%s: %+v", since, p)
		}
	}
	w.decode(w.ask("DELETE", backfillPath, ""), 404, &p)
}

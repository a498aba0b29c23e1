package web_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/web"
)

// pagePaths are all pages with something of the story on them.
func pagePaths(w *world) []string {
	w.t.Helper()
	var events listOf[lineage.EventLine]
	w.get("/api/v1/events", 200, &events)
	paths := []string{
		"/", "/?q=churn", "/events", "/events?kind=model.registered", "/decisions", "/actions", "/reviews", "/reviews?state=all", "/silences", "/silences?state=all", "/trouble",
		"/reviews/" + theReview(w).ID, "/assets/" + version1, "/assets/" + monitorID, "/assets/deployment/contoso-ml/churn-ep/default",
		"/assets/model/contoso-ml/churn", "/assets/" + version1 + "?direction=up&asOf=1d", "/assets/job/contoso-ml/sincere_yak_7f3",
		"/assets/" + string(lineage.NewID(lineage.Model, "contoso-ml", hostile, "1")),
	}
	for _, e := range events.Items {
		paths = append(paths, "/events/"+e.Key)
	}
	return paths
}

func page(w *world, path string) string {
	w.t.Helper()
	rec := w.ask("GET", path, "", "Accept", "text/html")
	if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		w.t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestPagesKeepForeignTextInert(t *testing.T) {
	w := newWorld(t).story()
	inline := regexp.MustCompile(`(?i)<script>|<script[^>]*>[^<]|\son\w+=|\sstyle=|<style|javascript:`)
	for _, path := range pagePaths(w) {
		body := page(w, path)
		if m := inline.FindString(body); m != "" {
			t.Errorf("%s: %q in the page", path, m)
		}
		if strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s: a template put a value where it can't be", path)
		}
	}
	if body := page(w, "/"); !strings.Contains(html.UnescapeString(body), hostile) {
		t.Error("the hostile model is not shown at all")
	}
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	w := newWorld(t).story()
	link := regexp.MustCompile(`(?:href|src|data-lineage)="(/[^"]*)"`)
	seen := map[string]bool{}
	for _, path := range pagePaths(w) {
		for _, m := range link.FindAllStringSubmatch(page(w, path), -1) {
			target := html.UnescapeString(m[1])
			if seen[target] {
				continue
			}
			seen[target] = true
			if rec := w.ask("GET", target, "", "Accept", "text/html"); rec.Code != 200 {
				t.Errorf("%s links to %s: %d", path, target, rec.Code)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d links were found", len(seen))
	}
}

func TestRegistrationIsShownAsATime(t *testing.T) {
	body := page(newWorld(t).story(), "/assets/"+version1)
	if !regexp.MustCompile(`<dt>registered</dt><dd><time datetime="[^"]+" title="[^"]+">[0-9 :-]+Z <small>\d+ (min|h) ago</small></time></dd>`).MatchString(body) {
		t.Error("registered is not written like other times")
	}
}

func TestDecisionsWhoseConditionWasFalseAreMuted(t *testing.T) {
	w := newWorld(t).story()
	for query, want := range map[string]bool{"condition_false": true, "not_sustained": false, "acted": false} {
		body := page(w, "/decisions?reason="+query)
		if got := strings.Contains(body, `<tr class="idle">`); got != want {
			t.Errorf("%s: muted is %v", query, got)
		}
	}
}

func TestNotesOfAnEventAreShown(t *testing.T) {
	w := newWorld(t)
	note := `4 entries of "modelIds" <were> left out`
	key := w.happen("ModelDeployed", "endpoints/e", map[string]any{"serviceName": "e", "modelIds": "m:1"},
		func(e *lineage.Entry, _ *event.Event) { e.Notes = []string{note} })
	var d web.EventDetail
	w.get("/api/v1/events/"+key, 200, &d)
	if len(d.Notes) != 1 || d.Notes[0] != note {
		t.Errorf("the API's notes: %q", d.Notes)
	}
	if body := page(w, "/events/"+key); !strings.Contains(body, html.EscapeString(note)) {
		t.Error("the page does not show the note")
	}
}

func TestFieldsHaveLabels(t *testing.T) {
	w := newWorld(t).story()
	field := regexp.MustCompile(`<(input|select|textarea)\b[^>]*>`)
	for _, path := range pagePaths(w) {
		body := page(w, path)
		for _, at := range field.FindAllStringIndex(body, -1) {
			tag, before := body[at[0]:at[1]], body[:at[0]]
			if !strings.Contains(tag, `type="hidden"`) && strings.LastIndex(before, "<label") <= strings.LastIndex(before, "</label") {
				t.Errorf("%s: %s has no label", path, tag)
			}
		}
	}
}

func TestReviewCardTellsTheStory(t *testing.T) {
	w := newWorld(t).story()
	body := html.UnescapeString(page(w, "/reviews/"+theReview(w).ID))
	for _, want := range []string{
		"Data drift on churn: age and tenure_months", "critical", "escalated", // what is wrong
		"PopulationStabilityIndex", "0.35", "0.2", "75% beyond",
		"2 of the last 3 windows breached", "churn-drift", // why
		"submitted gentle_fox_91c",                                 // what was done
		"cooldown", "the last one was 2 h ago, the cooldown is 6h", // what was held
		"/ack", "/snooze", "/resolve", "/comment", // what can be done
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the card does not say %q", want)
		}
	}
}

func TestResolvedReviewOffersOnlyAComment(t *testing.T) {
	w := newWorld(t).story()
	id := theReview(w).ID
	w.ask("POST", "/api/v1/reviews/"+id+"/resolve", `{"by":"ada","why":"late data"}`)
	body := page(w, "/reviews/"+id)
	if strings.Contains(body, "/ack\"") || strings.Contains(body, "/snooze\"") || !strings.Contains(body, "/comment\"") || !strings.Contains(body, "late data") {
		t.Error("wrong verbs on a resolved review")
	}
}

func TestInventoryShowsWhoServesAndWhatBreached(t *testing.T) {
	w := newWorld(t).story()
	if body := page(w, "/"); strings.Count(body, ">serves<") != 1 || !strings.Contains(body, "none since it serves") {
		t.Error("version 2 serves and has no breach of its own yet")
	}
	w.drift()
	if body := page(w, "/"); !strings.Contains(body, "churn_monitor_drift") {
		t.Error("the breach since version 2 serves is not shown")
	}
}

func TestEmptyPagesSayWhatToDoNext(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/": "modelwarden event send FILE", "/events": "modelwarden event send FILE", "/decisions": "modelwarden check",
		"/actions": "say why not", "/reviews": "Nothing waits for you", "/trouble": "Nothing is in quarantine", "/?q=x": "fits these filters",
	} {
		if body := page(w, path); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
}

func TestHomeTellsOfWhatIsBroken(t *testing.T) {
	w := newWorld(t, func(o *web.Options) {
		o.Policies = func() web.Policies { return web.Policies{LastError: "line 4: unknown key"} }
	})
	if body := page(w, "/"); !strings.Contains(body, "line 4: unknown key") {
		t.Error("a refused policy file is not mentioned")
	}
}

func TestPagesPageOn(t *testing.T) {
	w := newWorld(t).story()
	for range 60 {
		w.register("1", "sincere_yak_7f3")
	}
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(page(w, "/events?kind=model.registered"))
	if next == nil {
		t.Fatal("there is no way to older events")
	}
	target, err := url.Parse(html.UnescapeString(next[1]))
	must(t, err)
	if target.Query().Get("kind") != "model.registered" {
		t.Errorf("%s forgets the filter", target)
	}
	if body := page(w, target.String()); strings.Contains(body, `rel="next"`) || !strings.Contains(body, "model.registered") {
		t.Error("the second page is not the last")
	}
}

func TestBrowserGetsErrorsAsPages(t *testing.T) {
	w := newWorld(t)
	rec := w.ask("GET", "/assets/model/a/nobody", "", "Accept", "text/html,*/*")
	if rec.Code != 404 || !strings.Contains(rec.Body.String(), "<h1>Not Found</h1>") || !strings.Contains(rec.Body.String(), rec.Header().Get("X-Request-Id")) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec = w.ask("GET", "/assets/model/a/nobody", "", "Accept", "*/*"); rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a command-line client got %s", rec.Header().Get("Content-Type"))
	}
}

func TestStaticFilesAreKeptUntilTheyChange(t *testing.T) {
	w := newWorld(t)
	rec := w.ask("GET", "/static/vendor/cytoscape-3.34.4.min.js", "")
	tag := rec.Header().Get("ETag")
	if rec.Code != 200 || tag == "" || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/javascript") {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	if rec = w.ask("GET", "/static/vendor/cytoscape-3.34.4.min.js", "", "If-None-Match", tag); rec.Code != 304 {
		t.Errorf("unchanged: %d", rec.Code)
	}
	for _, path := range []string{"/static/", "/static/vendor", "/static/nothing.js"} {
		if rec = w.ask("GET", path, ""); rec.Code != 404 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

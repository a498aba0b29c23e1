package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

func TestACardComesInTheFormThatIsAskedFor(t *testing.T) {
	w := newWorld(t).story()
	path := "/api/v1/reviews/" + theReview(w).ID + "/card"
	for _, c := range []struct{ query, accept, kind, begins string }{
		{"", "", "application/json", `{"review":`},
		{"", "*/*", "application/json", `{"review":`},
		{"", "text/markdown", "text/markdown; charset=utf-8", "### CRITICAL: "},
		{"", "text/html, text/plain;q=0.9, application/json", "text/plain; charset=utf-8", "CRITICAL: "},
		{"?format=markdown", "application/json", "text/markdown; charset=utf-8", "### CRITICAL: "},
		{"?format=text", "", "text/plain; charset=utf-8", "CRITICAL: "},
		{"?format=json", "text/plain", "application/json", `{"review":`},
	} {
		rec := w.ask("GET", path+c.query, "", "Accept", c.accept)
		if rec.Code != 200 || rec.Header().Get("Content-Type") != c.kind || !strings.HasPrefix(rec.Body.String(), c.begins) {
			t.Errorf("%+v: %d %s %.200s", c, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
		}
	}
	if rec := w.ask("GET", path+"?format=pdf", ""); rec.Code != 400 {
		t.Errorf("format=pdf: %d", rec.Code)
	}
	if rec := w.ask("GET", "/api/v1/reviews/nobody-1/card", ""); rec.Code != 404 || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("no such review: %d %s", rec.Code, rec.Header().Get("Content-Type"))
	}
}

// fixedCards gives every review the same surroundings.
type fixedCards struct {
	card review.Card
	err  error
}

func (f *fixedCards) Of(_ context.Context, r review.Review) (review.Card, error) {
	c := f.card
	c.Review, c.Verbs = r, append(r.Allowed(), c.Verbs...)
	return c, f.err
}

func value(v float64) *float64 { return &v }

// richCards has something for each part of the page.
func richCards() *fixedCards {
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	return &fixedCards{card: review.Card{
		LastHealthy: at(-72), Owner: hostile, Runbook: "https://wiki.contoso.example/churn",
		Measured: []review.Series{{
			Monitor: monitorID, Signal: hostile, Feature: "age", Metric: "PopulationStabilityIndex", Threshold: value(0.2),
			Points: []review.Point{{At: at(-72)}, {At: at(-48), Value: value(0.18)}, {At: at(-24), Value: value(0.31), Breached: true}, {At: at(0), Value: value(0.35), Breached: true}},
		}},
		Changed: []review.Shift{{At: at(-50), Kind: review.ShiftModel, Asset: version1, What: "version 1 in service at churn-ep/blue (was version 0)"}},
		Done:    []review.Deed{{Type: "retrain", Target: "churn-pipeline", State: "running", Text: hostile, URL: "javascript:alert(1)"}},
		Similar: []review.Past{{ID: "x-1", Title: hostile, Severity: review.Warning, Opened: at(-300), ResolvedAt: at(-290), ResolvedBy: "ann", Resolution: "feed repaired"}},
		Tickets: []review.Ticket{{Target: "pager", Ref: "Q1", URL: "https://contoso.pagerduty.example/incidents/Q1"}, {Target: "desk", URL: "javascript:alert(2)", Failed: "the tool answered 503"}},
		Verbs:   []review.Verb{review.RetrainNow, review.RollBackNow}, RetrainTargets: []string{"churn-pipeline"}, RollbackTargets: []string{"churn-ep"},
		Gaps: []string{"the job of version 0 is not known"},
	}}
}

func TestTheReviewPageShowsTheWholeCard(t *testing.T) {
	w := newWorld(t, func(o *web.Options) { o.Cards = richCards() }).story()
	id := theReview(w).ID
	raw := page(w, "/reviews/"+id)
	body := html.UnescapeString(raw)
	for _, want := range []string{
		`role="img"`, "0.35 against 0.2", "75% beyond", "2 of the last 4 windows breached", `class="limit"`, // the picture
		"since it was last healthy", "version 1 in service", "feed repaired", "https://wiki.contoso.example/churn",
		`href="https://contoso.pagerduty.example/incidents/Q1"`, "Not up to date: the tool answered 503", "the job of version 0 is not known",
		`action="/reviews/` + id + `/retrain"`, `action="/reviews/` + id + `/rollback" data-confirm=`, `action="/reviews/` + id + `/silence"`,
		`<option value="churn-pipeline">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if m := regexp.MustCompile(`(?i)href="javascript|<script>|\sstyle=|\son\w+=`).FindString(raw); m != "" {
		t.Errorf("%q in the page", m)
	}
	if verbs, wrong := strings.Index(body, `class="verbs"`), strings.Index(body, "What is wrong"); verbs < 0 || wrong < verbs {
		t.Error("the verbs do not come first")
	}
}

func TestAChartDrawsWhatIsKnown(t *testing.T) {
	cards := richCards()
	w := newWorld(t, func(o *web.Options) { o.Cards = cards }).story()
	path := "/reviews/" + theReview(w).ID
	body := page(w, path)
	for what, n := range map[string]int{`<circle class="bad"`: 2, `<circle class="good"`: 1, `<circle class="unknown"`: 1, "<polyline": 1, `<line class="limit"`: 1} {
		if got := strings.Count(body, what); got != n {
			t.Errorf("%d of %s, want %d", got, what, n)
		}
	}
	odd := &cards.card.Measured[0]
	for _, points := range [][]review.Point{
		nil, {{At: noon}}, {{At: noon, Value: value(math.NaN()), Breached: true}, {At: noon, Value: value(math.Inf(1))}},
		{{At: noon, Value: value(-1)}, {At: noon, Value: value(0)}}, {{At: noon, Value: value(math.MaxFloat64)}, {At: noon, Value: value(-math.MaxFloat64)}},
	} {
		odd.Points = points
		if body = page(w, path); regexp.MustCompile(`c[xy]="[^"]*(NaN|Inf)`).MatchString(body) {
			t.Errorf("%v is drawn as no number", points)
		}
	}
}

func TestACardThatCantBeBuiltIsAProblem(t *testing.T) {
	cards := richCards()
	w := newWorld(t, func(o *web.Options) { o.Cards = cards }).story()
	id := theReview(w).ID
	cards.err = errors.New("secret connection string")
	for _, path := range []string{"/api/v1/reviews/" + id + "/card", "/reviews/" + id} {
		if rec := w.ask("GET", path, ""); rec.Code < 500 || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestWithoutABuilderTheCardIsTheReview(t *testing.T) {
	w := newWorld(t, func(o *web.Options) { o.Cards = nil }).story()
	id := theReview(w).ID
	var c review.Card
	must(t, json.Unmarshal(w.ask("GET", "/api/v1/reviews/"+id+"/card", "").Body.Bytes(), &c))
	if c.Review.ID != id || len(c.Verbs) == 0 {
		t.Errorf("%+v", c)
	}
	page(w, "/reviews/"+id)
}

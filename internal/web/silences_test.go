package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

const formType = "application/x-www-form-urlencoded"

func TestSilencesLiveByTheirRoutes(t *testing.T) {
	w := newWorld(t)
	w.now = noon
	var made web.Silence
	w.decode(w.ask("POST", "/api/v1/silences", `{"match":{"model":["churn*"],"severity":["warning","info"]},"for":"4h","by":"ada","why":"migration"}`), 201, &made)
	if made.State != "active" || !made.From.Equal(noon) || !made.Until.Equal(noon.Add(4*time.Hour)) || made.By != "ada" || fmt.Sprint(made.Match.Severity) != "[warning info]" {
		t.Errorf("%+v", made)
	}
	var later web.Silence
	w.decode(w.ask("POST", "/api/v1/silences", `{"match":{},"from":"2026-11-03T00:00:00+01:00","for":"1d","by":"ada","why":"release"}`), 201, &later)
	if later.State != "pending" || later.From.Format(time.RFC3339) != "2026-11-02T23:00:00Z" || later.Until.Sub(later.From) != 24*time.Hour {
		t.Errorf("%+v", later)
	}
	var l listOf[web.Silence]
	w.get("/api/v1/silences?limit=1", 200, &l)
	if len(l.Items) != 1 || l.Items[0].ID != later.ID || l.NextCursor == "" {
		t.Errorf("first page: %+v", l)
	}
	w.get("/api/v1/silences?limit=1&cursor="+l.NextCursor, 200, &l)
	if len(l.Items) != 1 || l.Items[0].ID != made.ID {
		t.Errorf("second page: %+v", l)
	}
	var one web.Silence
	w.get("/api/v1/silences/"+made.ID, 200, &one)
	w.decode(w.ask("POST", "/api/v1/silences/"+made.ID+"/end", `{"by":"ben"}`), 200, &one)
	if one.State != "expired" || one.EndedBy != "ben" || !one.Ended.Equal(noon) {
		t.Errorf("%+v", one)
	}
	w.decode(w.ask("DELETE", "/api/v1/silences/"+later.ID+"?by=cleo", ""), 200, &one)
	if one.State != "expired" || one.EndedBy != "cleo" {
		t.Errorf("%+v", one)
	}
	w.get("/api/v1/silences?state=active", 200, &l)
	if len(l.Items) != 0 {
		t.Errorf("still active: %+v", l.Items)
	}
}

func TestSilencesRefuseMistakes(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		want                 string
	}{
		"no match":       {"POST", "/api/v1/silences", `{"for":"1h","by":"a","why":"b"}`, 400, "match"},
		"unknown match":  {"POST", "/api/v1/silences", `{"match":{"modle":["a"]},"for":"1h","by":"a","why":"b"}`, 400, "modle"},
		"nobody":         {"POST", "/api/v1/silences", `{"match":{},"for":"1h","why":"b"}`, 400, "by"},
		"no end":         {"POST", "/api/v1/silences", `{"match":{},"by":"a","why":"b"}`, 400, "needs an end"},
		"two ends":       {"POST", "/api/v1/silences", `{"match":{},"by":"a","why":"b","for":"1h","until":"2026-11-03T00:00:00Z"}`, 400, "not both"},
		"bad beginning":  {"POST", "/api/v1/silences", `{"match":{},"by":"a","why":"b","for":"1h","from":"soon"}`, 400, "is not a time"},
		"bad end":        {"POST", "/api/v1/silences", `{"match":{},"by":"a","why":"b","until":"soon"}`, 400, "is not a time"},
		"bad length":     {"POST", "/api/v1/silences", `{"match":{},"by":"a","why":"b","for":"-1h"}`, 400, "30m, 4h or 2d"},
		"unknown":        {"GET", "/api/v1/silences/nobody", "", 404, "not found"},
		"ending unknown": {"POST", "/api/v1/silences/nobody/end", `{"by":"a"}`, 404, "not found"},
		"ended by whom":  {"DELETE", "/api/v1/silences/x", "", 400, "by"},
		"unknown state":  {"GET", "/api/v1/silences?state=gone", "", 400, "state"},
		"bad cursor":     {"GET", "/api/v1/silences?cursor=eA", "", 400, "cursor"},
	} {
		t.Run(name, func(t *testing.T) {
			var p problemOf
			w.decode(w.ask(c.method, c.target, c.body), c.status, &p)
			if !strings.Contains(fmt.Sprint(p.Detail, p.Errors), c.want) {
				t.Errorf("%+v, want %q", p, c.want)
			}
		})
	}
}

func TestAReviewIsSilencedByItsCauseAlone(t *testing.T) {
	w := newWorld(t).story()
	r := theReview(w)
	var made web.Silence
	w.decode(w.ask("POST", "/api/v1/reviews/"+r.ID+"/silence", `{"for":"2h","by":"ada","why":"known"}`), 201, &made)
	other := r
	other.Cause += "-eu"
	if !made.Match.Matches(&r) || made.Match.Matches(&other) || !made.Until.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("%+v", made)
	}
	var p problemOf
	w.decode(w.ask("POST", "/api/v1/reviews/"+r.ID+"/silence", `{"for":"2h","by":"ada"}`), 400, &p)
	w.decode(w.ask("POST", "/api/v1/reviews/nobody/silence", `{"for":"2h","by":"ada","why":"known"}`), 404, &p)
}

func TestSilencesPage(t *testing.T) {
	w := newWorld(t)
	w.now = noon
	if body := page(w, "/silences"); !strings.Contains(body, "Nothing is silenced now") || !strings.Contains(body, `<a href="/silences" aria-current="page">Silences</a>`) {
		t.Error("an empty page does not say so")
	}
	post := func(target, form string) int {
		return w.ask("POST", target, form, "Content-Type", formType, "Accept", "text/html").Code
	}
	if code := post("/silences", "model=churn*&cause=%3Cb%3E&for=4h&by=ada&why=migration+%3Cb%3E"); code != http.StatusSeeOther {
		t.Fatalf("create: %d", code)
	}
	if code := post("/silences", "for=4h&by=ada&why=slip"); code != http.StatusBadRequest {
		t.Errorf("an empty form: %d", code)
	}
	if code := post("/silences", "cause=*&from=2026-11-03T00:00&for=4h&by=ada&why=release"); code != http.StatusSeeOther {
		t.Errorf("pending: %d", code)
	}
	body := page(w, "/silences")
	for _, want := range []string{"churn*", "migration &lt;b&gt;", "release", "2026-11-03 04:00:00Z", `action="/silences/s1/end"`, ">pending<", ">active<"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if code := post("/silences/s1/end", "by=ben"); code != http.StatusSeeOther {
		t.Errorf("end: %d", code)
	}
	if body := page(w, "/silences"); strings.Contains(body, "migration") {
		t.Error("an ended silence is still among those that hold")
	}
	if body := html.UnescapeString(page(w, "/silences?state=expired")); !strings.Contains(body, "ended by ben") || strings.Contains(body, "/end\"") {
		t.Error("an ended silence does not say who ended it")
	}
}

func TestOrdersArePlacedFromAReview(t *testing.T) {
	book := &orderBook{}
	w := newWorld(t, func(o *web.Options) { o.Orders = book }).story()
	id := theReview(w).ID
	var a struct{ Type, Target, State string }
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/retrain", `{"target":"churn-pipeline","by":"ada","why":"data is mended"}`), 202, &a)
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/rollback", `{"by":"ada","why":"worse than before"}`), 202, &a)
	for _, form := range []string{"by=ben&why=x&target=t&version=stale", "by=ben&why=x"} {
		for _, verb := range []string{"retrain", "rollback"} {
			rec := w.ask("POST", "/reviews/"+id+"/"+verb, form, "Content-Type", formType)
			if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/reviews/"+id {
				t.Errorf("%s %s: %d", verb, form, rec.Code)
			}
		}
	}
	want := []string{
		id + "|retrain|churn-pipeline|ada|data is mended", id + "|rollback||ada|worse than before",
		id + "|retrain|t|ben|x", id + "|rollback|t|ben|x", id + "|retrain||ben|x", id + "|rollback||ben|x",
	}
	if fmt.Sprint(book.placed) != fmt.Sprint(want) {
		t.Errorf("placed %q", book.placed)
	}
	var p problemOf
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/retrain", `{"by":"ada"}`), 400, &p)
	w.decode(w.ask("POST", "/api/v1/reviews/nobody/retrain", `{"by":"ada","why":"x"}`), 404, &p)
	book.err = &review.CommandError{Field: "target", Problem: "unknown target"}
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/retrain", `{"by":"ada","why":"x"}`), 400, &p)
	if p.Detail != "target: unknown target" {
		t.Errorf("%q", p.Detail)
	}
	w.decode(newWorldAsk(t, id), http.StatusNotImplemented, &p)
}

// newWorldAsk asks a service that places no orders.
func newWorldAsk(t *testing.T, id string) *httptest.ResponseRecorder {
	return newWorld(t).story().ask("POST", "/api/v1/reviews/"+id+"/retrain", `{"by":"ada","why":"x"}`)
}

func TestAReviewIsReopened(t *testing.T) {
	w := newWorld(t).story()
	id := theReview(w).ID
	var p problemOf
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/reopen", `{"by":"ada"}`), 409, &p)
	w.ask("POST", "/api/v1/reviews/"+id+"/resolve", `{"by":"ada"}`)
	var r review.Review
	w.decode(w.ask("POST", "/api/v1/reviews/"+id+"/reopen", `{"by":"ada","why":"too early"}`), 200, &r)
	if r.State != review.Open {
		t.Errorf("%+v", r)
	}
	if rec := w.ask("POST", "/reviews/"+id+"/reopen", "by=ada&why=again", "Content-Type", formType); rec.Code != http.StatusSeeOther {
		t.Errorf("form: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask("POST", "/reviews/"+id+"/silence", "by=ada&why=known&for=4h", "Content-Type", formType); rec.Code != http.StatusSeeOther {
		t.Errorf("form: %d %s", rec.Code, rec.Body)
	}
}

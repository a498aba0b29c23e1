package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

// theReview is the story's only review.
func theReview(w *world) review.Review {
	w.t.Helper()
	var l listOf[review.Review]
	w.get("/api/v1/reviews", 200, &l)
	return l.Items[0]
}

func TestReviewLivesByItsVerbs(t *testing.T) {
	w := newWorld(t).story()
	id := theReview(w).ID
	for _, step := range []struct {
		verb, body string
		status     int
		state      review.State
	}{
		{"ack", `{"by":"ada"}`, 200, review.Acknowledged},
		{"ack", `{"by":"ada"}`, 200, review.Acknowledged},
		{"comment", `{"by":"ada","why":"looking"}`, 200, review.Acknowledged},
		{"snooze", `{"by":"ada","for":"4h"}`, 200, review.Snoozed},
		{"snooze", `{"by":"ada","until":"2026-11-03T12:00:00Z"}`, 200, review.Snoozed},
		{"resolve", `{"by":"ada","why":"data was late"}`, 200, review.Resolved},
		{"ack", `{"by":"ada"}`, 409, ""},
	} {
		rec := w.ask("POST", "/api/v1/reviews/"+id+"/"+step.verb, step.body)
		var r review.Review
		w.decode(rec, step.status, &r)
		if r.State != step.state && step.status == 200 {
			t.Errorf("%s: state %s, want %s", step.verb, r.State, step.state)
		}
	}
	if r := theReview(w); r.Resolution == nil || r.Resolution.Cause != "data was late" || len(r.Comments) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestVerbsRefuseWhatTheyCanNotDo(t *testing.T) {
	w := newWorld(t).story()
	r := theReview(w)
	base := "/api/v1/reviews/" + r.ID + "/"
	for name, c := range map[string]struct {
		verb, body string
		status     int
		want       string
	}{
		"nobody":            {"ack", `{"by":" "}`, 400, "by: say who does this"},
		"no by":             {"ack", `{}`, 400, "expected required property by to be present"},
		"unknown field":     {"ack", `{"by":"a","who":"b"}`, 400, "who"},
		"not JSON":          {"ack", `by=ada`, 400, ""},
		"empty comment":     {"comment", `{"by":"a"}`, 400, "a comment needs a text"},
		"endless snooze":    {"snooze", `{"by":"a"}`, 400, "a snooze needs an end"},
		"long snooze":       {"snooze", `{"by":"a","for":"90d"}`, 400, "at most 30 days"},
		"past snooze":       {"snooze", `{"by":"a","until":"2020-01-01T00:00:00Z"}`, 400, "later than now"},
		"two ends":          {"snooze", `{"by":"a","for":"1h","until":"2026-12-01T00:00:00Z"}`, 400, "not both"},
		"bad length":        {"snooze", `{"by":"a","for":"soon"}`, 400, "30m, 4h or 2d"},
		"bad time":          {"snooze", `{"by":"a","until":"soon"}`, 400, "is not a time"},
		"end without sense": {"ack", `{"by":"a","for":"1h"}`, 400, "only snooze has an end"},
		"stale":             {"ack", `{"by":"a","version":"0"}`, 409, "changed since"},
		"unknown verb":      {"escalate", `{"by":"a"}`, 404, "there is nothing at"},
		"huge body":         {"ack", `{"by":"a","why":"` + strings.Repeat("x", 70<<10) + `"}`, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var p problemOf
			w.decode(w.ask("POST", base+c.verb, c.body), c.status, &p)
			if !strings.Contains(fmt.Sprint(p.Detail, p.Errors), c.want) {
				t.Errorf("%+v, want %q", p, c.want)
			}
		})
	}
	if got := theReview(w); got.State != review.Open || len(got.Comments) != 0 {
		t.Errorf("a refused verb changed the review: %+v", got)
	}
}

func TestRetryMakesAFailedActionDueAndWakesAWorker(t *testing.T) {
	w := newWorld(t).story()
	var l listOf[policy.Action]
	w.get("/api/v1/actions?state=failed", 200, &l)
	id := l.Items[0].ID
	for range 2 {
		var a policy.Action
		w.decode(w.ask("POST", "/api/v1/actions/"+id+"/retry", ""), 200, &a)
		if a.State != policy.Pending || a.Attempts != 0 || !a.NextAttempt.Equal(noon) {
			t.Errorf("%+v", a)
		}
	}
	if len(w.box.sent) != 2 || string(w.box.sent[0].Body) != id || w.box.sent[0].Properties[lineage.PropKind] != lineage.KindWake {
		t.Errorf("sent: %+v", w.box.sent)
	}
	w.get("/api/v1/actions?type=retrain", 200, &l)
	var p problemOf
	w.decode(w.ask("POST", "/api/v1/actions/"+l.Items[0].ID+"/retry", ""), 409, &p)
	if !strings.Contains(p.Detail, "succeeded") {
		t.Errorf("%q", p.Detail)
	}
}

func TestRetryThatCouldNotWakeCanBeRepeated(t *testing.T) {
	w := newWorld(t).story()
	var l listOf[policy.Action]
	w.get("/api/v1/actions?state=failed", 200, &l)
	target := "/api/v1/actions/" + l.Items[0].ID + "/retry"
	w.box.fail = errSecret
	if rec := w.ask("POST", target, ""); rec.Code != 500 || strings.Contains(rec.Body.String(), "hunter2") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.box.fail = nil
	if rec := w.ask("POST", target, ""); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestDeadLetterIsReplayedBehindAFence(t *testing.T) {
	for name, c := range map[string]struct{ body, fenced string }{
		"by default": {"", "true"}, "empty wish": {`{}`, "true"}, "told not to": {`{"act":false}`, "true"}, "allowed to act": {`{"act":true}`, "false"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).story()
			var out web.Replayed
			w.decode(w.ask("POST", "/api/v1/dead/7/replay", c.body), 200, &out)
			if got := w.box.replayed["7"][lineage.PropFenced]; got != c.fenced || fmt.Sprint(out.Fenced) != c.fenced {
				t.Errorf("fenced %q, answered %v", got, out.Fenced)
			}
			if rec := w.ask("POST", "/api/v1/dead/7/replay", ""); rec.Code != 404 {
				t.Errorf("second replay: %d", rec.Code)
			}
		})
	}
}

func TestDeadLetterIsDiscarded(t *testing.T) {
	w := newWorld(t).story()
	if rec := w.ask("DELETE", "/api/v1/dead/7", ""); rec.Code != http.StatusNoContent || rec.Body.Len() != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.ask("DELETE", "/api/v1/dead/7", ""); rec.Code != 404 {
		t.Errorf("again: %d", rec.Code)
	}
}

func TestQuarantinedBodyIsSentAgainAsAnEvent(t *testing.T) {
	w := newWorld(t).story()
	var l listOf[lineage.Quarantined]
	w.get("/api/v1/quarantine", 200, &l)
	var d web.QuarantinedDetail
	w.get("/api/v1/quarantine/"+l.Items[0].ID, 200, &d)
	if d.Encoding != "text" || !strings.Contains(d.Body, hostile) {
		t.Errorf("%+v", d)
	}
	if rec := w.ask("POST", "/api/v1/quarantine/"+url.PathEscape(l.Items[0].ID)+"/replay", ""); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	m := w.box.sent[0]
	if string(m.Body) != d.Body || m.Properties[lineage.PropKind] != lineage.KindEvent || m.Properties[lineage.PropVia] != "webhook" || m.Properties[lineage.PropProblem] != "" {
		t.Errorf("%+v", m)
	}
}

func TestBytesThatAreNoTextComeAsBase64(t *testing.T) {
	w := newWorld(t)
	w.box.dead = []lineage.DeadMessage{{ID: "1", Message: lineage.Message{Body: []byte{0xff, 0x00}}}}
	var d web.DeadLetterDetail
	w.get("/api/v1/dead/1", 200, &d)
	if d.Encoding != "base64" || d.Body != "/wA=" || d.Size != 2 {
		t.Errorf("%+v", d)
	}
}

func TestFormsDoWhatTheAPIDoes(t *testing.T) {
	w := newWorld(t).story()
	r := theReview(w)
	var failed listOf[policy.Action]
	w.get("/api/v1/actions?state=failed", 200, &failed)
	var q listOf[lineage.Quarantined]
	w.get("/api/v1/quarantine", 200, &q)
	for _, c := range []struct{ target, form, to string }{
		{"/reviews/" + r.ID + "/comment", "by=ada&why=hm", "/reviews/" + r.ID},
		{"/reviews/" + r.ID + "/snooze", "by=ada&for=4h", "/reviews/" + r.ID},
		{"/actions/" + failed.Items[0].ID + "/retry", "", "/actions"},
		{"/quarantine/" + q.Items[0].ID + "/replay", "", "/trouble"},
		{"/dead/7/replay", "act=true", "/trouble"},
	} {
		rec := w.ask("POST", c.target, c.form, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != c.to {
			t.Errorf("POST %s: %d to %q: %s", c.target, rec.Code, rec.Header().Get("Location"), rec.Body)
		}
	}
	if got := theReview(w); got.State != review.Snoozed || !got.SnoozedUntil.Equal(noon.Add(4*time.Hour)) || len(got.Comments) != 1 {
		t.Errorf("%+v", got)
	}
	if w.box.replayed["7"][lineage.PropFenced] != "false" || len(w.box.sent) != 2 {
		t.Errorf("replayed %v, sent %d", w.box.replayed, len(w.box.sent))
	}
	rec := w.ask("POST", "/reviews/"+r.ID+"/ack", "by=ada&version="+r.Version, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	if rec.Code != 409 || !strings.Contains(rec.Body.String(), "<h1>Conflict</h1>") {
		t.Errorf("a form from before the snooze: %d %s", rec.Code, rec.Body)
	}
}

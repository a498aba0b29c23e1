package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

// errSecret is a fault whose text must stay inside.
var errSecret = errors.New("dial tcp 10.1.2.3: password=hunter2")

// listOf is any list's answer.
type listOf[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// problemOf is an RFC 9457 problem.
type problemOf struct {
	Title, Detail, Instance string
	Status                  int
	Errors                  []struct{ Location, Message string }
}

// apiPaths are all reading routes of the API with ids of the story.
func apiPaths(w *world) []string {
	w.t.Helper()
	paths := []string{"/api/v1/status", "/api/v1/policies", "/api/v1/assets/" + version1, "/api/v1/lineage/" + version1}
	for list, id := range map[string]string{
		"events": "key", "decisions": "", "actions": "id", "reviews": "id", "quarantine": "id", "dead": "id", "models": "", "silences": "id",
	} {
		paths = append(paths, "/api/v1/"+list)
		var found listOf[map[string]any]
		rec := w.ask("GET", "/api/v1/"+list, "", "Authorization", "Bearer "+newToken)
		w.decode(rec, 200, &found)
		if len(found.Items) == 0 {
			w.t.Fatalf("the story has no %s", list)
		}
		if id != "" {
			paths = append(paths, fmt.Sprintf("/api/v1/%s/%s", list, found.Items[0][id]))
			if list == "reviews" {
				paths = append(paths, fmt.Sprintf("/api/v1/reviews/%s/card", found.Items[0][id]))
			}
		}
	}
	return paths
}

func TestEveryRouteAnswers(t *testing.T) {
	w := newWorld(t).story()
	for _, path := range apiPaths(w) {
		rec := w.ask("GET", path, "")
		if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("GET %s: %d %s %s", path, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
		}
	}
}

func TestEmptyStoreAnswersEmptyLists(t *testing.T) {
	w := newWorld(t)
	for _, list := range []string{"models", "events", "decisions", "actions", "reviews", "quarantine", "dead", "silences"} {
		rec := w.ask("GET", "/api/v1/"+list, "")
		if got := strings.TrimSpace(rec.Body.String()); got != `{"items":[]}` {
			t.Errorf("%s: %d %s", list, rec.Code, got)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	w := newWorld(t).story()
	for target, want := range map[string]string{
		"/api/v1/models?stgae=deployed":                "query.stgae: unknown query parameter: want cursor, limit, q, stage, workspace",
		"/api/v1/models?limit=0":                       "query.limit: expected number >= 1",
		"/api/v1/models?limit=501":                     "query.limit: expected number <= 500",
		"/api/v1/models?limit=many":                    "query.limit: invalid integer",
		"/api/v1/models?cursor=%25%25":                 "bad cursor",
		"/api/v1/models?cursor=bm9uc2Vuc2U":            "bad cursor",
		"/api/v1/events?cursor=bm9uc2Vuc2U":            "bad cursor",
		"/api/v1/reviews?cursor=bm9uc2Vuc2U":           "cursor was not issued by this list",
		"/api/v1/events?since=yesterday":               "an age such as 6h or 2d",
		"/api/v1/events?since=1h&until=2h":             "until must be later than since",
		"/api/v1/events?asset=churn":                   "want kind/workspace/name[/version]",
		"/api/v1/decisions?verdict=perhaps":            `query.verdict: expected value to be one of "act, hold, observe"`,
		"/api/v1/actions?state=done":                   "query.state: expected value to be one of",
		"/api/v1/reviews?severity=bad":                 "query.severity: expected value to be one of",
		"/api/v1/assets/pipeline/ws/x":                 `unknown kind "pipeline"`,
		"/api/v1/lineage/" + version1 + "?depth=99":    "query.depth: expected number <= 32",
		"/api/v1/lineage/" + version1 + "?direction=x": "query.direction: expected value to be one of",
		"/api/v1/lineage/" + version1 + "?asOf=x":      "asOf \"x\" is not a time",
		"/api/v1/status?x=1":                           "this route takes none",
	} {
		var p problemOf
		rec := w.ask("GET", target, "")
		w.decode(rec, http.StatusBadRequest, &p)
		if !strings.Contains(p.Detail, want) || p.Status != 400 || p.Title != "Bad Request" {
			t.Errorf("%s: %+v, want %q", target, p, want)
		}
		if rec.Header().Get("Content-Type") != "application/problem+json" || !strings.HasSuffix(p.Instance, rec.Header().Get("X-Request-Id")) {
			t.Errorf("%s: %v %q", target, rec.Header(), p.Instance)
		}
	}
}

func TestWhatDoesNotExistIs404(t *testing.T) {
	w := newWorld(t).story()
	for _, target := range []string{
		"/api/v1/assets/model/contoso-ml/nobody/1", "/api/v1/lineage/model/contoso-ml/nobody/1", "/api/v1/events/nothing@" + version1,
		"/api/v1/events/never-seen", "/api/v1/actions/k@" + version1, "/api/v1/actions/nonsense", "/api/v1/reviews/nonsense",
		"/api/v1/quarantine/nonsense", "/api/v1/quarantine/a@2026-01-01", "/api/v1/dead/99", "/api/v2/models", "/api/v1/", "/static/../auth.go",
	} {
		if rec := w.ask("GET", target, ""); rec.Code != http.StatusNotFound && rec.Code != http.StatusTemporaryRedirect && rec.Code != http.StatusMovedPermanently {
			t.Errorf("GET %s: %d %s", target, rec.Code, rec.Body)
		}
	}
	var p problemOf
	w.get("/api/v1/events/never-seen", 404, &p)
	if !strings.Contains(p.Detail, "not committed (yet)") {
		t.Errorf("%q does not say that it may come", p.Detail)
	}
	rec := w.ask("DELETE", "/api/v1/models", "")
	if rec.Code != 405 || !strings.Contains(rec.Header().Get("Allow"), "GET") {
		t.Errorf("DELETE of a list: %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}

func TestFaultsAreLoggedAndNotShown(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	w := newWorld(t, func(o *web.Options) { o.Logger = zap.New(core) }).story()
	paths := apiPaths(w)
	w.store.fail, w.box.fail = errSecret, errSecret
	for _, path := range append(paths, "/", "/events", "/reviews", "/trouble") {
		if path == "/api/v1/policies" || strings.HasPrefix(path, "/api/v1/dead/") {
			continue
		}
		before := logs.Len()
		rec := w.ask("GET", path, "", "Accept", "text/html")
		if rec.Code != 500 || strings.Contains(rec.Body.String(), "hunter2") {
			t.Errorf("GET %s: %d %s", path, rec.Code, rec.Body)
		}
		if logs.Len() != before+1 || logs.All()[before].ContextMap()["request"] != rec.Header().Get("X-Request-Id") {
			t.Errorf("GET %s: the log has no line under the request's id", path)
		}
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	w := newWorld(t, func(o *web.Options) {
		o.Logger, o.Policies = zap.New(core), func() web.Policies { panic("hunter2") }
	})
	rec := w.ask("GET", "/api/v1/policies", "")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "hunter2") || logs.Len() != 1 {
		t.Errorf("%d %s, %d log lines", rec.Code, rec.Body, logs.Len())
	}
}

func TestCancelledRequestIsNoFault(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	w := newWorld(t, func(o *web.Options) { o.Logger = zap.New(core) })
	w.store.fail = context.Canceled
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rec := w.askContext(ctx, "GET", "/api/v1/models")
	if rec.Code != 503 || rec.Header().Get("Retry-After") != "5" || logs.Len() != 0 {
		t.Errorf("%d %v, %d log lines", rec.Code, rec.Header(), logs.Len())
	}
}

// walkPages follows a list to its end and returns the items' names.
func walkPages(w *world, target, name string, limit int) []string {
	w.t.Helper()
	var names []string
	cursor := ""
	for range 1000 {
		var l listOf[map[string]any]
		w.get(fmt.Sprintf("%s&limit=%d&cursor=%s", target, limit, url.QueryEscape(cursor)), 200, &l)
		for _, item := range l.Items {
			names = append(names, fmt.Sprint(item[name]))
		}
		if len(l.Items) > limit {
			w.t.Fatalf("%s: %d items where %d were asked for", target, len(l.Items), limit)
		}
		if cursor = l.NextCursor; cursor == "" {
			return names
		}
	}
	w.t.Fatalf("%s never ends", target)
	return nil
}

func TestListsPageToTheEnd(t *testing.T) {
	w := newWorld(t).story()
	for i := range 23 {
		w.register(fmt.Sprint(100+i), "sincere_yak_7f3")
		w.drift()
	}
	for i := range 20 {
		w.now = w.now.Add(time.Minute)
		_, _, err := w.desk.Raise(context.Background(), review.Signal{Cause: fmt.Sprint(i), Key: fmt.Sprint(i), At: w.now, Title: "t"})
		must(t, err)
		w.box.dead = append(w.box.dead, lineage.DeadMessage{ID: fmt.Sprint(100 + i)})
		w.journal(lineage.QuarantineJournal, fmt.Sprint(i), lineage.Quarantined{ID: fmt.Sprint(i), Received: w.now, Reason: "bad_data"})
	}
	for range 5 {
		w.happen("RunStatusChanged", "experiments/churn_monitor/runs/mon_1", breached("mon_1"), w.act(policy.Action{Type: policy.Notify, State: policy.Failed}))
	}
	for target, name := range map[string]string{
		"/api/v1/models?": "id", "/api/v1/events?": "key", "/api/v1/events?asset=" + monitorID: "key", "/api/v1/decisions?policy=churn-drift": "event",
		"/api/v1/actions?": "id", "/api/v1/actions?state=failed": "id", "/api/v1/reviews?": "id", "/api/v1/quarantine?": "id", "/api/v1/dead?": "id",
		"/api/v1/events?kind=monitor.breached": "key",
	} {
		whole := walkPages(w, target, name, 500)
		if len(whole) < 20 {
			t.Errorf("%s: only %d items", target, len(whole))
		}
		for _, limit := range []int{1, 7} {
			if got := walkPages(w, target, name, limit); fmt.Sprint(got) != fmt.Sprint(whole) {
				t.Errorf("%s by %d: %d items, want %d in the same order", target, limit, len(got), len(whole))
			}
		}
		seen := map[string]bool{}
		for _, n := range whole {
			if seen[n] {
				t.Errorf("%s lists %s twice", target, n)
			}
			seen[n] = true
		}
	}
}

func TestFiltersSelect(t *testing.T) {
	w := newWorld(t).story()
	for target, want := range map[string]int{
		"models?stage=deployed": 2, "models?q=CHURN": 2, "models?q=growth": 2, "models?workspace=elsewhere": 0, "models?stage=candidate": 1,
		"events": 9, "events?kind=model.deployed": 2, "events?asset=" + monitorID: 2, "events?id=id-1": 1, "events?workspace=nowhere": 0,
		"events?since=2026-11-03": 0, "events?until=2026-11-02T06:20:00Z": 1, "events?asset=" + monitorID + "&since=2026-11-02T07:20:00Z": 1,
		"decisions": 3, "decisions?policy=churn-drift": 2, "decisions?verdict=act": 1, "decisions?reason=cooldown": 1, "decisions?reason=not_sustained": 1,
		"decisions?model=" + version2: 3, "decisions?asset=" + monitorID: 3, "decisions?asset=" + version1: 0,
		"actions": 2, "actions?state=failed": 1, "actions?type=retrain": 1, "actions?target=hook": 1, "actions?asset=" + version1: 2,
		"reviews": 1, "reviews?state=unresolved": 1, "reviews?state=resolved": 0, "reviews?severity=critical": 1, "reviews?asset=" + monitorID: 1, "reviews?policy=x": 0,
		"quarantine?reason=not_event": 1, "quarantine?reason=bad_data": 0,
	} {
		var l listOf[json.RawMessage]
		w.get("/api/v1/"+target, 200, &l)
		if len(l.Items) != want {
			t.Errorf("%s: %d items, want %d", target, len(l.Items), want)
		}
	}
}

package web_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

func TestAssetTellsWhatIsKnown(t *testing.T) {
	w := newWorld(t).story()
	var a web.Asset
	w.get("/api/v1/assets/"+version2, 200, &a)
	if a.ID != version2 || a.Kind != lineage.Model || a.Stage != "deployed" || a.Owner != "growth-ml" || a.Properties["accuracy"] != "0.91" {
		t.Errorf("facts: %+v", a)
	}
	arcs := map[string]bool{}
	for _, e := range a.Edges {
		arcs[fmt.Sprintf("%s %s %s", e.From, e.Type, e.To)] = true
	}
	for _, want := range []string{
		"job/contoso-ml/gentle_fox_91c produced " + version2, version2 + " deployed deployment/contoso-ml/churn-ep/default", monitorID + " watches " + version2,
	} {
		if !arcs[want] {
			t.Errorf("no edge %q in %v", want, arcs)
		}
	}
	if len(a.LastBreaches) != 2 || len(a.LastBreaches[0].Breaches) != 2 || a.LastBreaches[0].At.Before(a.LastBreaches[1].At) {
		t.Errorf("last breaches: %+v", a.LastBreaches)
	}
	var d web.Asset
	w.get("/api/v1/assets/deployment/contoso-ml/churn-ep/default", 200, &d)
	if len(d.Served) != 2 || d.Served[1].Models[0] != version2 || len(d.LastBreaches) != 2 {
		t.Errorf("deployment: %+v", d)
	}
	var name web.Asset
	w.get("/api/v1/assets/model/contoso-ml/churn", 200, &name)
	if name.Facts["serving"] != "2" || len(name.Edges) == 0 {
		t.Errorf("model as such: %+v", name)
	}
}

func TestHostileNamesAreReachable(t *testing.T) {
	w := newWorld(t).story()
	id := lineage.NewID(lineage.Model, "contoso-ml", hostile, "1")
	for _, written := range []string{string(id), url.PathEscape(string(id))} {
		var a web.Asset
		w.get("/api/v1/assets/"+written, 200, &a)
		if a.ID != id || a.Name != hostile {
			t.Errorf("%s: %q %q", written, a.ID, a.Name)
		}
	}
	w.happen("ModelRegistered", "models/x:1", map[string]any{"modelName": "a/b@c", "modelVersion": "1"})
	var a web.Asset
	w.get("/api/v1/assets/model/contoso-ml/a%2Fb@c/1", 200, &a)
	if a.Name != "a/b@c" || len(a.Events) != 1 {
		t.Fatalf("%+v", a)
	}
	var ev web.EventDetail
	w.get("/api/v1/events/"+a.Events[0].Key, 200, &ev)
	w.get("/api/v1/events/"+url.PathEscape(a.Events[0].Key), 200, &ev)
	w.get("/api/v1/events/"+strings.Replace(a.Events[0].Key, "@", "%40", 1), 200, &ev)
}

func TestEventTellsItsWholeWay(t *testing.T) {
	w := newWorld(t).story()
	var l listOf[lineage.EventLine]
	w.get("/api/v1/events?kind=monitor.breached&limit=1", 200, &l)
	line := l.Items[0]
	bare, _, _ := strings.Cut(line.Key, "@")
	for _, name := range []string{line.Key, bare, line.ID} {
		var e web.EventDetail
		w.get("/api/v1/events/"+name, 200, &e)
		if e.Key != line.Key || e.ID != line.ID || e.Type == "" || e.Source != workspaceID || !e.Time.Equal(line.Time) {
			t.Errorf("%s: %+v", name, e)
		}
		if e.Received.IsZero() || e.Queued.Before(e.Received) || e.Committed.Before(e.Queued) {
			t.Errorf("%s: times %v %v %v", name, e.Received, e.Queued, e.Committed)
		}
		if len(e.Breaches) != 2 || len(e.Decisions) != 2 || len(e.Actions) != 2 || e.Typed == nil || e.Typed.Monitor == nil || len(e.Event) == 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestLargeEventIsReadFromItsParts(t *testing.T) {
	w := newWorld(t)
	key := w.happen("ModelRegistered", "models/big:1", map[string]any{"modelName": "big", "modelVersion": "1"}, func(e *lineage.Entry, _ *event.Event) {
		k, partition, _ := lineage.SplitLogKey(e.ID)
		var err error
		e.Chunks, err = lineage.WriteBlob(context.Background(), w.store, partition, string(k), e.Event)
		must(t, err)
		e.Event = nil
	})
	var d web.EventDetail
	w.get("/api/v1/events/"+key, 200, &d)
	if d.Typed == nil || d.Typed.Model.Name != "big" || d.ID != "id-1" {
		t.Errorf("%+v", d)
	}
	var a web.Asset
	w.get("/api/v1/assets/model/contoso-ml/big/1", 200, &a)
	if len(a.Events) != 1 || a.Events[0].Key != key {
		t.Errorf("%+v", a.Events)
	}
}

func TestLineageWalksAndLooksBack(t *testing.T) {
	w := newWorld(t).story()
	var up, past lineage.Graph
	w.get("/api/v1/lineage/"+version2+"?direction=up&depth=1", 200, &up)
	if len(up.Nodes) != 3 {
		t.Errorf("up: %+v", up.Nodes)
	}
	w.get("/api/v1/lineage/"+version1+"?asOf=2026-11-02T06:40:00Z", 200, &past)
	for _, n := range past.Nodes {
		if n.Kind == lineage.Deployment {
			t.Error("it was not deployed then")
		}
	}
	if rec := w.ask("GET", "/api/v1/lineage/"+version1, ""); !strings.Contains(rec.Body.String(), `"until":"2026-11-02T08:15:57Z"`) {
		t.Errorf("the first deployment does not end: %s", rec.Body)
	}
}

func TestStatusCounts(t *testing.T) {
	w := newWorld(t).story()
	var st web.Status
	w.get("/api/v1/status", 200, &st)
	if st.Version != "1.2.3" || st.Uptime != (6*time.Hour).Seconds() || st.Queue.Ready != 3 || st.Queue.Delayed != -1 ||
		st.OpenReviews[review.Critical] != 1 || st.OpenReviews[review.Info] != 0 || len(st.Policies.Names) != 2 {
		t.Errorf("%+v", st)
	}
	if rec := w.ask("GET", "/metrics", ""); !strings.Contains(rec.Body.String(), `modelwarden_http_request_seconds_count{code="200",route="GET /api/v1/status"} 1`) {
		t.Errorf("metrics: %s", rec.Body)
	}
}

func TestActionIsShownAsItStandsNow(t *testing.T) {
	w := newWorld(t).story()
	var l listOf[policy.Action]
	w.get("/api/v1/actions?state=failed", 200, &l)
	var a policy.Action
	w.get("/api/v1/actions/"+l.Items[0].ID, 200, &a)
	if a.State != policy.Failed || a.LastError == "" {
		t.Errorf("%+v", a)
	}
}

package ingest_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

func TestPulledEventsBecomeTheSubscribersMessages(t *testing.T) {
	inBubble(t, "pull", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Now = func() time.Time { return noon } })
		nonsense := `{"specversion":"1.0","type":"t","time":"yesterday"}`
		r.publish(t, cloudEvent("a"), nonsense, gridEvent("b"), `17`)
		r.start(t)
		synctest.Wait()
		r.stop()

		posted, q := newSubscriber(t, ingest.Options{Now: func() time.Time { return noon }})
		serve(posted.Events(), request("POST", "["+cloudEvent("a")+","+nonsense+","+gridEvent("b")+",17]", gridHeaders("0")...))
		got, want := r.all(), q.all()
		if len(got) != 4 || len(want) != 4 {
			t.Fatalf("%d pulled, %d posted messages, want 4", len(got), len(want))
		}
		for i := range got {
			if got[i].ID != want[i].ID || string(got[i].Body) != string(want[i].Body) {
				t.Errorf("message %d: pulled %s %s, posted %s %s", i, got[i].ID, got[i].Body, want[i].ID, want[i].Body)
			}
			p := maps.Clone(want[i].Properties)
			p[lineage.PropVia], p[lineage.PropSubscription] = "eventgrid-pull", "warden"
			if p[lineage.PropKind] == lineage.KindRaw {
				p[lineage.PropContentType] = "application/cloudevents+json"
				p[lineage.PropProblemDetail] = got[i].Properties[lineage.PropProblemDetail] // says where in the array it was
			}
			if !maps.Equal(got[i].Properties, p) || got[i].Properties[lineage.PropProblem] != want[i].Properties[lineage.PropProblem] {
				t.Errorf("message %d: properties %v, want %v", i, got[i].Properties, p)
			}
		}
		if s := r.stats(t); s != (azure.QueueStats{Acknowledged: 4}) {
			t.Errorf("the subscription has %+v", s)
		}
	})
}

func TestPullCountsWithTheSubscriber(t *testing.T) {
	inBubble(t, "metrics", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		s, err := ingest.New(ingest.Options{Queue: r.memory, Authenticator: ingest.None(), Registerer: r.registry})
		if err != nil {
			t.Fatal(err)
		}
		serve(s.Events(), request("POST", gridEvent("posted")))
		if _, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: r.memory, Name: "second", Registerer: r.registry}); err != nil {
			t.Fatalf("a second subscription: %v", err)
		}
		r.publish(t, gridEvent("a"), gridEvent("b"), `{}`)
		r.start(t)
		time.Sleep(90 * time.Second)
		r.stop()
		text := exposition(t, r.registry)
		for _, line := range []string{
			`modelwarden_events_received_total{kind="job.completed",result="accepted",source="pull"} 2`,
			`modelwarden_events_received_total{kind="unknown",result="quarantined",source="pull"} 1`,
			`modelwarden_events_received_total{kind="job.completed",result="accepted",source="webhook"} 1`,
			`modelwarden_event_lag_seconds_count{source="pull"} 2`,
			`modelwarden_ingest_pulls_total{outcome="events",subscription="warden"} 1`,
			`modelwarden_ingest_pulls_total{outcome="empty",subscription="warden"} 1`,
			`modelwarden_ingest_pull_settlements_total{result="acknowledged",subscription="warden"} 3`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %s in\n%s", line, grep(text, strings.SplitN(line, "{", 2)[0]))
			}
		}
		if problems, err := testutil.GatherAndLint(r.registry); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
	})
}

func TestPullNeverShowsTheKey(t *testing.T) {
	inBubble(t, "leak", func(t *testing.T) {
		only := func(o string) bool { return o != azure.OpPublish }
		script := []azure.Fault{azure.Throttle, azure.Unavailable, azure.DropBefore, azure.None, azure.DropAfter, azure.Unavailable, azure.Stall, azure.DropBefore}
		r := newPullRig(t, &azure.Faults{Script: script, Only: only}, nil)
		r.publish(t, gridEvent("a"), `{}`)
		r.start(t)
		r.settled(t)
		r.stop()
		if r.logs.Len() < 5 {
			t.Fatalf("%d log lines: the test does not see what it should", r.logs.Len())
		}
		wantNoLeak(t, r.logs, pullKey)
		if strings.Contains(exposition(t, r.registry), pullKey) || strings.Contains(fmt.Sprint(r.all()), pullKey) {
			t.Error("the key shows in a metric or a message")
		}
	})
}

func TestPullOptionsThatCanNotWork(t *testing.T) {
	tests := map[string]func(*ingest.PullOptions){
		"no Source": func(o *ingest.PullOptions) { o.Source = nil },
		"no Queue":  func(o *ingest.PullOptions) { o.Queue = nil },
		"no Name":   func(o *ingest.PullOptions) { o.Name = "" },
		"Batch":     func(o *ingest.PullOptions) { o.Batch = 101 },
		"Wait":      func(o *ingest.PullOptions) { o.Wait = 9 * time.Second },
		"negative":  func(o *ingest.PullOptions) { o.Drain = -1 },
	}
	for want, spoil := range tests {
		o := ingest.PullOptions{Source: &scripted{}, Queue: discard{}, Name: "s"}
		spoil(&o)
		if _, err := ingest.NewPull(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

func TestMetricsTellWhatCame(t *testing.T) {
	registry := prometheus.NewRegistry()
	q := &memory{}
	s, _ := newSubscriber(t, ingest.Options{Queue: q, Registerer: registry, Now: func() time.Time { return noon }})
	events := s.Events()
	serve(events, request("POST", "["+gridEvent("a")+","+gridEvent("b")+",3]", gridHeaders("0")...))
	serve(events, request("POST", "["+gridEvent("a")+","+cloudEvent("c")+"]", gridHeaders("4")...))
	q.fail = func(context.Context) error { return errors.New("down") }
	serve(events, request("POST", gridEvent("d"), gridHeaders("0")...))
	serve(events, request("POST", ""))

	text := exposition(t, registry)
	for _, line := range []string{
		`modelwarden_events_received_total{kind="job.completed",result="accepted",source="webhook"} 3`,
		`modelwarden_events_received_total{kind="model.registered",result="accepted",source="webhook"} 1`,
		`modelwarden_events_received_total{kind="unknown",result="quarantined",source="webhook"} 1`,
		`modelwarden_ingest_requests_total{outcome="accepted",source="webhook"} 2`,
		`modelwarden_ingest_requests_total{outcome="queue_unavailable",source="webhook"} 1`,
		`modelwarden_ingest_requests_total{outcome="empty_body",source="webhook"} 1`,
		`modelwarden_ingest_deliveries_total{source="webhook",type="notification"} 3`,
		`modelwarden_ingest_subscription_requests_total{subscription="AML-EVENTS"} 3`,
		`modelwarden_ingest_subscription_redeliveries_total{subscription="AML-EVENTS"} 1`,
		`modelwarden_event_lag_seconds_count{source="webhook"} 4`,
		`modelwarden_event_lag_seconds_bucket{source="webhook",le="10"} 0`,
		`modelwarden_event_lag_seconds_bucket{source="webhook",le="30"} 4`,
		`modelwarden_ingest_requests_in_flight 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, grep(text, strings.SplitN(line, "{", 2)[0]))
		}
	}
}

func grep(text, prefix string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) && !strings.HasSuffix(line, " 0\n") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestSubscriptionLabelsAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, _ := newSubscriber(t, ingest.Options{Registerer: registry})
	for i := range 500 {
		serve(s.Events(), request("POST", gridEvent("a"), "aeg-subscription-name", fmt.Sprintf("sub-%d\xff", i)))
	}
	const name = "modelwarden_ingest_subscription_requests_total"
	if n, err := testutil.GatherAndCount(registry, name); err != nil || n != 51 {
		t.Errorf("%d label values, error %v, want 50 names and the rest together", n, err)
	}
	if want := name + `{subscription="other"} 450`; !strings.Contains(exposition(t, registry), want) {
		t.Errorf("no line %s", want)
	}
}

func TestMetricsFollowPrometheusRules(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, _ := newSubscriber(t, ingest.Options{Registerer: registry})
	serve(s.Events(), request("POST", gridEvent("a"), gridHeaders("1")...))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if _, err := ingest.New(ingest.Options{Queue: discard{}, Authenticator: ingest.None(), Registerer: registry}); err == nil {
		t.Error("a second subscriber took the same names")
	}
}

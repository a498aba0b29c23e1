package ingest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

func TestEventGridDeliveryBecomesMessages(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{Now: func() time.Time { return noon }})
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := request(http.MethodPost, "["+gridEvent("a")+","+gridEvent("b")+"]", gridHeaders("2")...)
	r.Header.Set("traceparent", parent)

	wantAnswer(t, serve(s.Events(), r), 2, 0)

	want := map[string]string{
		lineage.PropKind:          lineage.KindEvent,
		lineage.PropVia:           "webhook",
		lineage.PropReceived:      "2026-11-02T12:00:00Z",
		lineage.PropSubscription:  "AML-EVENTS",
		lineage.PropDeliveryCount: "2",
		lineage.PropTraceParent:   parent,
	}
	for i, m := range q.all() {
		if !maps.Equal(m.Properties, want) {
			t.Errorf("properties %v, want %v", m.Properties, want)
		}
		got := decode(t, m)
		if got.ID != []string{"a", "b"}[i] || got.Source != workspaceID || got.SpecVersion != "1.0" {
			t.Errorf("event %d became %+v", i, got)
		}
		if !bytes.Contains(got.Data, []byte("12345678901234567890")) {
			t.Errorf("data %s lost digits", got.Data)
		}
		if !got.Time.Equal(time.Date(2026, 11, 2, 11, 59, 30, 123456700, time.UTC)) {
			t.Errorf("time %v", got.Time)
		}
	}
}

func TestMessageIDIsTheEventsKey(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	serve(s.Events(), request(http.MethodPost, gridEvent("a")))
	serve(s.Events(), request(http.MethodPost, "["+gridEvent("a")+"]"))
	items, err := event.Split("", nil, []byte(gridEvent("a")))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range q.all() {
		if m.ID != string(items[0].Envelope.Key()) {
			t.Errorf("message %s, want the event's key %s", m.ID, items[0].Envelope.Key())
		}
	}
}

func TestSchemasAreAccepted(t *testing.T) {
	tests := []struct {
		name, body string
		header     []string
		accepted   int
	}{
		{"event grid object", gridEvent("a"), nil, 1},
		{"event grid array", "[" + gridEvent("a") + "," + gridEvent("b") + "]", nil, 2},
		{"cloudevents structured", cloudEvent("a"), []string{"Content-Type", "application/cloudevents+json"}, 1},
		{"cloudevents batch", "[" + cloudEvent("a") + "," + cloudEvent("b") + "]",
			[]string{"Content-Type", "application/cloudevents-batch+json"}, 2},
		{"both in one array", "[" + cloudEvent("a") + "," + gridEvent("b") + "]", nil, 2},
		{"cloudevents binary", `{"modelName":"churn"}`, []string{"Content-Type", "application/json",
			"ce-specversion", "1.0", "ce-id", "a", "ce-type", "Microsoft.MachineLearningServices.ModelRegistered",
			"ce-source", workspaceID, "ce-subject", "models/churn:12"}, 1},
		{"cloudevents binary without data", "", []string{
			"ce-specversion", "1.0", "ce-id", "a", "ce-type", "Microsoft.MachineLearningServices.ModelRegistered",
			"ce-source", workspaceID, "ce-subject", "models/churn:12"}, 1},
		{"no events", "[]", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, q := newSubscriber(t, ingest.Options{})
			wantAnswer(t, serve(s.Events(), request(http.MethodPost, tt.body, tt.header...)), tt.accepted, 0)
			if got := len(q.all()); got != tt.accepted {
				t.Errorf("%d messages queued", got)
			}
		})
	}
}

func TestAlertIsAccepted(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	alert := `{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertId":"/subscriptions/1/x","alertRule":"p99",` +
		`"severity":"Sev1","monitorCondition":"Fired","firedDateTime":"2026-11-02T11:00:00Z"},"alertContext":{}}}`
	wantAnswer(t, serve(s.Alerts(), request(http.MethodPost, alert)), 1, 0)
	if got := q.all()[0].Properties[lineage.PropVia]; got != "azure-monitor" {
		t.Errorf("via %q", got)
	}
}

func TestWhatIsNotUnderstoodIsDurableToo(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	bad := `{"id": "x", "hello": [1, 2]}`
	wantAnswer(t, serve(s.Events(), request(http.MethodPost, "["+gridEvent("a")+","+bad+"]", gridHeaders("0")...)), 1, 1)
	raw := q.all()[1]
	if string(raw.Body) != bad {
		t.Errorf("raw body %q, want the bytes as sent", raw.Body)
	}
	p := raw.Properties
	if p[lineage.PropKind] != lineage.KindRaw || p[lineage.PropProblem] == "" || p[lineage.PropProblemDetail] == "" ||
		p[lineage.PropContentType] != "application/json; charset=utf-8" || p[lineage.PropSubscription] != "AML-EVENTS" {
		t.Errorf("properties %v", p)
	}
}

func TestWholeBodyGoesToQuarantineWithItsAttributes(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	body := "\x00\xffnot json"
	wantAnswer(t, serve(s.Events(), request(http.MethodPost, body, "Content-Type", "text/plain", "ce-id", "7")), 0, 1)
	raw := q.all()[0]
	if string(raw.Body) != body || raw.Properties["ce-id"] != "7" {
		t.Errorf("queued %q with %v", raw.Body, raw.Properties)
	}
	serve(s.Events(), request(http.MethodPost, body))
	if again := q.all()[1]; again.ID != raw.ID || raw.ID == "" {
		t.Errorf("same bytes, ids %q and %q", raw.ID, again.ID)
	}
}

func TestPropertiesStayWithinTheQueuesBounds(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	r := request(http.MethodPost, "nonsense")
	long := strings.Repeat("é", 4000) + "\xff"
	for i := range 60 {
		r.Header.Set(fmt.Sprint("Ce-Extension", i), long)
	}
	for _, name := range []string{"Ce-Id", "Ce-Source", "Ce-Subject", "Ce-Time", "Aeg-Subscription-Name", "Content-Type", "Traceparent", "Aeg-Delivery-Count"} {
		r.Header.Set(name, long)
	}
	wantAnswer(t, serve(s.Events(), r), 0, 1)
	p, size := q.all()[0].Properties, 0
	for name, value := range p {
		size += len(name) + len(value)
		if strings.ToValidUTF8(value, "") != value {
			t.Errorf("%s is not UTF-8", name)
		}
	}
	if len(p) > 32 || size > 16<<10 {
		t.Errorf("%d properties of %d bytes", len(p), size)
	}
	if p[lineage.PropTraceParent] != "" || p[lineage.PropDeliveryCount] != "" {
		t.Errorf("malformed headers were kept: %v", p)
	}
}

func TestMissingTimeIsTheReceivedTime(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{Now: func() time.Time { return noon }})
	body := strings.Replace(cloudEvent("a"), `"time":"2026-11-02T11:59:30Z",`, "", 1)
	wantAnswer(t, serve(s.Events(), request(http.MethodPost, body)), 1, 0)
	if got := decode(t, q.all()[0]).Time; !got.Equal(noon) {
		t.Errorf("time %v, want the time of receipt", got)
	}
}

func TestQueuedBodiesBelongToTheQueue(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	serve(s.Events(), request(http.MethodPost, "["+gridEvent("first")+",7,"+gridEvent("second")+"]"))
	before := q.all()
	kept := [][]byte{bytes.Clone(before[0].Body), bytes.Clone(before[1].Body), bytes.Clone(before[2].Body)}
	for i := range 50 { // reuses the buffers of the first request
		serve(s.Events(), request(http.MethodPost, strings.Repeat("x", 100*i)+gridEvent("other")))
	}
	_ = append(before[0].Body, "overflow"...)
	for i := range kept {
		if !bytes.Equal(before[i].Body, kept[i]) {
			t.Errorf("body %d changed from %q to %q", i, kept[i], before[i].Body)
		}
	}
}

func TestGzipIsAccepted(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	plain := "[" + strings.Repeat(gridEvent("a")+",", 200) + gridEvent("b") + "]"
	for range 3 { // pooled readers
		wantAnswer(t, serve(s.Events(), request(http.MethodPost, zip(t, plain), "Content-Encoding", "gzip")), 201, 0)
	}
	if got := len(q.all()); got != 603 {
		t.Errorf("%d messages", got)
	}
}

func zip(t testing.TB, plain string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOptionsThatCanNotWorkAreRefused(t *testing.T) {
	good := func() ingest.Options { return ingest.Options{Queue: discard{}, Authenticator: ingest.None()} }
	tests := map[string]func(*ingest.Options){
		"no Queue":         func(o *ingest.Options) { o.Queue = nil },
		"no Authenticator": func(o *ingest.Options) { o.Authenticator = nil },
		"not be negative":  func(o *ingest.Options) { o.Timeout = -1 },
		"less than MaxBody": func(o *ingest.Options) {
			o.MaxBody, o.MaxInFlightBytes = 10, 9
		},
	}
	for want, spoil := range tests {
		o := good()
		spoil(&o)
		if _, err := ingest.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestUnknownDeliveryTypesAreDeliveries(t *testing.T) {
	for _, kind := range []string{"SubscriptionDeletion", "Notification", "SomethingNew"} {
		s, q := newSubscriber(t, ingest.Options{})
		body := strings.Replace(gridEvent("a"), "Microsoft.MachineLearningServices.RunCompleted",
			"Microsoft.EventGrid.SubscriptionDeletedEvent", 1)
		wantAnswer(t, serve(s.Events(), request(http.MethodPost, body, "aeg-event-type", kind)), 1, 0)
		if got := decode(t, q.all()[0]).Type; !slices.Contains([]string{"Microsoft.EventGrid.SubscriptionDeletedEvent"}, got) {
			t.Errorf("%s was queued as %s", kind, got)
		}
	}
}

package eventgrid_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/aznamespaces"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

func TestRefusedCallsToANamespace(t *testing.T) {
	auth := eventgrid.Auth{Keys: []string{key}, Token: func(token string) error {
		if token == "no role" {
			return eventgrid.ErrForbidden
		}
		return nil
	}}
	p := newPull(t, eventgrid.NamespaceOptions{Auth: auth}, eventgrid.QueueSubscription{})
	const sub, version = "/topics/orders/eventsubscriptions/worker:", "?api-version=2024-06-01"
	tests := []struct {
		path, auth, body string
		status           int
	}{
		{sub + "acknowledge" + version, "SharedAccessKey " + key, `{"lockTokens":["x"]}`, 200},
		{sub + "acknowledge" + version, "Bearer good", `{"lockTokens":["x"]}`, 200},
		{sub + "acknowledge" + version, "", `{"lockTokens":["x"]}`, 401},
		{sub + "acknowledge" + version, "SharedAccessKey wrong", `{"lockTokens":["x"]}`, 401},
		{sub + "acknowledge" + version, "Bearer no role", `{"lockTokens":["x"]}`, 403},
		{sub + "acknowledge", "Bearer good", `{"lockTokens":["x"]}`, 400},
		{sub + "acknowledge" + version, "Bearer good", `{"lockTokens":[]}`, 400},
		{sub + "release" + version + "&releaseDelayInSeconds=11", "Bearer good", `{"lockTokens":["x"]}`, 400},
		{sub + "receive" + version + "&maxEvents=101", "Bearer good", "", 400},
		{sub + "receive" + version + "&maxWaitTime=9", "Bearer good", "", 400},
		{sub + "receive" + version + "&maxWaitTime=121", "Bearer good", "", 400},
		{sub + "explode" + version, "Bearer good", "", 404},
		{"/topics/orders/eventsubscriptions/other:receive" + version, "Bearer good", "", 404},
		{"/topics/other/eventsubscriptions/worker:receive" + version, "Bearer good", "", 410},
		{"/topics/other:publish" + version, "Bearer good", "{}", 410},
		{"/topics/orders:publish" + version, "Bearer good", "{}", 400},
		{"/topics/orders" + version, "Bearer good", "{}", 404},
	}
	for _, tt := range tests {
		status, text := post(t, p.Namespace, tt.path, tt.body, map[string]string{"Authorization": tt.auth, "Content-Type": "application/cloudevents+json"})
		if status != tt.status {
			t.Errorf("%s with %q and %s: %d %s, want %d", tt.path, tt.auth, tt.body, status, text, tt.status)
		}
	}
}

func TestReceiveFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault eventgrid.Fault
		check func(t *testing.T, p *pull, page aznamespaces.ReceiveEventsResponse, err error)
	}{
		{"throttled", eventgrid.Throttle, func(t *testing.T, p *pull, _ aznamespaces.ReceiveEventsResponse, err error) {
			var answer *azcore.ResponseError
			if !errors.As(err, &answer) || answer.StatusCode != 429 || answer.RawResponse.Header.Get("Retry-After") != "2" {
				t.Errorf("error %v", err)
			}
			p.wantEvents(t, "1/1")
		}},
		{"dropped before", eventgrid.DropBefore, func(t *testing.T, p *pull, _ aznamespaces.ReceiveEventsResponse, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
			p.wantEvents(t, "1/1")
		}},
		{"dropped after", eventgrid.DropAfter, func(t *testing.T, p *pull, _ aznamespaces.ReceiveEventsResponse, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
			p.wantEvents(t)
			time.Sleep(50 * time.Second)
			p.wantEvents(t, "1/2")
		}},
		{"stalled", eventgrid.Stall, func(t *testing.T, p *pull, _ aznamespaces.ReceiveEventsResponse, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			p.wantEvents(t, "1/1")
		}},
		{"junk", eventgrid.Junk, func(t *testing.T, _ *pull, _ aznamespaces.ReceiveEventsResponse, err error) {
			if err == nil || !strings.Contains(err.Error(), "time") && !strings.Contains(err.Error(), "source") {
				t.Errorf("error %v: the official client reads no page with junk in it", err)
			}
		}},
		{"locks lost", eventgrid.LoseLocks, func(t *testing.T, p *pull, page aznamespaces.ReceiveEventsResponse, err error) {
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.receiver.AcknowledgeEvents(t.Context(), []string{*page.Details[0].BrokerProperties.LockToken}, nil)
			if err != nil || len(a.FailedLockTokens) != 1 {
				t.Errorf("answer %+v, %v", a, err)
			}
			p.wantEvents(t, "1/2")
		}},
	}
	for _, tt := range tests {
		virtual(tt.name, t, func(t *testing.T) {
			p := newPull(t, eventgrid.NamespaceOptions{Faults: &eventgrid.Faults{Script: []eventgrid.Fault{tt.fault}, Only: only(eventgrid.OpReceive)}},
				eventgrid.QueueSubscription{})
			p.send(t, "1")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			max := int32(10)
			page, err := p.receiver.ReceiveEvents(ctx, &aznamespaces.ReceiveEventsOptions{MaxEvents: &max})
			tt.check(t, p, page, err)
		})
	}
}

func TestNamespaceKeepsWhatATestPutsIn(t *testing.T) {
	p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
	if err := p.Publish("orders", json.RawMessage(`"not an event"`)); err != nil {
		t.Fatal(err)
	}
	if p.Publish("orders", json.RawMessage(`{`)) == nil || p.Publish("other", json.RawMessage(`{}`)) == nil {
		t.Error("took what is not JSON, or for a topic that does not exist")
	}
	_, text := post(t, p.Namespace, "/topics/orders/eventsubscriptions/worker:receive?api-version=2024-06-01", "", nil)
	if !strings.Contains(text, `"event":"not an event"`) {
		t.Errorf("page %s", text)
	}
}

func TestQueueSubscriptionsThatAzureRefuses(t *testing.T) {
	ns := eventgrid.NewNamespace(eventgrid.NamespaceOptions{})
	for want, s := range map[string]eventgrid.QueueSubscription{
		"a name":           {},
		"LockDuration":     {Name: "s", LockDuration: time.Second},
		"MaxDeliveryCount": {Name: "s", MaxDeliveryCount: 11},
		"TTL":              {Name: "s", TTL: 8 * 24 * time.Hour},
	} {
		if err := ns.Subscribe("t", s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := ns.Subscribe("t", eventgrid.QueueSubscription{Name: "s"}); err != nil {
		t.Error(err)
	}
	if err := ns.Subscribe("t", eventgrid.QueueSubscription{Name: "s"}); err == nil {
		t.Error("subscribed twice")
	}
}
